/*
 * What a device tells: names, memory, utilisation, power, clocks, errors, field values.
 */
#include <stdio.h>
#include <math.h>
#include <string.h>
#include "fake.h"

static struct activity now_of(const struct call *call) {
  return activity_of_gpu(call->node, call->gpu_index, script_seconds(call->node));
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length) {
  CALL_DEVICE(device);
  return copy_text(uuid, length, call.slice ? call.slice->uuid : call.gpu->uuid);
}
nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length) {
  CALL_DEVICE(device);
  char text[TEXT * 2];
  if (call.slice) snprintf(text, sizeof text, "%s MIG %s", call.gpu->product->name, call.slice->name);
  else snprintf(text, sizeof text, "%s", call.gpu->product->name);
  return copy_text(name, length, text);
}
nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int *index) {
  CALL_DEVICE(device);
  NEED(index);
  *index = call.slice ? (unsigned int)device->slot : call.gpu_index;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length) {
  CALL_PARENT(device);
  return copy_text(serial, length, call.gpu->serial);
}
nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor) {
  CALL_PARENT(device);
  NEED(major);
  NEED(minor);
  *major = (int)call.gpu->product->cc_major;
  *minor = (int)call.gpu->product->cc_minor;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci) {
  CALL_PARENT(device);
  NEED(pci);
  memset(pci, 0, sizeof *pci);
  pci->domain = call.gpu->domain;
  pci->bus = call.gpu->bus;
  pci->pciDeviceId = call.gpu->product->pci_device_id;
  pci->pciSubSystemId = 0x16C110DE;
  snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "%04X:%02X:00.0", pci->domain & 0xFFFF, pci->bus & 0xFF);
  snprintf(pci->busId, sizeof pci->busId, "%08X:%02X:00.0", pci->domain, pci->bus & 0xFF);
  return NVML_SUCCESS;
}

/* One out-parameter, one expression, parents only. */
#define PARENT_VALUE(name, type, expression) \
  nvmlReturn_t name(nvmlDevice_t device, type *value) { \
    CALL_PARENT(device); \
    NEED(value); \
    *value = (type)(expression); \
    return NVML_SUCCESS; \
  }
PARENT_VALUE(nvmlDeviceGetMinorNumber, unsigned int, call.gpu->minor)
PARENT_VALUE(nvmlDeviceGetBrand, unsigned int, call.gpu->product->brand)
PARENT_VALUE(nvmlDeviceGetArchitecture, unsigned int, call.gpu->product->architecture)
PARENT_VALUE(nvmlDeviceGetPowerUsage, unsigned int, now_of(&call).power_w * 1000)
PARENT_VALUE(nvmlDeviceGetEnforcedPowerLimit, unsigned int, call.gpu->product->power_limit_w * 1000)
PARENT_VALUE(nvmlDeviceGetPowerManagementLimit, unsigned int, call.gpu->product->power_limit_w * 1000)
PARENT_VALUE(nvmlDeviceGetTotalEnergyConsumption, unsigned long long,
             energy_mj(call.node, call.gpu_index, script_seconds(call.node)))
PARENT_VALUE(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, now_of(&call).throttle)
PARENT_VALUE(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, now_of(&call).throttle)
PARENT_VALUE(nvmlDeviceGetCurrPcieLinkGeneration, unsigned int, call.gpu->product->pcie_generation)
PARENT_VALUE(nvmlDeviceGetCurrPcieLinkWidth, unsigned int, 16)
PARENT_VALUE(nvmlDeviceGetPcieReplayCounter, unsigned int, 0)

/* The slot that stands for a slice's GPU instance: its compute instances share its memory. */
static unsigned int instance_slot(const struct gpu *gpu, unsigned int slot) {
  for (unsigned int i = 0; i < slot; i += 1)
    if (gpu->slices[i].present && gpu->slices[i].gi == gpu->slices[slot].gi) return i;
  return slot;
}
static unsigned long long instance_used_mb(const struct call *call, unsigned int slot) {
  const struct gpu *gpu = call->gpu;
  struct activity activity = activity_of_slice(call->node, call->gpu_index, slot, script_seconds(call->node));
  return (unsigned long long)(activity.memory_used * (double)gpu->slices[slot].profile->memory_mb);
}
/* On a partitioned GPU nothing is used outside its instances. */
static unsigned long long gpu_used_mb(const struct call *call) {
  const struct gpu *gpu = call->gpu;
  if (!gpu->mig_enabled) return (unsigned long long)(now_of(call).memory_used * (double)gpu->product->memory_mb);
  unsigned long long used = 0;
  for (unsigned int slot = 0; slot < MAX_SLOTS; slot += 1)
    if (gpu->slices[slot].present && instance_slot(gpu, slot) == slot) used += instance_used_mb(call, slot);
  return used;
}
static void memory_of(const struct call *call, unsigned long long *total, unsigned long long *reserved,
                      unsigned long long *used) {
  const unsigned long long mib = 1048576;
  if (call->slice) {
    unsigned int slot = (unsigned int)(call->slice - call->gpu->slices);
    *total = call->slice->profile->memory_mb * mib;
    *reserved = 0;
    *used = instance_used_mb(call, instance_slot(call->gpu, slot)) * mib;
    return;
  }
  *total = call->gpu->product->memory_mb * mib;
  *reserved = call->gpu->product->reserved_mb * mib;
  *used = gpu_used_mb(call) * mib;
}
/* The whole of a partitioned GPU is told to the privileged only. */
static bool hidden_aggregate(const struct call *call) {
  return call->slice == NULL && call->gpu->mig_enabled && !call->node->privileged;
}
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
  CALL_DEVICE(device);
  NEED(memory);
  if (hidden_aggregate(&call)) return NVML_ERROR_NO_PERMISSION;
  unsigned long long reserved;
  memory_of(&call, &memory->total, &reserved, &memory->used);
  memory->used += reserved; /* version 1 counts the driver's own memory as used */
  memory->free = memory->total - memory->used;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
  CALL_DEVICE(device);
  NEED(memory);
  if (memory->version != STRUCT_VERSION(nvmlMemory_v2_t, 2)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  if (hidden_aggregate(&call)) return NVML_ERROR_NO_PERMISSION;
  memory_of(&call, &memory->total, &memory->reserved, &memory->used);
  memory->free = memory->total - memory->used - memory->reserved;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization) {
  CALL_PARENT(device);
  NEED(utilization);
  if (call.gpu->mig_enabled) return NVML_ERROR_NOT_SUPPORTED;
  struct activity activity = now_of(&call);
  utilization->gpu = (unsigned int)lround(activity.gpu * 100);
  utilization->memory = (unsigned int)lround(activity.memory_bw * 100);
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, unsigned int sensor, unsigned int *celsius) {
  CALL_PARENT(device);
  NEED(celsius);
  if (sensor != 0) return NVML_ERROR_INVALID_ARGUMENT;
  *celsius = (unsigned int)now_of(&call).temperature_c;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_v1_t *temperature) {
  CALL_PARENT(device);
  NEED(temperature);
  if (temperature->version != STRUCT_VERSION(nvmlTemperature_v1_t, 1)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  if (temperature->sensorType != 0) return NVML_ERROR_INVALID_ARGUMENT;
  temperature->temperature = (int)now_of(&call).temperature_c;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, unsigned int type, unsigned int *mhz) {
  CALL_PARENT(device);
  NEED(mhz);
  if (type > 3) return NVML_ERROR_INVALID_ARGUMENT;
  *mhz = type == 2 ? call.gpu->product->memory_mhz : (unsigned int)now_of(&call).sm_mhz;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, unsigned int type, unsigned int *mhz) {
  CALL_PARENT(device);
  NEED(mhz);
  if (type > 3) return NVML_ERROR_INVALID_ARGUMENT;
  *mhz = type == 2 ? call.gpu->product->memory_mhz : call.gpu->product->max_sm_mhz;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, unsigned int *current, unsigned int *pending) {
  CALL_PARENT(device);
  NEED(current);
  NEED(pending);
  if (!call.gpu->product->ecc) return NVML_ERROR_NOT_SUPPORTED;
  *current = *pending = 1;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, unsigned int type, unsigned int counter,
                                         unsigned long long *count) {
  CALL_PARENT(device);
  NEED(count);
  /* Volatile counters are not told through the parent while MIG is on. */
  if (!call.gpu->product->ecc || (counter == 0 && call.gpu->mig_enabled)) return NVML_ERROR_NOT_SUPPORTED;
  *count = type == 0 ? call.gpu_index % 3 : 0;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned int *corrected, unsigned int *uncorrected,
                                       unsigned int *pending, unsigned int *failure) {
  CALL_PARENT(device);
  if (corrected == NULL || uncorrected == NULL || pending == NULL || failure == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  if (call.gpu->mig_enabled || call.gpu->product->architecture < 7) return NVML_ERROR_NOT_SUPPORTED;
  *corrected = *uncorrected = *pending = *failure = 0;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned int link, unsigned int *active) {
  CALL_PARENT(device);
  NEED(active);
  if (call.gpu->product->nvlinks == 0) return NVML_ERROR_NOT_SUPPORTED;
  if (link >= call.gpu->product->nvlinks) return NVML_ERROR_INVALID_ARGUMENT;
  *active = 1;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, unsigned int counter, unsigned int *kib) {
  CALL_PARENT(device);
  NEED(kib);
  if (counter > 1) return NVML_ERROR_INVALID_ARGUMENT;
  *kib = (unsigned int)(now_of(&call).gpu * (counter == 0 ? 210000 : 340000));
  return NVML_SUCCESS;
}

static nvmlReturn_t field_value(const struct call *call, nvmlFieldValue_t *field) {
  const struct product *product = call->gpu->product;
  double t = script_seconds(call->node);
  struct activity activity = now_of(call);
  field->valueType = 3;
  switch (field->fieldId) {
    case 82: field->valueType = 1, field->value.uiVal = (unsigned int)activity.temperature_c + 6; break;
    case 83:
    case 191:
      if (field->scopeId != 0) return NVML_ERROR_NOT_SUPPORTED;
      field->value.ullVal = energy_mj(call->node, call->gpu_index, t);
      break;
    case 91: field->valueType = 1, field->value.uiVal = product->nvlinks; break;
    case 138: case 139: case 140: case 141:
      if (product->nvlinks == 0) return NVML_ERROR_NOT_SUPPORTED;
      field->value.ullVal = (unsigned long long)(t * product->nvlink_mib_s * 1024 * 0.08);
      break;
    case 142: case 143: case 144: case 145:
      if (product->architecture < 7) return NVML_ERROR_NOT_SUPPORTED;
      field->valueType = 1, field->value.uiVal = 0;
      break;
    case 185:
    case 186:
      if (field->scopeId != 0) return NVML_ERROR_NOT_SUPPORTED;
      field->valueType = 1, field->value.uiVal = (unsigned int)(activity.power_w * 1000);
      break;
    case 197: case 198:
      if (product->architecture < 9) return NVML_ERROR_NOT_SUPPORTED;
      field->value.ullVal = (unsigned long long)(t * (field->fieldId == 197 ? 2.1e8 : 3.4e8));
      break;
    default: return NVML_ERROR_NOT_SUPPORTED;
  }
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *fields) {
  CALL_PARENT(device);
  NEED(fields);
  if (count < 0) return NVML_ERROR_INVALID_ARGUMENT;
  for (int i = 0; i < count; i += 1) {
    fields[i].timestamp = (long long)(wall_seconds() * 1e6);
    fields[i].latencyUsec = 18;
    fields[i].nvmlReturn = field_value(&call, &fields[i]);
  }
  return NVML_SUCCESS;
}
