"""Reads all that nvidia-ml-py can tell about the node and prints it as JSON. An error is "error <code>"."""
import json
import time
from ctypes import c_uint, c_ulonglong

from pynvml import *


def told(read, *arguments):
    try:
        value = read(*arguments)
    except NVMLError as error:
        return f"error {error.value}"
    if isinstance(value, (c_uint, c_ulonglong)):
        return value.value
    return value.decode() if isinstance(value, bytes) else value


def gpm(take, handle, supported):
    """SM percent between two samples 120 ms apart, and the code of a metric that does not exist."""
    if supported != 1:
        return {"gpmSmPercent": "error 3", "gpmUnknownMetric": "error 3"}
    first, second = nvmlGpmSampleAlloc(), nvmlGpmSampleAlloc()
    take(first)
    time.sleep(0.12)
    take(second)
    get = c_nvmlGpmMetricsGet_t()
    get.version = NVML_GPM_METRICS_GET_VERSION
    get.numMetrics = 2
    get.sample1, get.sample2 = first, second
    get.metrics[0].metricId = 2
    get.metrics[1].metricId = 19
    nvmlGpmMetricsGet(get)
    nvmlGpmSampleFree(first)
    nvmlGpmSampleFree(second)
    return {
        "gpmSmPercent": round(get.metrics[0].value),
        "gpmUnknownMetric": get.metrics[1].nvmlReturn,
    }


def processes(handle):
    return [
        {"pid": p.pid, "memory": p.usedGpuMemory, "gi": p.gpuInstanceId, "ci": p.computeInstanceId}
        for p in nvmlDeviceGetComputeRunningProcesses_v3(handle)
    ]


def placement(handle, instance):
    info = nvmlGpuInstanceGetInfo(nvmlDeviceGetGpuInstanceById(handle, instance))
    return [info.placement.start, info.placement.size]


def read_slice(parent, mig, index, supported):
    attributes = told(nvmlDeviceGetAttributes_v2, mig)
    instance = told(nvmlDeviceGetGpuInstanceId, mig)
    return {
        "index": index,
        "uuid": told(nvmlDeviceGetUUID, mig),
        "name": told(nvmlDeviceGetName, mig),
        "gi": instance,
        "ci": told(nvmlDeviceGetComputeInstanceId, mig),
        "isMig": told(nvmlDeviceIsMigDeviceHandle, mig),
        "sm": getattr(attributes, "multiprocessorCount", None),
        "memoryMb": getattr(attributes, "memorySizeMB", None),
        "parent": told(nvmlDeviceGetUUID, nvmlDeviceGetDeviceHandleFromMigDeviceHandle(mig)),
        "power": told(nvmlDeviceGetPowerUsage, mig),
        "utilization": told(nvmlDeviceGetUtilizationRates, mig),
        "memoryTotal": told(lambda h: nvmlDeviceGetMemoryInfo(h).total, mig),
        "memoryUsed": told(lambda h: nvmlDeviceGetMemoryInfo(h, nvmlMemory_v2).used, mig),
        "placement": told(placement, parent, instance),
        **gpm(lambda s: nvmlGpmMigSampleGet(parent, instance, s), mig, supported),
    }


def read_gpu(index):
    h = told(nvmlDeviceGetHandleByIndex, index)
    if isinstance(h, str):
        return {"handle": h}
    supported = told(lambda d: nvmlGpmQueryDeviceSupport(d).isSupportedDevice, h)
    listed = told(processes, h)
    gpu = {
        "uuid": told(nvmlDeviceGetUUID, h),
        "name": told(nvmlDeviceGetName, h),
        "index": told(nvmlDeviceGetIndex, h),
        "busId": told(lambda d: nvmlDeviceGetPciInfo(d).busId, h),
        "capability": told(nvmlDeviceGetCudaComputeCapability, h),
        "memoryTotal": told(lambda d: nvmlDeviceGetMemoryInfo(d).total, h),
        "memoryTotalV2": told(lambda d: nvmlDeviceGetMemoryInfo(d, nvmlMemory_v2).total, h),
        "memoryUsed": told(lambda d: nvmlDeviceGetMemoryInfo(d, nvmlMemory_v2).used, h),
        "utilization": told(lambda d: [(u := nvmlDeviceGetUtilizationRates(d)).gpu, u.memory], h),
        "power": told(nvmlDeviceGetPowerUsage, h),
        "powerLimit": told(nvmlDeviceGetEnforcedPowerLimit, h),
        "energy": told(nvmlDeviceGetTotalEnergyConsumption, h),
        "energyField": told(lambda d: nvmlDeviceGetFieldValues(d, [191])[0].value.ullVal, h),
        "temperature": told(nvmlDeviceGetTemperature, h, NVML_TEMPERATURE_GPU),
        "temperatureV": told(nvmlDeviceGetTemperatureV, h, NVML_TEMPERATURE_GPU),
        "smClock": told(nvmlDeviceGetClockInfo, h, NVML_CLOCK_SM),
        "throttle": told(nvmlDeviceGetCurrentClocksThrottleReasons, h),
        "ecc": told(nvmlDeviceGetTotalEccErrors, h, 0, 1),
        "remapped": told(nvmlDeviceGetRemappedRows, h),
        "migMode": told(nvmlDeviceGetMigMode, h),
        "isMig": told(nvmlDeviceIsMigDeviceHandle, h),
        "gpmSupported": supported,
        "processes": [] if isinstance(listed, str) else listed,
        "processError": listed if isinstance(listed, str) else None,
        "slices": [],
    }
    if gpu["migMode"] == [1, 1]:
        for slot in range(nvmlDeviceGetMaxMigDeviceCount(h)):
            mig = told(nvmlDeviceGetMigDeviceHandleByIndex, h, slot)
            if not isinstance(mig, str):
                gpu["slices"].append(read_slice(h, mig, slot, supported))
    else:
        gpu.update(gpm(lambda s: nvmlGpmSampleGet(h, s), h, supported))
    return gpu


started = told(nvmlInit)
report = {"system": {"init": started}, "gpus": []}
if started is None:
    report["system"]["driver"] = told(nvmlSystemGetDriverVersion)
    report["system"]["cuda"] = told(nvmlSystemGetCudaDriverVersion)
    report["gpus"] = [read_gpu(i) for i in range(nvmlDeviceGetCount())]
print(json.dumps(report))
