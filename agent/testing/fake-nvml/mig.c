/*
 * MIG: modes, sparse indices, instances, attributes and placement.
 */
#include <string.h>
#include "fake.h"

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *current, unsigned int *pending) {
  CALL_PARENT(device);
  NEED(current);
  NEED(pending);
  if (!call.gpu->product->mig) return NVML_ERROR_NOT_SUPPORTED;
  *current = call.gpu->mig_enabled;
  *pending = call.gpu->mig_pending;
  return NVML_SUCCESS;
}
/* 0 when unsupported or off. A node of a test may use indices beyond the product's own limit. */
nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count) {
  CALL_PARENT(device);
  NEED(count);
  *count = call.gpu->mig_enabled ? call.gpu->product->max_slices : 0;
  for (unsigned int s = 0; s < MAX_SLOTS && call.gpu->mig_enabled; s += 1)
    if (call.gpu->slices[s].present && s + 1 > *count) *count = s + 1;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index, nvmlDevice_t *mig) {
  CALL_PARENT(device);
  NEED(mig);
  if (!call.gpu->mig_enabled) return NVML_ERROR_NOT_SUPPORTED;
  if (index >= MAX_SLOTS) return NVML_ERROR_INVALID_ARGUMENT;
  if (!call.gpu->slices[index].present) return NVML_ERROR_NOT_FOUND;
  *mig = slot_handle(call.gpu_index, index);
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t mig, nvmlDevice_t *device) {
  CALL_DEVICE(mig);
  NEED(device);
  if (call.slice == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  *device = gpu_handle(call.gpu_index);
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int *is_mig) {
  CALL_DEVICE(device);
  NEED(is_mig);
  *is_mig = call.slice != NULL;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned int *id) {
  CALL_DEVICE(device);
  NEED(id);
  if (call.slice == NULL) return NVML_ERROR_NOT_SUPPORTED;
  *id = call.slice->gi;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned int *id) {
  CALL_DEVICE(device);
  NEED(id);
  if (call.slice == NULL) return NVML_ERROR_NOT_SUPPORTED;
  *id = call.slice->ci;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes) {
  CALL_DEVICE(device);
  NEED(attributes);
  if (call.slice == NULL) return NVML_ERROR_NOT_SUPPORTED;
  const struct mig_profile *profile = call.slice->profile;
  /* "1c.3g.40gb": a compute instance of one of its GPU instance's three slices. */
  unsigned int ci_slices = call.slice->name[1] == 'c' ? (unsigned int)(call.slice->name[0] - '0') : profile->slices;
  *attributes = (nvmlDeviceAttributes_t){
    .multiprocessorCount = profile->sm_count * ci_slices / profile->slices,
    .sharedCopyEngineCount = profile->copy_engines, .sharedDecoderCount = profile->decoders,
    .gpuInstanceSliceCount = profile->slices, .computeInstanceSliceCount = ci_slices,
    .memorySizeMB = profile->memory_mb};
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetAttributes(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes) {
  return nvmlDeviceGetAttributes_v2(device, attributes);
}

/* Instance handles need privilege and are the only source of placement. Handles are slices in disguise. */
nvmlReturn_t nvmlDeviceGetGpuInstanceById(nvmlDevice_t device, unsigned int id, nvmlGpuInstance_t *instance) {
  CALL_PARENT(device);
  NEED(instance);
  if (!call.node->privileged) return NVML_ERROR_NO_PERMISSION;
  if (!call.gpu->mig_enabled) return NVML_ERROR_NOT_SUPPORTED;
  for (unsigned int s = 0; s < MAX_SLOTS; s += 1)
    if (call.gpu->slices[s].present && call.gpu->slices[s].gi == id) {
      *instance = (nvmlGpuInstance_t)slot_handle(call.gpu_index, s);
      return NVML_SUCCESS;
    }
  return NVML_ERROR_NOT_FOUND;
}
nvmlReturn_t nvmlGpuInstanceGetInfo(nvmlGpuInstance_t instance, nvmlGpuInstanceInfo_t *info) {
  CALL_DEVICE((nvmlDevice_t)instance);
  NEED(info);
  if (call.slice == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  *info = (nvmlGpuInstanceInfo_t){.device = gpu_handle(call.gpu_index), .id = call.slice->gi,
    .profileId = call.slice->profile->profile_id,
    .placement = {call.slice->start, call.slice->profile->placement_size}};
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlGpuInstanceGetComputeInstanceById(nvmlGpuInstance_t instance, unsigned int id, nvmlComputeInstance_t *compute) {
  CALL_DEVICE((nvmlDevice_t)instance);
  NEED(compute);
  if (!call.node->privileged) return NVML_ERROR_NO_PERMISSION;
  for (unsigned int s = 0; s < MAX_SLOTS && call.slice != NULL; s += 1) {
    const struct slice *other = &call.gpu->slices[s];
    if (!other->present || other->gi != call.slice->gi || other->ci != id) continue;
    *compute = (nvmlComputeInstance_t)slot_handle(call.gpu_index, s);
    return NVML_SUCCESS;
  }
  return NVML_ERROR_NOT_FOUND;
}
nvmlReturn_t nvmlComputeInstanceGetInfo_v2(nvmlComputeInstance_t compute, nvmlComputeInstanceInfo_t *info) {
  nvmlDevice_t device = (nvmlDevice_t)compute;
  CALL_DEVICE(device);
  NEED(info);
  if (call.slice == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  *info = (nvmlComputeInstanceInfo_t){.device = gpu_handle(call.gpu_index),
    .gpuInstance = (nvmlGpuInstance_t)device, .id = call.slice->ci, .profileId = 0,
    .placement = {0, call.slice->profile->slices}};
  return NVML_SUCCESS;
}
