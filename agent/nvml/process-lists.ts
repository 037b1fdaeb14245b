/**
 * The rows of one device's process list, in whichever layout this driver has.
 *
 * Prefers the versioned list. Where a driver lacks it, entries of `…_v3` are 24, 32 (535.43–535.86) or
 * 16 bytes without any sign, so the stride is found from how far the driver wrote into a marked buffer
 * and checked against living pids. One list took 4.5 ms where it was measured, so lists are steps of work.
 */
import type { FunctionName, Functions } from "./functions.ts";
import { instanceId, memoryBytes, sizes, u32, versions } from "./layouts.ts";
import { outBuffer, type OutBuffer } from "./library.ts";
import { firstProcesses, maxProcesses } from "./limits.ts";
import { code, reasonOf, type Reason } from "./readings.ts";
import type { Work } from "./work.ts";

export type ProcessKind = "compute" | "graphics" | "mps";

export interface ProcessRow {
  readonly kind: ProcessKind;
  readonly pid: number;
  /** undefined: the driver does not tell it. */
  readonly memoryBytes: number | undefined;
  readonly gpuInstanceId: number | undefined;
  readonly computeInstanceId: number | undefined;
}
type BareRow = Omit<ProcessRow, "kind">;
/** The rows, or NVML's code. */
type Answer = readonly BareRow[] | number;

/** NVML's process modes, and the older functions that list the same, newest first. */
const kinds: readonly { kind: ProcessKind; mode: number; older: readonly FunctionName[] }[] = [
  {
    kind: "compute",
    mode: 0,
    older: ["computeProcessesV3", "computeProcessesV2", "computeProcessesV1"],
  },
  { kind: "graphics", mode: 1, older: ["graphicsProcessesV3"] },
  { kind: "mps", mode: 2, older: ["mpsProcessesV3"] },
];

/** A byte that no last byte of an entry has: ids and sizes end in 0x00 or 0xFF. */
const mark = 0xa5;
const longestStride = 32;

interface Context {
  readonly functions: Functions;
  readonly pidExists: (pid: number) => boolean;
  /** Bytes per entry of `…_v3` on this driver; found at the first list that has a row. */
  stride: number | undefined;
  readonly rooms: Map<string, OutBuffer>;
}

/** All rows of a device, or why they cannot be read. */
export function createProcessLists(
  functions: Functions,
  pidExists: (pid: number) => boolean,
): (handle: number) => Work<readonly ProcessRow[] | Reason> {
  const context: Context = { functions, pidExists, stride: undefined, rooms: new Map() };
  return function* (handle) {
    const found: ProcessRow[] = [];
    for (const { kind, mode, older } of kinds) {
      const answer = yield* list(context, handle, mode, older);
      if (typeof answer === "object") found.push(...answer.map((row) => ({ kind, ...row })));
      else if (kind === "compute" || answer !== code.notSupported) return reasonOf(answer);
    }
    return found;
  };
}

function* list(
  context: Context,
  handle: number,
  mode: number,
  older: readonly FunctionName[],
): Work<Answer> {
  if (context.functions.has("processDetails")) {
    const answer = yield* versioned(context, handle, mode);
    if (answer !== code.versionMismatch) return answer;
  }
  const name = older.find((each) => context.functions.has(each));
  return name === undefined ? [] : yield* unversioned(context, name, handle);
}

function* versioned(context: Context, handle: number, mode: number): Work<Answer> {
  const details = roomFor(context, "details", sizes.processDetailList);
  for (let room = firstProcesses; ;) {
    const rows = roomFor(context, "rows", sizes.processDetail * room);
    details.view.setUint32(0, versions.processDetailListV1, true);
    details.view.setUint32(4, mode, true);
    details.view.setUint32(8, room, true);
    details.view.setBigUint64(16, BigInt(rows.at), true);
    yield "processDetails";
    const returned = context.functions.call("processDetails", handle, details.at);
    const count = u32(details.view, 8);
    if (returned === code.success) {
      return decode(rows.view, Math.min(count, room), sizes.processDetail);
    }
    // Beyond the limit the driver refuses the whole list: unknown is honest, a part would not be.
    if (returned !== code.insufficientSize || room >= maxProcesses) return returned;
    room = Math.min(count * 2 + 5, maxProcesses);
  }
}

function* unversioned(context: Context, name: FunctionName, handle: number): Work<Answer> {
  const count = roomFor(context, "details", sizes.processDetailList);
  for (let room = firstProcesses; ;) {
    // The longest layout for every row, so that none writes past the end.
    const rows = roomFor(context, "rows", longestStride * room);
    rows.bytes.fill(mark);
    count.view.setUint32(0, room, true);
    yield name;
    const returned = context.functions.call(name, handle, count.at, rows.at);
    const found = u32(count.view, 0);
    if (returned === code.success) {
      const length = Math.min(found, room);
      return decode(rows.view, length, strideOf(context, name, rows, length));
    }
    if (returned !== code.insufficientSize || room >= maxProcesses) return returned;
    room = Math.min(found * 2 + 5, maxProcesses);
  }
}

/** A buffer for one list at a time, kept at the largest size it ever needed (at most 128 KiB). */
function roomFor({ rooms }: Context, use: string, bytes: number): OutBuffer {
  const known = rooms.get(use);
  if (known && known.bytes.length >= bytes) return known;
  const fresh = outBuffer(bytes);
  rooms.set(use, fresh);
  return fresh;
}

function strideOf(context: Context, name: FunctionName, rows: OutBuffer, count: number): number {
  if (name === "computeProcessesV1") return 16;
  if (name === "computeProcessesV2") return 24;
  if (context.stride !== undefined || count === 0) return context.stride ?? 24;
  let written = rows.bytes.length;
  while (written > 0 && rows.bytes[written - 1] === mark) written -= 1;
  const byExtent = [16, 24, 32].find((stride) => stride * count >= written) ?? 24;
  const isAlive = (stride: number): boolean =>
    decode(rows.view, count, stride).every(({ pid }) => pid > 0 && context.pidExists(pid));
  // Living pids confirm; where they cannot (another pid namespace), the extent decides.
  context.stride = [byExtent, 24, 32, 16].find(isAlive) ?? byExtent;
  return context.stride;
}

function decode(view: DataView, count: number, stride: number): BareRow[] {
  return Array.from({ length: count }, (_, index) => {
    const at = index * stride;
    return {
      pid: u32(view, at),
      memoryBytes: memoryBytes(view, at + 8),
      gpuInstanceId: stride >= 24 ? instanceId(view, at + 16) : undefined,
      computeInstanceId: stride >= 24 ? instanceId(view, at + 20) : undefined,
    };
  });
}
