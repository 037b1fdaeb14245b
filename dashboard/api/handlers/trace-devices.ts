/**
 * The devices that a trace ran on, each with how that is known.
 *
 * What its spans say comes first. Spans that name no device (plain OpenTelemetry, vLLM) belong to
 * their container's whole allocated set, which the devices' own samples tell by pod. A payload
 * proves nothing about pods: that second way is open only to who may see every device anyway,
 * until an operator binds namespaces to tenants.
 */
import type { Trace } from "@axonize/core/contract/trace";
import * as limits from "../limits.ts";
import type { Context } from "../mount.ts";
import { readHolders } from "../queries/gpus.sql.ts";
import type { Queries } from "../queries/query.ts";
import { readServingPods, type TraceRecord } from "../queries/trace-row.sql.ts";
import { msFromNs } from "../time-text.ts";
import type { LocatedTrace } from "./trace.ts";

export type TraceDevice = Trace["resourceGpus"][number];

export interface TraceDevices {
  devices: TraceDevice[];
  /** Why there are none; empty when there are. */
  reason: string;
}

export async function devicesOfTrace(
  queries: Queries,
  context: Context,
  trace: { located: LocatedTrace; head: TraceRecord; seesAll: boolean },
): Promise<TraceDevices> {
  const { located, head, seesAll } = trace;
  if (head.gpus.length > 0) {
    const devices = head.gpus.slice(0, limits.traceLanes).map((uuid) => ({
      uuid,
      name: "",
      node: head.node,
      level: head.gpuLevel || "unattributed",
      evidence: [],
    }));
    return { devices, reason: "" };
  }
  if (head.gpuLevel !== "" && head.gpuLevel !== "unattributed") {
    return none(`The device is not certain (${head.gpuLevel}), so none is shown.`);
  }
  const pods = await podsOf(queries, located, head);
  if (pods.length === 0) {
    return none("No span of this trace names a device or a pod: nothing told which GPU it ran on.");
  }
  if (!seesAll) {
    return none(
      "No span of this trace names a device. They name a pod, but a span's word proves nothing about pods, and no namespace is bound to this tenant.",
    );
  }
  const devices = await devicesOfPods(queries, context, head, pods);
  return devices.length > 0
    ? { devices, reason: "" }
    : none(
        `No span of this trace names a device, and no GPU sample of the time names pod ${pods.map(nameOf).join(", ")} as the holder of one.`,
      );
}

/** The admin acting for a tenant, and the one tenant of a machine of one's own. */
export function seesAllDevices(context: Context, mode: "standalone" | "cluster"): boolean {
  if (context.grant?.admin === true) return true;
  return mode === "standalone" && context.grant?.keyId === undefined;
}

interface Pod {
  namespace: string;
  pod: string;
}

const nameOf = ({ namespace, pod }: Pod): string =>
  namespace === "" ? pod : `${namespace}/${pod}`;

const none = (reason: string): TraceDevices => ({ devices: [], reason });

/** Of the engines in the trace (prefill and decode may be apart), else of its principal call. */
async function podsOf(queries: Queries, located: LocatedTrace, head: TraceRecord): Promise<Pod[]> {
  const serving = await readServingPods(queries, located.scope, located.spans);
  if (serving.length > 0) return serving;
  return head.isCall && head.pod !== "" ? [{ namespace: head.namespace, pod: head.pod }] : [];
}

async function devicesOfPods(
  queries: Queries,
  context: Context,
  head: TraceRecord,
  pods: readonly Pod[],
): Promise<TraceDevice[]> {
  const holders = await readHolders(queries, context.signal, {
    startMs: msFromNs(head.startNs),
    endMs: msFromNs(head.endNs) + 1,
    pods,
  });
  const countOf = new Map<string, number>();
  for (const holder of holders) {
    countOf.set(nameOf(holder), (countOf.get(nameOf(holder)) ?? 0) + 1);
  }
  return holders.slice(0, limits.traceLanes).map((holder) => ({
    uuid: holder.device,
    name: holder.name,
    node: holder.node,
    level: countOf.get(nameOf(holder)) === 1 ? "exact.single" : "exact.set",
    evidence: [`GPU samples of the time name pod ${nameOf(holder)} as the holder of this device`],
  }));
}
