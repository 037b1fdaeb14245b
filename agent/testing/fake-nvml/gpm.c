/*
 * GPM: a sample remembers its device and time, two samples give the average between them.
 */
#include <stdlib.h>
#include "fake.h"

/* Two samples nearer than this carry no data. */
#define MIN_APART_S 0.1

struct gpm_sample {
  bool taken;
  unsigned int gpu;
  int slot;
  double t, wall;
};

nvmlReturn_t nvmlGpmQueryDeviceSupport(nvmlDevice_t device, nvmlGpmSupport_t *support) {
  CALL_DEVICE(device);
  NEED(support);
  if (support->version != 1) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  support->isSupportedDevice = call.gpu->product->gpm;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlGpmSampleAlloc(nvmlGpmSample_t *sample) {
  CALL();
  NEED(sample);
  *sample = calloc(1, sizeof **sample);
  return *sample == NULL ? NVML_ERROR_MEMORY : NVML_SUCCESS;
}
nvmlReturn_t nvmlGpmSampleFree(nvmlGpmSample_t sample) {
  CALL();
  NEED(sample);
  free(sample);
  return NVML_SUCCESS;
}

static nvmlReturn_t take(const struct call *call, int slot, nvmlGpmSample_t sample) {
  if (!call->gpu->product->gpm) return NVML_ERROR_NOT_SUPPORTED;
  *sample = (struct gpm_sample){true, call->gpu_index, slot, script_seconds(call->node), wall_seconds()};
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlGpmSampleGet(nvmlDevice_t device, nvmlGpmSample_t sample) {
  CALL_DEVICE(device);
  NEED(sample);
  return take(&call, device->slot, sample);
}
nvmlReturn_t nvmlGpmMigSampleGet(nvmlDevice_t device, unsigned int gi, nvmlGpmSample_t sample) {
  CALL_PARENT(device);
  NEED(sample);
  if (!call.gpu->mig_enabled) return NVML_ERROR_NOT_SUPPORTED;
  for (int s = 0; s < MAX_SLOTS; s += 1)
    if (call.gpu->slices[s].present && call.gpu->slices[s].gi == gi) return take(&call, s, sample);
  return NVML_ERROR_INVALID_ARGUMENT;
}

static struct activity at(const struct node *node, const struct gpm_sample *sample, double t) {
  return sample->slot < 0 ? activity_of_gpu(node, sample->gpu, t)
                          : activity_of_slice(node, sample->gpu, (unsigned int)sample->slot, t);
}

/* Averages the model over [from, until] by 16 midpoints. */
static nvmlReturn_t metric(const struct node *node, const struct gpm_sample *from, const struct gpm_sample *until,
                           nvmlGpmMetric_t *to) {
  double sum = 0;
  const int points = 16;
  static const char *const names[] = {"Graphics Util", "SM Util", "SM Occupancy", "", "Any Tensor Util"};
  for (int i = 0; i < points; i += 1) {
    struct activity a = at(node, from, from->t + (until->t - from->t) * (i + 0.5) / points);
    switch (to->metricId) {
      case 1: sum += a.gpu * 100; break;
      case 2: sum += a.sm * 100; break;
      case 3: sum += a.occupancy * 100; break;
      case 5: sum += a.tensor * 100; break;
      case 7: sum += a.tensor * 92; break;
      case 10: sum += a.memory_bw * 100; break;
      case 20: sum += a.gpu * 205; break;
      case 21: sum += a.gpu * 332; break;
      case 60: case 61: sum += a.sm * 1400; break;
      default: return NVML_ERROR_NOT_SUPPORTED;
    }
  }
  to->value = sum / points;
  to->shortName = to->longName = to->metricId <= 5 ? names[to->metricId - 1] : to->metricId == 10 ? "DRAM BW Util" : "";
  to->unit = to->metricId < 20 ? "%" : "MiB/s";
  return NVML_SUCCESS;
}
/* Reads numMetrics entries and no more: the array's length differs from header to header. */
nvmlReturn_t nvmlGpmMetricsGet(nvmlGpmMetricsGet_t *get) {
  CALL();
  NEED(get);
  if (get->version != 1) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  const struct gpm_sample *from = get->sample1, *until = get->sample2;
  if (from == NULL || until == NULL || from == until || !from->taken || !until->taken) return NVML_ERROR_INVALID_ARGUMENT;
  if (from->gpu != until->gpu || from->slot != until->slot) return NVML_ERROR_INVALID_ARGUMENT;
  if (from->gpu >= call.node->gpu_count) return NVML_ERROR_INVALID_ARGUMENT;
  bool near = until->wall - from->wall < MIN_APART_S;
  for (unsigned int i = 0; i < get->numMetrics; i += 1)
    get->metrics[i].nvmlReturn = near ? NVML_ERROR_NO_DATA : metric(call.node, from, until, &get->metrics[i]);
  return NVML_SUCCESS;
}
