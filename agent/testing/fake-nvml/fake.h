/*
 * What the parts of the false driver share: the node as the control file describes it, the load model,
 * and the frame around every call (lock, reload, cost, injected failure, handle check).
 */
#ifndef FAKE_NVML_FAKE_H
#define FAKE_NVML_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include "abi.h"

/* 64 GPUs x 64 MIG indices: more than any node has (8 x 7), so that a test can ask for 300 slices. */
#define MAX_GPUS 64
#define MAX_SLOTS 64
#define MAX_PROCESSES 1024
#define MAX_COSTS 64
#define MAX_FAILURES 64
#define MAX_EVENTS 256
#define TEXT 96

extern const char *const fake_generation;
extern const unsigned int fake_process_stride;

struct mig_profile {
  const char *name;
  unsigned int profile_id, slices, placement_size, sm_count, copy_engines, decoders;
  unsigned long long memory_mb;
};
struct product {
  const char *key, *name;
  unsigned int architecture, cc_major, cc_minor, sm_count, pci_device_id;
  unsigned long long memory_mb, reserved_mb;
  unsigned int power_limit_w, idle_w, max_sm_mhz, memory_mhz, brand;
  bool ecc, gpm, mig;
  unsigned int nvlinks, nvlink_mib_s, pcie_generation;
  const struct mig_profile *profiles;
  unsigned int profile_count, max_slices;
};
const struct product *product_by_key(const char *key);
const struct mig_profile *mig_profile_by_name(const struct product *product, const char *name);
const char *node_text(const char *name);

struct slice {
  bool present;
  unsigned int gi, ci, start;
  const struct mig_profile *profile;
  char name[TEXT], uuid[TEXT];
};
struct gpu {
  const struct product *product;
  bool mig_enabled, mig_pending, lost;
  unsigned int minor, bus, domain;
  char uuid[TEXT], serial[32];
  struct slice slices[MAX_SLOTS];
};
enum process_kind { PROCESS_COMPUTE, PROCESS_GRAPHICS, PROCESS_MPS };
struct process {
  unsigned int gpu, pid, sm;
  int slot; /* -1: on the GPU itself */
  enum process_kind kind;
  bool memory_unknown;
  unsigned long long memory_mb;
};
struct cost { char function[TEXT]; unsigned int micros; bool spin; };
struct failure { char function[TEXT]; int gpu; nvmlReturn_t code; };
struct scripted_event {
  unsigned long long sequence, type, data;
  unsigned int gpu, gi, ci;
};
enum load_kind { LOAD_DAY, LOAD_IDLE, LOAD_STEADY };

/* The whole of what the control file says; replaced in one piece when the file changes. */
struct node {
  unsigned int gpu_count, process_count, cost_count, failure_count, event_count;
  struct gpu gpus[MAX_GPUS];
  struct process processes[MAX_PROCESSES];
  struct cost costs[MAX_COSTS];
  struct failure failures[MAX_FAILURES];
  struct scripted_event events[MAX_EVENTS];
  char driver[TEXT], nvml[TEXT];
  int cuda;
  bool privileged, upgraded, driver_loaded, legacy_mig_uuid;
  enum load_kind load;
  double steady, speed, start_s, reload_s, fixed_s;
  int xid79_gpu;
  double xid79_s;
};

/* Reads the control file again when it changed. Never fails: a bad line is told on stderr and ignored. */
void control_refresh(struct node *node);
double wall_seconds(void);

/* A handle is a fixed slot, as in the driver: a stale MIG handle tells about whatever sits there now. */
struct handle { unsigned int gpu; int slot; };
nvmlDevice_t gpu_handle(unsigned int gpu);
nvmlDevice_t slot_handle(unsigned int gpu, unsigned int slot);

struct call {
  nvmlReturn_t code;
  struct node *node;
  struct gpu *gpu;
  struct slice *slice;
  unsigned int gpu_index;
};
struct call call_begin(const char *function);
struct call call_begin_device(const char *function, nvmlDevice_t device);
struct call call_begin_free(const char *function);
void call_end(struct call *call);
nvmlReturn_t initialise(unsigned int flags);
nvmlReturn_t shut_down(void);
nvmlReturn_t copy_text(char *to, unsigned int length, const char *text);
/* One look at the node without a call's cost, for the event wait. */
struct call peek(void);

/* Every entry begins with one of these; the lock is given back on return, whichever way. */
#define CALL() \
  struct call call __attribute__((cleanup(call_end))) = call_begin(__func__); \
  if (call.code != NVML_SUCCESS) return call.code
#define CALL_DEVICE(device) \
  struct call call __attribute__((cleanup(call_end))) = call_begin_device(__func__, device); \
  if (call.code != NVML_SUCCESS) return call.code
/* For what a MIG handle cannot tell (reference: "never per MIG instance"). */
#define CALL_PARENT(device) \
  CALL_DEVICE(device); \
  if (call.slice != NULL) return NVML_ERROR_NOT_SUPPORTED
#define NEED(pointer) \
  if ((pointer) == NULL) return NVML_ERROR_INVALID_ARGUMENT

/* The load model: pure functions of the script's time in seconds. */
struct activity {
  double gpu, memory_bw, sm, occupancy, tensor, memory_used; /* ratios 0-1 */
  double power_w, temperature_c, sm_mhz;
  unsigned long long throttle;
};
double script_seconds(const struct node *node);
struct activity activity_of_gpu(const struct node *node, unsigned int gpu, double t);
struct activity activity_of_slice(const struct node *node, unsigned int gpu, unsigned int slot, double t);
unsigned long long energy_mj(const struct node *node, unsigned int gpu, double t);
bool is_lost(const struct node *node, unsigned int gpu, double t);

#endif
