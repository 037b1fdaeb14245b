/**
 * Holders of a device from both sources: the agents' intervals, and the pods that samples named. Pure.
 *
 * Samples are the word of whoever sent them and are used only where no agent says anything: an
 * OpenTelemetry collector with `hw.*` metrics, the demo.
 */
import type { Gpu, Holder } from "@axonize/core/contract/gpu";
import type { DeviceRecord } from "../queries/devices.sql.ts";
import type { HolderRecord, Range } from "../queries/identity.sql.ts";
import { rfc3339FromMs } from "../time-text.ts";

/** A pod that samples named is still there until they have been silent for this long. */
const namedForMs = 70_000;

/** What samples named, hour by hour, as intervals: neighbouring hours of one container are one. */
export function namedHolders(record: DeviceRecord, nowMs: number): HolderRecord[] {
  const out: HolderRecord[] = [];
  for (const [namespace, pod, container, fromMs, lastMs] of record.named) {
    const same = out.find(
      (other) =>
        other.namespace === namespace &&
        other.pod === pod &&
        other.container === container &&
        fromMs - other.toMs < namedForMs,
    );
    if (same !== undefined) {
      same.toMs = Math.max(same.toMs, lastMs + 1);
      continue;
    }
    out.push({
      device: record.uuid,
      kind: "sample",
      own: true,
      namespace,
      pod,
      container,
      pid: null,
      command: "",
      replica: null,
      from: rfc3339FromMs(fromMs),
      to: null,
      fromMs,
      toMs: lastMs + 1,
      stale: false,
      closeReason: "",
    });
  }
  for (const holder of out) {
    if (nowMs - holder.toMs < namedForMs) holder.toMs = Infinity;
    else holder.to = rfc3339FromMs(holder.toMs);
  }
  return out;
}

export const holdersAt = (holders: readonly HolderRecord[], atMs: number): HolderRecord[] =>
  holders.filter(({ fromMs, toMs }) => fromMs <= atMs && atMs < toMs);

/** Without what is there to reckon with. */
export function toldHolders(holders: readonly HolderRecord[], most: number): Holder[] {
  return holders
    .slice(-most)
    .map(({ device: _device, fromMs: _fromMs, toMs: _toMs, ...holder }) => holder);
}

/** Own pods once each, by name. */
export function podsOf(holders: readonly HolderRecord[]): Gpu["pods"] {
  const pods = new Map<string, Gpu["pods"][number]>();
  for (const { namespace, pod, container } of holders) {
    if (pod !== "") {
      pods.set(`${namespace}/${pod}/${container}`, { namespace, name: pod, container });
    }
  }
  return [...pods].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, pod]) => pod);
}

export const rangesOf = (holders: readonly HolderRecord[]): Range[] =>
  holders.map(({ fromMs, toMs }) => ({ fromMs, toMs }));
