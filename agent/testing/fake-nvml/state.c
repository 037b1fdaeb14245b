/*
 * The frame around every call: one lock (the driver's own is global, too), the control file's state,
 * the cost, injected failures, what a lost GPU or a replaced driver answers, and handles.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>
#include <time.h>
#include "fake.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct node node;
static unsigned int users; /* nvmlInit is counted */
static struct handle gpu_handles[MAX_GPUS];
static struct handle slot_handles[MAX_GPUS][MAX_SLOTS];

nvmlDevice_t gpu_handle(unsigned int gpu) {
  gpu_handles[gpu] = (struct handle){gpu, -1};
  return &gpu_handles[gpu];
}

nvmlDevice_t slot_handle(unsigned int gpu, unsigned int slot) {
  slot_handles[gpu][slot] = (struct handle){gpu, (int)slot};
  return &slot_handles[gpu][slot];
}

/* A handle from anywhere but this library is refused instead of read. */
static bool is_handle(nvmlDevice_t device) {
  return (device >= &gpu_handles[0] && device < &gpu_handles[MAX_GPUS]) ||
         (device >= &slot_handles[0][0] && device <= &slot_handles[MAX_GPUS - 1][MAX_SLOTS - 1]);
}

/* No sleep is shorter than about 60 us (timer slack), and each costs more CPU than the call it stands for. */
#define SHORTEST_SLEEP_US 1000

/*
 * Spent under the lock: calls queue on the driver's lock as they do in reality. What is too short to sleep
 * is owed and slept together, so that the calls take what they are said to take, on average.
 */
static void spend(const char *function) {
  static unsigned int owed_us;
  for (unsigned int i = 0; i < node.cost_count; i += 1) {
    const struct cost *cost = &node.costs[i];
    if (strcmp(cost->function, "*") != 0 && strstr(function, cost->function) == NULL) continue;
    if (!cost->spin) {
      owed_us += cost->micros;
      if (owed_us < SHORTEST_SLEEP_US) return;
      nanosleep(&(struct timespec){owed_us / 1000000, (long)(owed_us % 1000000) * 1000}, NULL);
      owed_us = 0;
      return;
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long end = now.tv_sec * 1000000000ll + now.tv_nsec + cost->micros * 1000ll;
    do clock_gettime(CLOCK_MONOTONIC, &now);
    while (now.tv_sec * 1000000000ll + now.tv_nsec < end);
    return;
  }
}

static nvmlReturn_t injected(const char *function, int gpu) {
  for (unsigned int i = 0; i < node.failure_count; i += 1) {
    const struct failure *failure = &node.failures[i];
    bool named = strcmp(failure->function, "*") == 0 || strcmp(failure->function, function) == 0;
    if (named && (failure->gpu == -1 || failure->gpu == gpu)) return failure->code;
  }
  return NVML_SUCCESS;
}

struct call call_begin_free(const char *function) {
  pthread_mutex_lock(&lock);
  control_refresh(&node);
  spend(function);
  return (struct call){.code = injected(function, -1), .node = &node};
}

struct call call_begin(const char *function) {
  struct call call = call_begin_free(function);
  if (users == 0) call.code = NVML_ERROR_UNINITIALIZED;
  else if (node.upgraded) call.code = NVML_ERROR_LIB_RM_VERSION_MISMATCH;
  return call;
}

struct call call_begin_device(const char *function, nvmlDevice_t device) {
  struct call call = call_begin(function);
  if (call.code != NVML_SUCCESS) return call;
  if (!is_handle(device) || device->gpu >= node.gpu_count) {
    call.code = NVML_ERROR_INVALID_ARGUMENT;
    return call;
  }
  call.gpu_index = device->gpu;
  call.gpu = &node.gpus[device->gpu];
  call.code = injected(function, (int)device->gpu);
  if (is_lost(&node, device->gpu, script_seconds(&node))) call.code = NVML_ERROR_GPU_IS_LOST;
  if (device->slot < 0 || call.code != NVML_SUCCESS) return call;
  call.slice = &call.gpu->slices[device->slot];
  if (!call.gpu->mig_enabled || !call.slice->present) call.code = NVML_ERROR_INVALID_ARGUMENT;
  return call;
}

void call_end(struct call *call) {
  (void)call;
  pthread_mutex_unlock(&lock);
}

struct call peek(void) {
  pthread_mutex_lock(&lock);
  control_refresh(&node);
  nvmlReturn_t code = users == 0      ? NVML_ERROR_UNINITIALIZED
                      : node.upgraded ? NVML_ERROR_LIB_RM_VERSION_MISMATCH
                                      : NVML_SUCCESS;
  return (struct call){.code = code, .node = &node};
}

nvmlReturn_t initialise(unsigned int flags) {
  (void)flags;
  struct call call __attribute__((cleanup(call_end))) = call_begin_free("nvmlInit_v2");
  if (call.code != NVML_SUCCESS) return call.code;
  if (!node.driver_loaded) return NVML_ERROR_DRIVER_NOT_LOADED;
  if (node.upgraded) return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
  users += 1;
  return NVML_SUCCESS;
}

nvmlReturn_t shut_down(void) {
  struct call call __attribute__((cleanup(call_end))) = call_begin_free("nvmlShutdown");
  if (users == 0) return NVML_ERROR_UNINITIALIZED;
  users -= 1;
  return NVML_SUCCESS;
}

nvmlReturn_t copy_text(char *to, unsigned int length, const char *text) {
  if (to == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  if (strlen(text) + 1 > length) return NVML_ERROR_INSUFFICIENT_SIZE;
  memcpy(to, text, strlen(text) + 1);
  return NVML_SUCCESS;
}
