/**
 * NVML's calls and answers on paper: a library that writes down what a driver answers, and one that answers
 * from what was written. So what a reader makes of real hardware can be tested without it.
 *
 * Processes and serial numbers are somebody's business: lists are written down as empty, serials as zeros.
 * Waiting for events is written down without the event.
 */
import { memoryAt, type Library, type NativeFunction, type Parameter } from "../nvml/library.ts";

export interface Call {
  readonly function: string;
  /** Integers given, without addresses, and what is asked in the memory that an address names. */
  readonly given: readonly string[];
  readonly returned: number;
  /** What was written at each address, in hex. */
  readonly wrote: readonly string[];
  readonly micros: number;
}

export interface Recording {
  readonly about: Readonly<Record<string, string>>;
  /** Exports that this driver does not have. */
  readonly missing: readonly string[];
  readonly calls: readonly Call[];
}

/** Answers kept of one function for the same arguments: enough for values that move. */
const keptAnswers = 4;
/** Of GPM's buffers each is another: two for each of 64 × 8 devices. */
const keptBuffers = 1024;
const fieldValueBytes = 40;

/** Bytes that a function writes at each address it is given. */
const written: Readonly<Record<string, readonly number[]>> = {
  nvmlSystemGetDriverVersion: [80],
  nvmlSystemGetNVMLVersion: [80],
  nvmlDeviceGetHandleByIndex_v2: [8],
  nvmlDeviceGetUUID: [96],
  nvmlDeviceGetName: [96],
  nvmlDeviceGetSerial: [30],
  nvmlDeviceGetCudaComputeCapability: [4, 4],
  nvmlDeviceGetPciInfo_v3: [68],
  nvmlDeviceGetMigMode: [4, 4],
  nvmlDeviceGetMigDeviceHandleByIndex: [8],
  nvmlDeviceGetAttributes_v2: [40],
  nvmlDeviceGetGpuInstanceById: [8],
  nvmlGpuInstanceGetInfo: [24],
  nvmlDeviceGetUtilizationRates: [8],
  nvmlDeviceGetTotalEnergyConsumption: [8],
  nvmlDeviceGetMemoryInfo_v2: [40],
  nvmlDeviceGetMemoryInfo: [24],
  nvmlDeviceGetTemperatureV: [12],
  nvmlDeviceGetCurrentClocksEventReasons: [8],
  nvmlDeviceGetCurrentClocksThrottleReasons: [8],
  nvmlDeviceGetTotalEccErrors: [8],
  nvmlDeviceGetRunningProcessDetailList: [12],
  nvmlDeviceGetProcessUtilization: [0, 4],
  nvmlGpmQueryDeviceSupport: [8],
  nvmlGpmSampleAlloc: [8],
  nvmlGpmMetricsGet: [24 + 40 * 5],
  nvmlEventSetCreate: [8],
  nvmlDeviceGetSupportedEventTypes: [8],
  nvmlEventSetWait_v2: [0],
};
const oneInteger = [4];

export function recordLibrary(library: Library): {
  library: Library;
  calls: Call[];
  missing: string[];
} {
  const calls: Call[] = [];
  const kept = new Map<string, Set<string>>();
  const missing = new Set<string>();
  const note = (call: Call): void => {
    const answers = kept.get(keyOf(call)) ?? new Set();
    kept.set(keyOf(call), answers);
    const answer = `${call.returned} ${call.wrote.join()}`;
    const most = call.function === "nvmlGpmSampleAlloc" ? keptBuffers : keptAnswers;
    if (answers.has(answer) || answers.size >= most) return;
    answers.add(answer);
    calls.push(call);
  };
  const bind: Library["bind"] = (exports, parameters) => {
    const bound = library.bind(exports, parameters);
    for (const name of exports) {
      if (name === bound?.name) break;
      missing.add(name);
    }
    return bound && recorded(bound, parameters, note);
  };
  return {
    library: { path: library.path, bind },
    calls,
    get missing() {
      return [...missing];
    },
  };
}

export function replayLibrary(recording: Recording): Library {
  const answers = new Map<string, Call[]>();
  for (const call of recording.calls) {
    const known = answers.get(keyOf(call));
    if (known) known.push(call);
    else answers.set(keyOf(call), [call]);
  }
  const named = new Set(recording.calls.map((call) => call.function));
  return {
    path: "a recording",
    bind(exports, parameters) {
      const name = exports.find((each) => named.has(each) && !recording.missing.includes(each));
      return name === undefined ? undefined : replayed(name, parameters, answers);
    },
  };
}

function recorded(
  bound: NativeFunction,
  parameters: readonly Parameter[],
  note: (call: Call) => void,
): NativeFunction {
  const write = (
    { given, addresses }: Sorted,
    values: readonly (number | bigint)[],
    returned: number,
    startMs: number,
  ): void => {
    const micros = Math.round((performance.now() - startMs) * 1000);
    const wrote = addresses.map((at, index) => {
      const bytes = sizeOf(bound.name, index, values);
      return bytes === 0 ? "" : withheld(bound.name, Buffer.from(memoryAt(at, bytes)));
    });
    note({ function: bound.name, given, returned, wrote, micros });
  };
  return {
    name: bound.name,
    call: (...values) => {
      const asked = sorted(bound.name, parameters, values);
      const startMs = performance.now();
      const returned = bound.call(...values);
      write(asked, values, returned, startMs);
      return returned;
    },
    callAsync: async (...values) => {
      const asked = sorted(bound.name, parameters, values);
      const startMs = performance.now();
      const returned = await bound.callAsync(...values);
      write(asked, values, returned, startMs);
      return returned;
    },
  };
}

function replayed(
  name: string,
  parameters: readonly Parameter[],
  answers: ReadonlyMap<string, Call[]>,
): NativeFunction {
  const call = (...values: readonly (number | bigint)[]): number => {
    const { given, addresses } = sorted(name, parameters, values);
    const known = answers.get(keyOf({ function: name, given }));
    // Asked for the first time now: NVML's "not supported" is what a reader must be able to take.
    const answer = known && known.length > 1 ? known.shift() : known?.[0];
    if (!answer) return 3;
    for (const [index, at] of addresses.entries()) {
      const bytes = Buffer.from(answer.wrote[index] ?? "", "hex");
      if (bytes.length > 0) memoryAt(at, bytes.length).set(bytes);
    }
    return answer.returned;
  };
  return { name, call, callAsync: async (...values) => await Promise.resolve(call(...values)) };
}

interface Sorted {
  readonly given: string[];
  readonly addresses: number[];
}

/** Arguments that are values, and those that say where values are. */
function sorted(
  name: string,
  parameters: readonly Parameter[],
  values: readonly (number | bigint)[],
): Sorted {
  const given: string[] = [];
  const addresses: number[] = [];
  for (const [index, value] of values.entries()) {
    if (parameters[index] === "address") addresses.push(Number(value));
    else given.push(String(value));
  }
  given.push(...askedInMemory(name, addresses[0] ?? 0, values));
  return { given, addresses };
}

/** What some functions are asked stands in the memory that they are given. */
function askedInMemory(
  name: string,
  at: number,
  values: readonly (number | bigint)[],
): readonly string[] {
  const hex = (bytes: number, from: number, to: number): string =>
    Buffer.from(memoryAt(at, bytes)).toString("hex", from, to);
  if (name === "nvmlGpmMetricsGet") return [hex(24, 8, 24)];
  if (name === "nvmlDeviceGetRunningProcessDetailList") return [hex(8, 4, 8)];
  if (name !== "nvmlDeviceGetFieldValues") return [];
  const fields = Array.from({ length: Number(values[1]) }, (_, field) => field * fieldValueBytes);
  return fields.map((from) => hex(from + 8, from, from + 8));
}

function sizeOf(name: string, index: number, values: readonly (number | bigint)[]): number {
  // (device, count, fields): the only length that an argument tells.
  if (name === "nvmlDeviceGetFieldValues") return Number(values[1]) * fieldValueBytes;
  // Process lists: the count; the rows are not written down.
  if (name.includes("RunningProcesses")) return index === 0 ? 4 : 0;
  return (written[name] ?? oneInteger)[index] ?? 0;
}

function withheld(name: string, bytes: Buffer): string {
  if (name === "nvmlDeviceGetSerial" || name.includes("RunningProcesses")) bytes.fill(0);
  if (name === "nvmlDeviceGetProcessUtilization") bytes.fill(0);
  if (name === "nvmlDeviceGetRunningProcessDetailList") bytes.writeUInt32LE(0, 8);
  return bytes.toString("hex");
}

function keyOf(call: Pick<Call, "function" | "given">): string {
  return `${call.function} ${call.given.join()}`;
}
