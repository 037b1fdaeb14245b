/*
 * What differs between driver generations besides missing symbols, and the proof of the layouts.
 */
#include <stddef.h>
#include "fake.h"

const char *const fake_generation = FAKE_GENERATION;
/* Bytes per entry of ...RunningProcesses (v3, and v1 where the generation has no v3). */
const unsigned int fake_process_stride = FAKE_PROCESS_STRIDE;

#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " has another size")
SIZE(nvmlPciInfo_t, 68);
SIZE(nvmlMemory_t, 24);
SIZE(nvmlMemory_v2_t, 40);
SIZE(nvmlUtilization_t, 8);
SIZE(nvmlTemperature_v1_t, 12);
SIZE(nvmlProcessDetail_v1_t, 32);
SIZE(nvmlProcessDetailList_v1_t, 24);
SIZE(nvmlProcessUtilizationSample_t, 32);
SIZE(nvmlDeviceAttributes_t, 40);
SIZE(nvmlFieldValue_t, 40);
SIZE(nvmlEventData_t, 32);
SIZE(nvmlGpmSupport_t, 8);
SIZE(nvmlGpmMetric_t, 40);
SIZE(nvmlGpmMetricsGet_t, 24);
SIZE(nvmlGpuInstanceInfo_t, 24);
SIZE(nvmlComputeInstanceInfo_t, 32);
_Static_assert(STRUCT_VERSION(nvmlMemory_v2_t, 2) == 0x02000028u, "memory version");
_Static_assert(STRUCT_VERSION(nvmlTemperature_v1_t, 1) == 0x0100000Cu, "temperature version");
_Static_assert(STRUCT_VERSION(nvmlProcessDetailList_v1_t, 1) == 0x01000018u, "process list version");
_Static_assert(offsetof(nvmlFieldValue_t, valueType) == 24, "field value");
_Static_assert(offsetof(nvmlDeviceAttributes_t, memorySizeMB) == 32, "attributes");
