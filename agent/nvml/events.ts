/**
 * XIDs, ECC and MIG changes through one event set for all GPUs: a blocking wait on a thread of the pool,
 * again and again. Events before the registration are lost to NVML; a kernel log would have them.
 */
import type { Functions } from "./functions.ts";
import { instanceId, sizes, u64 } from "./layouts.ts";
import { outBuffer } from "./library.ts";
import { code } from "./readings.ts";
import type { OpenGpu } from "./topology.ts";

export type NvmlEventKind = "xid" | "ecc" | "mig" | "other";

export interface NvmlEvent {
  readonly gpuUuid: string;
  readonly kind: NvmlEventKind;
  /** NVML's event type bits. */
  readonly type: number;
  /** The XID number for `xid`; 999 is unknown. */
  readonly data: number;
  readonly gpuInstanceId: number | undefined;
  readonly computeInstanceId: number | undefined;
}

export interface EventWaiter {
  /** Registers at these GPUs, instead of at those before. */
  register(gpus: readonly OpenGpu[]): void;
  /** Waits once, at most `timeoutMs`. Undefined: nothing happened. */
  wait(timeoutMs: number): Promise<NvmlEvent | undefined>;
  close(): void;
}

const bits = { eccDouble: 0x2, xid: 0x8, migChange: 0x100, retired: 0x400, poison: 0x3000 };
const wanted = bits.eccDouble | bits.xid | bits.migChange | bits.retired | bits.poison;

export function createEventWaiter(functions: Functions): EventWaiter {
  const small = outBuffer(8);
  let set: number | undefined;
  let waitedOn: number | undefined;
  let names = new Map<number, string>();

  const create = (): number | undefined =>
    functions.call("eventSetCreate", small.at) === code.success ? u64(small.view, 0) : undefined;

  /** A set that is being waited on is freed when the wait returns, never under it. */
  const drop = (): void => {
    if (set !== undefined && set !== waitedOn) functions.call("eventSetFree", set);
    set = undefined;
  };

  return {
    register(gpus) {
      drop();
      const fresh = create();
      if (fresh === undefined) return;
      names = new Map();
      for (const gpu of gpus) {
        if (gpu.lost) continue;
        if (functions.call("supportedEvents", gpu.handle, small.at) !== code.success) continue;
        const mask = BigInt(wanted) & small.view.getBigUint64(0, true);
        if (mask === 0n) continue;
        if (functions.call("registerEvents", gpu.handle, mask, fresh) === code.success) {
          names.set(gpu.handle, gpu.uuid);
        }
      }
      set = fresh;
    },
    async wait(timeoutMs) {
      if (set === undefined || names.size === 0) return undefined;
      const data = outBuffer(sizes.eventData);
      const waited = set;
      waitedOn = waited;
      try {
        const returned = await functions.callAsync("eventWait", waited, data.at, timeoutMs);
        const gpuUuid = names.get(u64(data.view, 0));
        if (returned !== code.success || gpuUuid === undefined) return undefined;
        const type = u64(data.view, 8);
        return {
          gpuUuid,
          kind: kindOf(type),
          type,
          data: u64(data.view, 16),
          gpuInstanceId: instanceId(data.view, 24),
          computeInstanceId: instanceId(data.view, 28),
        };
      } finally {
        waitedOn = undefined;
        if (set !== waited) functions.call("eventSetFree", waited);
      }
    },
    close: drop,
  };
}

function kindOf(type: number): NvmlEventKind {
  if ((type & bits.xid) !== 0) return "xid";
  if ((type & bits.migChange) !== 0) return "mig";
  if ((type & (bits.eccDouble | bits.retired | bits.poison)) !== 0) return "ecc";
  return "other";
}
