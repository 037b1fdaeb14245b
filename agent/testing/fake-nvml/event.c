/*
 * Events: a set remembers what it has delivered; waiting looks at the node every 20 ms without the lock.
 */
#include <stdlib.h>
#include <time.h>
#include "fake.h"

#define SUPPORTED 0x50Eull /* DBE, P-state, XID critical, MIG config change, DRAM retirement */
#define XID_CRITICAL 0x8ull
/* The driver wakes its waiters; a library that looks for itself should not be what a bench measures. */
#define LOOK_MS 20u

struct event_set {
  unsigned long long masks[MAX_GPUS], delivered;
  bool lost_told[MAX_GPUS];
};

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set) {
  CALL();
  NEED(set);
  *set = calloc(1, sizeof **set);
  if (*set == NULL) return NVML_ERROR_MEMORY;
  /* What happened before registration is not delivered. */
  for (unsigned int i = 0; i < call.node->event_count; i += 1)
    if (call.node->events[i].sequence > (*set)->delivered) (*set)->delivered = call.node->events[i].sequence;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) {
  CALL();
  NEED(set);
  free(set);
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *types) {
  CALL_PARENT(device);
  NEED(types);
  *types = SUPPORTED;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set) {
  CALL_PARENT(device);
  NEED(set);
  if ((types & ~SUPPORTED) != 0) return NVML_ERROR_NOT_SUPPORTED;
  set->masks[call.gpu_index] |= types;
  return NVML_SUCCESS;
}

static bool deliver(const struct node *node, struct event_set *set, nvmlEventData_t *data) {
  for (unsigned int i = 0; i < node->event_count; i += 1) {
    const struct scripted_event *event = &node->events[i];
    if (event->sequence <= set->delivered) continue;
    set->delivered = event->sequence;
    if (event->gpu >= MAX_GPUS || (set->masks[event->gpu] & event->type) == 0) continue;
    *data = (nvmlEventData_t){gpu_handle(event->gpu), event->type, event->data, event->gi, event->ci};
    return true;
  }
  double t = script_seconds(node);
  for (unsigned int g = 0; g < node->gpu_count; g += 1) {
    if (set->lost_told[g] || node->xid79_gpu != (int)g || !is_lost(node, g, t)) continue;
    set->lost_told[g] = true;
    if ((set->masks[g] & XID_CRITICAL) == 0) continue;
    *data = (nvmlEventData_t){gpu_handle(g), XID_CRITICAL, 79, NVML_NO_INSTANCE, NVML_NO_INSTANCE};
    return true;
  }
  return false;
}
nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeout_ms) {
  NEED(set);
  NEED(data);
  for (unsigned int waited = 0;; waited += LOOK_MS) {
    {
      struct call call __attribute__((cleanup(call_end))) = peek();
      if (call.code != NVML_SUCCESS) return call.code;
      if (deliver(call.node, set, data)) return NVML_SUCCESS;
    }
    if (waited >= timeout_ms) return NVML_ERROR_TIMEOUT;
    unsigned int ms = timeout_ms - waited < LOOK_MS ? timeout_ms - waited : LOOK_MS;
    nanosleep(&(struct timespec){0, (long)ms * 1000000}, NULL);
  }
}
