/**
 * Reads the values of every GPU and slice into rows: a short tick's at once, a long tick's as work in
 * single steps, because the driver may be slow.
 *
 * NVML tells nothing but identity, memory and GPM for a MIG slice, and no utilisation for a partitioned
 * GPU; such values are absent with that reason and are not asked for. A function that a device answered
 * with "not supported" is not asked again until the topology is read anew. What hardly ever changes
 * (limits, error counters) is read on the rare tick only; in between it is not asked for, without a reason.
 */
import { readFields, type FieldReads, createFieldReads } from "./fields.ts";
import type { FunctionName, Functions } from "./functions.ts";
import { createGpm, type Gpm } from "./gpm.ts";
import { sizes, u32, u64, versions } from "./layouts.ts";
import { outBuffer, type NativeCall, type OutBuffer } from "./library.ts";
import {
  clearRow,
  code,
  createRow,
  groups,
  missAll,
  put,
  reasonCode,
  type Group,
  type ReadSets,
  type Row,
} from "./readings.ts";
import type { OpenGpu, OpenSlice, TopologyReader } from "./topology.ts";
import type { Work } from "./work.ts";

/** Takes a row when it is complete; must read it out before it returns. */
export type Commit = (uuid: string, group: Group, row: Row) => void;

export interface Reader {
  /** What there is from now on; what was not supported may be so now. */
  use(gpus: readonly OpenGpu[]): void;
  fast(sets: ReadSets, commit: Commit): void;
  slow(sets: ReadSets, rare: boolean, commit: Commit): Work<void>;
  close(): void;
}

interface Context {
  readonly functions: Functions;
  readonly topology: TopologyReader;
  readonly gpm: Gpm;
  readonly fields: FieldReads;
  readonly calls: Readonly<Record<HotName, NativeCall>>;
  /** Buffers of the short tick are its own: it comes between two steps of the long one. */
  readonly fastOut: OutBuffer;
  readonly out: OutBuffer;
}

const hotNames = [
  "utilization",
  "power",
  "powerLimit",
  "energy",
  "throttle",
  "memoryV2",
  "memory",
  "temperatureV",
  "temperature",
  "clock",
  "eccErrors",
] as const satisfies readonly FunctionName[];
type HotName = (typeof hotNames)[number];

interface OpenDevice {
  readonly gpu: OpenGpu;
  readonly fast: Row;
  readonly slow: Row;
  readonly refused: Set<FunctionName>;
  readonly slices: readonly {
    readonly slice: OpenSlice;
    readonly row: Row;
    readonly refused: Set<FunctionName>;
  }[];
}

/** NVML's enums. */
const clockSm = 1;
const clockMemory = 2;
const sensorGpu = 0;
const eccAggregate = 1;
const eccCorrected = 0;
const eccUncorrected = 1;

const at = {
  fast: positionsOf("fast"),
  gpu: positionsOf("gpu"),
  slice: positionsOf("slice"),
};

export function createReader(functions: Functions, topology: TopologyReader): Reader {
  // Safe: every hot name gets its function.
  const calls = Object.fromEntries(
    hotNames.map((name) => [name, functions.native(name)]),
  ) as Record<HotName, NativeCall>;
  const gpm = createGpm(functions);
  const context: Context = {
    functions,
    topology,
    gpm,
    fields: createFieldReads(functions),
    calls,
    fastOut: outBuffer(sizes.utilization),
    out: outBuffer(sizes.memoryV2),
  };
  let devices: readonly OpenDevice[] = [];
  return {
    use(gpus) {
      gpm.retain(gpus);
      devices = gpus.map(openDevice);
    },
    fast(sets, commit) {
      for (const device of devices) {
        readFast(context, device, sets);
        commit(device.gpu.uuid, "fast", device.fast);
      }
    },
    *slow(sets, rare, commit) {
      for (const device of devices) {
        yield* readSlow(context, device, sets, rare);
        commit(device.gpu.uuid, "gpu", device.slow);
        for (const { slice, row, refused } of device.slices) {
          yield* readSlice(context, device.gpu, slice, { row, refused, sets });
          commit(slice.uuid, "slice", row);
        }
      }
    },
    close: () => gpm.retain([]),
  };
}

function openDevice(gpu: OpenGpu): OpenDevice {
  return {
    gpu,
    fast: createRow("fast"),
    slow: createRow("gpu"),
    refused: new Set(),
    slices: gpu.slices.map((slice) => ({ slice, row: createRow("slice"), refused: new Set() })),
  };
}

function readFast(context: Context, device: OpenDevice, sets: ReadSets): void {
  const { gpu, fast: row } = device;
  if (gpu.lost) {
    missAll(row, "gpu_lost");
    return;
  }
  clearRow(row);
  const { calls, fastOut } = context;
  if (gpu.migEnabled === true) {
    row.reasons[at.fast.utilizationRatio] = reasonCode.mig_enabled;
    row.reasons[at.fast.memoryUtilizationRatio] = reasonCode.mig_enabled;
  } else if (sets.utilization) {
    const returned = ask(device.refused, "utilization", calls.utilization, gpu.handle, fastOut.at);
    put(row, at.fast.utilizationRatio, returned, u32(fastOut.view, 0) / 100);
    put(row, at.fast.memoryUtilizationRatio, returned, u32(fastOut.view, 4) / 100);
  }
  if (sets.power) {
    const returned = ask(device.refused, "power", calls.power, gpu.handle, fastOut.at);
    put(row, at.fast.powerWatts, returned, u32(fastOut.view, 0) / 1000);
  }
}

function* readSlow(
  context: Context,
  device: OpenDevice,
  sets: ReadSets,
  rare: boolean,
): Work<void> {
  const { gpu, slow: row, refused } = device;
  if (gpu.lost) {
    missAll(row, "gpu_lost");
    return;
  }
  clearRow(row);
  if (sets.memory)
    yield* readMemory(context, row, at.gpu.memoryReservedBytes, { handle: gpu.handle, refused });
  yield* readFields(context.fields, row, gpu.handle, sets, rare);
  const { calls, out } = context;
  const energy = at.gpu.energyMillijoules;
  if (sets.power && row.reasons[energy] !== 0) {
    // Where the field is not told (its scope differs on some modules), the older function may be.
    yield "energy";
    row.reasons[energy] = 0;
    const returned = ask(refused, "energy", calls.energy, gpu.handle, out.at);
    put(row, energy, returned, u64(out.view, 0));
  }
  if (sets.power && rare) {
    yield "powerLimit";
    const returned = ask(refused, "powerLimit", calls.powerLimit, gpu.handle, out.at);
    put(row, at.gpu.powerLimitWatts, returned, u32(out.view, 0) / 1000);
  }
  if (sets.thermal) yield* readThermal(context, row, gpu, refused);
  if (sets.errors && rare) yield* readEcc(context, row, gpu.handle);
  if (sets.profiling) yield* context.gpm.read(row, at.gpu.smActivityRatio, gpu, undefined);
}

function* readThermal(
  context: Context,
  row: Row,
  gpu: OpenGpu,
  refused: Set<FunctionName>,
): Work<void> {
  const { calls, out } = context;
  yield "throttle";
  let returned = ask(refused, "throttle", calls.throttle, gpu.handle, out.at);
  put(row, at.gpu.throttleReasons, returned, u64(out.view, 0));
  yield "temperatureV";
  out.view.setUint32(0, versions.temperatureV1, true);
  out.view.setUint32(4, sensorGpu, true);
  returned = ask(refused, "temperatureV", calls.temperatureV, gpu.handle, out.at);
  let offset = 8;
  if (returned === code.functionNotFound || returned === code.versionMismatch) {
    yield "temperature";
    returned = calls.temperature(gpu.handle, sensorGpu, out.at);
    offset = 0;
  }
  put(row, at.gpu.temperatureCelsius, returned, out.view.getInt32(offset, true));
  yield "clock";
  returned = calls.clock(gpu.handle, clockSm, out.at);
  put(row, at.gpu.smClockMhz, returned, u32(out.view, 0));
  yield "clock";
  returned = calls.clock(gpu.handle, clockMemory, out.at);
  put(row, at.gpu.memoryClockMhz, returned, u32(out.view, 0));
}

/** The aggregate counters: the volatile ones are not told while MIG is on. */
function* readEcc({ calls, out }: Context, row: Row, handle: number): Work<void> {
  yield "eccErrors";
  let returned = calls.eccErrors(handle, eccCorrected, eccAggregate, out.at);
  put(row, at.gpu.eccCorrected, returned, u64(out.view, 0));
  yield "eccErrors";
  returned = calls.eccErrors(handle, eccUncorrected, eccAggregate, out.at);
  put(row, at.gpu.eccUncorrected, returned, u64(out.view, 0));
}

function* readSlice(
  context: Context,
  gpu: OpenGpu,
  slice: OpenSlice,
  to: { readonly row: Row; readonly refused: Set<FunctionName>; readonly sets: ReadSets },
): Work<void> {
  const { row, refused, sets } = to;
  if (gpu.lost) {
    missAll(row, "gpu_lost");
    return;
  }
  clearRow(row);
  if (sets.memory) {
    const of = { handle: slice.handle, refused };
    yield* readMemory(context, row, at.slice.memoryReservedBytes, of);
  }
  if (sets.profiling) yield* context.gpm.read(row, at.slice.smActivityRatio, gpu, slice);
  // Asked afterwards: a repartition before or during the reading shows here.
  yield "uuid";
  if (context.topology.isStill(slice)) return;
  context.gpm.forget(gpu, slice);
  missAll(row, "slice_gone");
}

/** Both kinds of row begin with the memory's two values; the driver's own part has another place. */
function* readMemory(
  { calls, out }: Context,
  row: Row,
  reservedAt: number,
  of: { readonly handle: number; readonly refused: Set<FunctionName> },
): Work<void> {
  yield "memoryV2";
  out.view.setUint32(0, versions.memoryV2, true);
  let returned = ask(of.refused, "memoryV2", calls.memoryV2, of.handle, out.at);
  if (returned !== code.functionNotFound && returned !== code.versionMismatch) {
    put(row, at.slice.memoryUsedBytes, returned, u64(out.view, 32));
    put(row, at.slice.memoryTotalBytes, returned, u64(out.view, 8));
    put(row, reservedAt, returned, u64(out.view, 16));
    return;
  }
  // Version 1 counts what the driver keeps for itself as used, and does not tell how much that is.
  yield "memory";
  returned = ask(of.refused, "memory", calls.memory, of.handle, out.at);
  put(row, at.slice.memoryUsedBytes, returned, u64(out.view, 16));
  put(row, at.slice.memoryTotalBytes, returned, u64(out.view, 0));
  put(row, reservedAt, returned === code.success ? code.functionNotFound : returned, 0);
}

/** Calls (device, out) unless this device refused before; remembers a refusal. */
function ask(
  refused: Set<FunctionName>,
  name: FunctionName,
  call: NativeCall,
  handle: number,
  out: number,
): number {
  if (refused.size > 0 && refused.has(name)) return code.notSupported;
  const returned = call(handle, out);
  if (returned === code.notSupported) refused.add(name);
  return returned;
}

function positionsOf<G extends Group>(group: G): Record<(typeof groups)[G][number], number> {
  const names: readonly string[] = groups[group];
  // Safe: every metric of the group gets its position.
  return Object.fromEntries(names.map((name, index) => [name, index])) as Record<
    (typeof groups)[G][number],
    number
  >;
}
