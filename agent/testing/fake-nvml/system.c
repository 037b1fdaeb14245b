/*
 * The library itself: init, versions, error texts, and finding a device.
 */
#include <stdio.h>
#include <string.h>
#include "fake.h"

/* gcc -Wmissing-prototypes stays off: the exported names are NVML's and have no header here. */
nvmlReturn_t nvmlInitWithFlags(unsigned int flags) { return initialise(flags); }
nvmlReturn_t nvmlInit_v2(void) { return initialise(0); }
nvmlReturn_t nvmlInit(void) { return initialise(0); }
nvmlReturn_t nvmlShutdown(void) { return shut_down(); }

const char *nvmlErrorString(nvmlReturn_t code) {
  static const struct { nvmlReturn_t code; const char *text; } texts[] = {
    {0, "The operation was successful"}, {1, "Uninitialized"}, {2, "Invalid Argument"}, {3, "Not Supported"},
    {4, "Insufficient Permissions"}, {6, "Not Found"}, {7, "Insufficient Size"}, {9, "Driver Not Loaded"},
    {10, "Timeout"}, {13, "Function Not Found"}, {15, "GPU is lost"}, {18, "Driver/library version mismatch"},
    {20, "Insufficient Memory"}, {21, "No data"}, {25, "Argument version mismatch"}, {999, "Unknown Error"}};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i += 1)
    if (texts[i].code == code) return texts[i].text;
  return "Unknown Error";
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length) {
  CALL();
  return copy_text(version, length, call.node->driver);
}
nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length) {
  CALL();
  return copy_text(version, length, call.node->nvml);
}
nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version) {
  CALL();
  NEED(version);
  *version = call.node->cuda;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version) { return nvmlSystemGetCudaDriverVersion_v2(version); }
nvmlReturn_t nvmlSystemGetProcessName(unsigned int pid, char *name, unsigned int length) {
  CALL();
  char path[64], text[1024] = {0};
  snprintf(path, sizeof path, "/proc/%u/comm", pid);
  FILE *file = fopen(path, "r");
  if (file == NULL) return NVML_ERROR_NOT_FOUND;
  size_t read = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[read > 0 && text[read - 1] == '\n' ? read - 1 : read] = 0;
  return copy_text(name, length, text);
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
  CALL();
  NEED(count);
  *count = call.node->gpu_count;
  return NVML_SUCCESS;
}
/* The unversioned name is the old ABI: it refuses the whole call when one GPU cannot be reached. */
nvmlReturn_t nvmlDeviceGetCount(unsigned int *count) {
  CALL();
  NEED(count);
  for (unsigned int i = 0; i < call.node->gpu_count; i += 1)
    if (is_lost(call.node, i, script_seconds(call.node))) return NVML_ERROR_UNKNOWN;
  *count = call.node->gpu_count;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
  CALL();
  NEED(device);
  if (index >= call.node->gpu_count) return NVML_ERROR_INVALID_ARGUMENT;
  if (is_lost(call.node, index, script_seconds(call.node))) return NVML_ERROR_GPU_IS_LOST;
  *device = gpu_handle(index);
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
  CALL();
  NEED(device);
  NEED(uuid);
  for (unsigned int g = 0; g < call.node->gpu_count; g += 1) {
    const struct gpu *gpu = &call.node->gpus[g];
    if (strcmp(gpu->uuid, uuid) == 0) {
      *device = gpu_handle(g);
      return NVML_SUCCESS;
    }
    for (unsigned int s = 0; s < MAX_SLOTS && gpu->mig_enabled; s += 1)
      if (gpu->slices[s].present && strcmp(gpu->slices[s].uuid, uuid) == 0) {
        *device = slot_handle(g, s);
        return NVML_SUCCESS;
      }
  }
  return NVML_ERROR_NOT_FOUND;
}
nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvmlDevice_t *device) {
  CALL();
  NEED(device);
  NEED(bus_id);
  unsigned int domain, bus, slot;
  if (sscanf(bus_id, "%x:%x:%x", &domain, &bus, &slot) != 3) return NVML_ERROR_INVALID_ARGUMENT;
  for (unsigned int g = 0; g < call.node->gpu_count; g += 1)
    if (call.node->gpus[g].bus == bus && call.node->gpus[g].domain == domain && slot == 0) {
      *device = gpu_handle(g);
      return NVML_SUCCESS;
    }
  return NVML_ERROR_NOT_FOUND;
}
