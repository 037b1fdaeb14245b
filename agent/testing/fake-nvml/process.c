/*
 * Process lists in their several layouts (16, 24 and the 32 bytes of 535.43-535.86), and the versioned list.
 */
#include <string.h>
#include "fake.h"

static bool belongs(const struct call *call, const struct process *process) {
  if (process->gpu != call->gpu_index) return false;
  bool on_slice = call->gpu->mig_enabled && process->slot >= 0;
  if (call->slice == NULL) return call->gpu->mig_enabled == on_slice;
  return on_slice && &call->gpu->slices[process->slot] == call->slice;
}

static nvmlProcessDetail_v1_t detail_of(const struct call *call, const struct process *process) {
  const struct slice *slice = call->gpu->mig_enabled && process->slot >= 0 ? &call->gpu->slices[process->slot] : NULL;
  return (nvmlProcessDetail_v1_t){
    .pid = process->pid,
    .usedGpuMemory = process->memory_unknown ? NVML_VALUE_NOT_AVAILABLE_U64 : process->memory_mb * 1048576,
    .gpuInstanceId = slice ? slice->gi : NVML_NO_INSTANCE,
    .computeInstanceId = slice ? slice->ci : NVML_NO_INSTANCE,
    .usedGpuCcProtectedMemory = NVML_VALUE_NOT_AVAILABLE_U64};
}

/* Every layout begins with pid (0) and memory (8); the longer ones go on with the detail's tail. */
static nvmlReturn_t list(const struct call *call, enum process_kind kind, unsigned int stride,
                         unsigned int *count, unsigned char *entries) {
  if (count == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  if (call->slice == NULL && call->gpu->mig_enabled && !call->node->privileged) return NVML_ERROR_NO_PERMISSION;
  unsigned int found = 0, room = entries == NULL ? 0 : *count;
  for (unsigned int i = 0; i < call->node->process_count; i += 1) {
    const struct process *process = &call->node->processes[i];
    if (process->kind != kind || !belongs(call, process)) continue;
    nvmlProcessDetail_v1_t detail = detail_of(call, process);
    if (found < room) memcpy(entries + (size_t)found * stride, &detail, stride);
    found += 1;
  }
  *count = found;
  return found > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

#define PROCESS_LIST(name, kind, stride) \
  nvmlReturn_t name(nvmlDevice_t device, unsigned int *count, unsigned char *entries) { \
    CALL_DEVICE(device); \
    return list(&call, kind, stride, count, entries); \
  }
PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses, PROCESS_COMPUTE, 16)
PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v2, PROCESS_COMPUTE, 24)
PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v3, PROCESS_COMPUTE, fake_process_stride)
PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, PROCESS_GRAPHICS, fake_process_stride)
PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, PROCESS_MPS, fake_process_stride)

nvmlReturn_t nvmlDeviceGetRunningProcessDetailList(nvmlDevice_t device, nvmlProcessDetailList_v1_t *details) {
  CALL_DEVICE(device);
  NEED(details);
  if (details->version != STRUCT_VERSION(nvmlProcessDetailList_v1_t, 1)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  if (details->mode > 2) return NVML_ERROR_INVALID_ARGUMENT;
  static const enum process_kind kinds[] = {PROCESS_COMPUTE, PROCESS_GRAPHICS, PROCESS_MPS};
  return list(&call, kinds[details->mode], sizeof(nvmlProcessDetail_v1_t), &details->numProcArrayEntries,
              (unsigned char *)details->procArray);
}

nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *samples,
                                             unsigned int *count, unsigned long long last_seen) {
  CALL_PARENT(device);
  NEED(count);
  if (call.gpu->mig_enabled) return NVML_ERROR_NOT_SUPPORTED;
  unsigned long long now = (unsigned long long)(wall_seconds() * 1e6);
  unsigned int found = 0, room = samples == NULL ? 0 : *count;
  for (unsigned int i = 0; i < call.node->process_count && last_seen < now; i += 1) {
    const struct process *process = &call.node->processes[i];
    if (!belongs(&call, process)) continue;
    if (found < room)
      samples[found] = (nvmlProcessUtilizationSample_t){.pid = process->pid, .timeStamp = now, .smUtil = process->sm};
    found += 1;
  }
  *count = found;
  if (found > room) return NVML_ERROR_INSUFFICIENT_SIZE;
  return found == 0 ? NVML_ERROR_NOT_FOUND : NVML_SUCCESS;
}
