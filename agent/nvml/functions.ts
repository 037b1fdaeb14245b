/**
 * Every NVML function the agent calls: its exports from newest to oldest and its parameters.
 *
 * A function is looked up when first called and remembered. One that this driver lacks answers 13, as
 * NVIDIA's own bindings do, so callers handle a missing symbol and a refusal in one place.
 */
import { code } from "./readings.ts";
import type { Argument, Library, NativeFunction, Parameter } from "./library.ts";

type Signature = readonly [exports: readonly string[], parameters: readonly Parameter[]];

/** One device in, one buffer out. */
const out: readonly Parameter[] = ["handle", "buffer"];
const text: readonly Parameter[] = ["handle", "buffer", "u32"];

const signatures = {
  init: [["nvmlInit_v2"], []],
  shutdown: [["nvmlShutdown"], []],
  driverVersion: [["nvmlSystemGetDriverVersion"], ["buffer", "u32"]],
  nvmlVersion: [["nvmlSystemGetNVMLVersion"], ["buffer", "u32"]],
  cudaVersion: [
    ["nvmlSystemGetCudaDriverVersion_v2", "nvmlSystemGetCudaDriverVersion"],
    ["buffer"],
  ],
  count: [["nvmlDeviceGetCount_v2"], ["buffer"]],
  handleByIndex: [["nvmlDeviceGetHandleByIndex_v2"], ["u32", "buffer"]],
  uuid: [["nvmlDeviceGetUUID"], text],
  name: [["nvmlDeviceGetName"], text],
  serial: [["nvmlDeviceGetSerial"], text],
  minorNumber: [["nvmlDeviceGetMinorNumber"], out],
  architecture: [["nvmlDeviceGetArchitecture"], out],
  computeCapability: [["nvmlDeviceGetCudaComputeCapability"], ["handle", "buffer", "buffer"]],
  pciInfo: [["nvmlDeviceGetPciInfo_v3"], out],
  migMode: [["nvmlDeviceGetMigMode"], ["handle", "buffer", "buffer"]],
  maxMigCount: [["nvmlDeviceGetMaxMigDeviceCount"], out],
  migHandle: [["nvmlDeviceGetMigDeviceHandleByIndex"], ["handle", "u32", "buffer"]],
  gpuInstanceId: [["nvmlDeviceGetGpuInstanceId"], out],
  computeInstanceId: [["nvmlDeviceGetComputeInstanceId"], out],
  attributes: [["nvmlDeviceGetAttributes_v2"], out],
  gpuInstanceById: [["nvmlDeviceGetGpuInstanceById"], ["handle", "u32", "buffer"]],
  gpuInstanceInfo: [["nvmlGpuInstanceGetInfo"], out],
  utilization: [["nvmlDeviceGetUtilizationRates"], out],
  power: [["nvmlDeviceGetPowerUsage"], out],
  powerLimit: [["nvmlDeviceGetEnforcedPowerLimit"], out],
  energy: [["nvmlDeviceGetTotalEnergyConsumption"], out],
  memoryV2: [["nvmlDeviceGetMemoryInfo_v2"], out],
  memory: [["nvmlDeviceGetMemoryInfo"], out],
  temperatureV: [["nvmlDeviceGetTemperatureV"], out],
  temperature: [["nvmlDeviceGetTemperature"], ["handle", "u32", "buffer"]],
  clock: [["nvmlDeviceGetClockInfo"], ["handle", "u32", "buffer"]],
  throttle: [
    ["nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"],
    out,
  ],
  eccErrors: [["nvmlDeviceGetTotalEccErrors"], ["handle", "u32", "u32", "buffer"]],
  fieldValues: [["nvmlDeviceGetFieldValues"], ["handle", "i32", "buffer"]],
  processDetails: [["nvmlDeviceGetRunningProcessDetailList"], out],
  computeProcessesV3: [["nvmlDeviceGetComputeRunningProcesses_v3"], ["handle", "buffer", "buffer"]],
  computeProcessesV2: [["nvmlDeviceGetComputeRunningProcesses_v2"], ["handle", "buffer", "buffer"]],
  computeProcessesV1: [["nvmlDeviceGetComputeRunningProcesses"], ["handle", "buffer", "buffer"]],
  mpsProcessesV3: [["nvmlDeviceGetMPSComputeRunningProcesses_v3"], ["handle", "buffer", "buffer"]],
  graphicsProcessesV3: [
    ["nvmlDeviceGetGraphicsRunningProcesses_v3"],
    ["handle", "buffer", "buffer"],
  ],
  processUtilization: [["nvmlDeviceGetProcessUtilization"], ["handle", "buffer", "buffer", "u64"]],
  gpmSupport: [["nvmlGpmQueryDeviceSupport"], out],
  gpmAlloc: [["nvmlGpmSampleAlloc"], ["buffer"]],
  gpmFree: [["nvmlGpmSampleFree"], ["handle"]],
  gpmSample: [["nvmlGpmSampleGet"], ["handle", "handle"]],
  gpmMigSample: [["nvmlGpmMigSampleGet"], ["handle", "u32", "handle"]],
  gpmMetrics: [["nvmlGpmMetricsGet"], ["buffer"]],
  eventSetCreate: [["nvmlEventSetCreate"], ["buffer"]],
  eventSetFree: [["nvmlEventSetFree"], ["handle"]],
  supportedEvents: [["nvmlDeviceGetSupportedEventTypes"], out],
  registerEvents: [["nvmlDeviceRegisterEvents"], ["handle", "u64", "handle"]],
  eventWait: [["nvmlEventSetWait_v2"], ["handle", "buffer", "u32"]],
} satisfies Record<string, Signature>;

export type FunctionName = keyof typeof signatures;

export interface Functions {
  has(name: FunctionName): boolean;
  /** Calls on this thread; for what the driver answers from memory. */
  call(name: FunctionName, ...values: readonly Argument[]): number;
  /** Calls on a thread of the pool; for what may wait on the driver's lock for milliseconds. */
  callAsync(name: FunctionName, ...values: readonly Argument[]): Promise<number>;
}

export function createFunctions(library: Library): Functions {
  const bound = new Map<FunctionName, NativeFunction | undefined>();
  const find = (name: FunctionName): NativeFunction | undefined => {
    if (!bound.has(name)) {
      const [exports, parameters] = signatures[name];
      bound.set(name, library.bind(exports, parameters));
    }
    return bound.get(name);
  };
  return {
    has: (name) => find(name) !== undefined,
    call: (name, ...values) => find(name)?.call(...values) ?? code.functionNotFound,
    callAsync: async (name, ...values) =>
      (await find(name)?.callAsync(...values)) ?? code.functionNotFound,
  };
}
