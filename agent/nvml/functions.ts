/**
 * Every NVML function the agent calls: its exports from newest to oldest and its parameters.
 *
 * A function is looked up when first called and remembered. One that this driver lacks answers 13, as
 * NVIDIA's own bindings do, so callers handle a missing symbol and a refusal in one place.
 */
import { code } from "./readings.ts";
import type { Library, NativeCall, NativeFunction, Parameter } from "./library.ts";

type Signature = readonly [exports: readonly string[], parameters: readonly Parameter[]];

/** One device in, one buffer out. */
const out: readonly Parameter[] = ["handle", "address"];
const text: readonly Parameter[] = ["handle", "address", "u32"];

const signatures = {
  init: [["nvmlInit_v2"], []],
  shutdown: [["nvmlShutdown"], []],
  driverVersion: [["nvmlSystemGetDriverVersion"], ["address", "u32"]],
  nvmlVersion: [["nvmlSystemGetNVMLVersion"], ["address", "u32"]],
  cudaVersion: [
    ["nvmlSystemGetCudaDriverVersion_v2", "nvmlSystemGetCudaDriverVersion"],
    ["address"],
  ],
  count: [["nvmlDeviceGetCount_v2"], ["address"]],
  handleByIndex: [["nvmlDeviceGetHandleByIndex_v2"], ["u32", "address"]],
  uuid: [["nvmlDeviceGetUUID"], text],
  name: [["nvmlDeviceGetName"], text],
  serial: [["nvmlDeviceGetSerial"], text],
  minorNumber: [["nvmlDeviceGetMinorNumber"], out],
  architecture: [["nvmlDeviceGetArchitecture"], out],
  computeCapability: [["nvmlDeviceGetCudaComputeCapability"], ["handle", "address", "address"]],
  pciInfo: [["nvmlDeviceGetPciInfo_v3"], out],
  migMode: [["nvmlDeviceGetMigMode"], ["handle", "address", "address"]],
  maxMigCount: [["nvmlDeviceGetMaxMigDeviceCount"], out],
  migHandle: [["nvmlDeviceGetMigDeviceHandleByIndex"], ["handle", "u32", "address"]],
  gpuInstanceId: [["nvmlDeviceGetGpuInstanceId"], out],
  computeInstanceId: [["nvmlDeviceGetComputeInstanceId"], out],
  attributes: [["nvmlDeviceGetAttributes_v2"], out],
  nvLinkState: [["nvmlDeviceGetNvLinkState"], ["handle", "u32", "address"]],
  gpuInstanceById: [["nvmlDeviceGetGpuInstanceById"], ["handle", "u32", "address"]],
  gpuInstanceInfo: [["nvmlGpuInstanceGetInfo"], out],
  utilization: [["nvmlDeviceGetUtilizationRates"], out],
  power: [["nvmlDeviceGetPowerUsage"], out],
  powerLimit: [["nvmlDeviceGetEnforcedPowerLimit"], out],
  energy: [["nvmlDeviceGetTotalEnergyConsumption"], out],
  memoryV2: [["nvmlDeviceGetMemoryInfo_v2"], out],
  memory: [["nvmlDeviceGetMemoryInfo"], out],
  temperatureV: [["nvmlDeviceGetTemperatureV"], out],
  temperature: [["nvmlDeviceGetTemperature"], ["handle", "u32", "address"]],
  clock: [["nvmlDeviceGetClockInfo"], ["handle", "u32", "address"]],
  throttle: [
    ["nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"],
    out,
  ],
  eccErrors: [["nvmlDeviceGetTotalEccErrors"], ["handle", "u32", "u32", "address"]],
  fieldValues: [["nvmlDeviceGetFieldValues"], ["handle", "i32", "address"]],
  processDetails: [["nvmlDeviceGetRunningProcessDetailList"], out],
  computeProcessesV3: [
    ["nvmlDeviceGetComputeRunningProcesses_v3"],
    ["handle", "address", "address"],
  ],
  computeProcessesV2: [
    ["nvmlDeviceGetComputeRunningProcesses_v2"],
    ["handle", "address", "address"],
  ],
  computeProcessesV1: [["nvmlDeviceGetComputeRunningProcesses"], ["handle", "address", "address"]],
  mpsProcessesV3: [
    ["nvmlDeviceGetMPSComputeRunningProcesses_v3"],
    ["handle", "address", "address"],
  ],
  graphicsProcessesV3: [
    ["nvmlDeviceGetGraphicsRunningProcesses_v3"],
    ["handle", "address", "address"],
  ],
  processUtilization: [
    ["nvmlDeviceGetProcessUtilization"],
    ["handle", "address", "address", "u64"],
  ],
  gpmSupport: [["nvmlGpmQueryDeviceSupport"], out],
  gpmAlloc: [["nvmlGpmSampleAlloc"], ["address"]],
  gpmFree: [["nvmlGpmSampleFree"], ["handle"]],
  gpmSample: [["nvmlGpmSampleGet"], ["handle", "handle"]],
  gpmMigSample: [["nvmlGpmMigSampleGet"], ["handle", "u32", "handle"]],
  gpmMetrics: [["nvmlGpmMetricsGet"], ["address"]],
  eventSetCreate: [["nvmlEventSetCreate"], ["address"]],
  eventSetFree: [["nvmlEventSetFree"], ["handle"]],
  supportedEvents: [["nvmlDeviceGetSupportedEventTypes"], out],
  registerEvents: [["nvmlDeviceRegisterEvents"], ["handle", "u64", "handle"]],
  eventWait: [["nvmlEventSetWait_v2"], ["handle", "address", "u32"]],
} satisfies Record<string, Signature>;

export type FunctionName = keyof typeof signatures;

export interface Functions {
  readonly libraryPath: string;
  has(name: FunctionName): boolean;
  /** The function itself, for what is called every tick. */
  native(name: FunctionName): NativeCall;
  call(name: FunctionName, ...values: readonly (number | bigint)[]): number;
  /** Calls on a thread of the pool; for what blocks by design. */
  callAsync(name: FunctionName, ...values: readonly (number | bigint)[]): Promise<number>;
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
  const native = (name: FunctionName): NativeCall => find(name)?.call ?? notThere;
  return {
    libraryPath: library.path,
    has: (name) => find(name) !== undefined,
    native,
    call: (name, ...values) => native(name)(...values),
    callAsync: async (name, ...values) =>
      (await find(name)?.callAsync(...values)) ?? code.functionNotFound,
  };
}

const notThere: NativeCall = () => code.functionNotFound;
