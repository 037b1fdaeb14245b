/**
 * The devices that a trace ran on, each with how that is known; where that is not certain, what it may
 * have been and why. Never a guess.
 *
 * What ingest wrote on the spans comes first: it was checked against the agents' intervals. Then what
 * the agents said of the trace's pods at its start (a binding that came after the span), then the pods
 * that samples of the time name. A payload proves nothing about pods: for a tenant these two ways are
 * open only to pods of its own namespaces, the last one to who may see every device anyway.
 */
import { SpanKind, type Trace } from "@axonize/core/contract/trace";
import type { Mode, SightDeps } from "../gpus/sight.ts";
import { seesAllDevices } from "../gpus/sight.ts";
import { warningText, whyUnsure } from "../gpus/unsure.ts";
import * as limits from "../limits.ts";
import type { Context } from "../mount.ts";
import { readNamedHolders } from "../queries/gpus.sql.ts";
import { readBindings, readOwnPods, type BindingRecord } from "../queries/identity.sql.ts";
import type { TraceRecord } from "../queries/trace-record.ts";
import { readServingPods } from "../queries/trace-row.sql.ts";
import { readAttributions, type AttributionRecord } from "../queries/attributions.sql.ts";
import { levelRank } from "@axonize/core/contract/attribution";
import { msFromNs } from "../time-text.ts";
import type { LocatedTrace } from "./trace.ts";

export type TraceDevice = Trace["resourceGpus"][number];

export interface TraceDevices {
  devices: TraceDevice[];
  level: string;
  /** Devices that it may have been, where the join is not certain. */
  candidates: string[];
  evidence: string[];
  /** Why there are none; empty when there are. */
  reason: string;
}

export async function devicesOfTrace(
  deps: SightDeps,
  context: Context,
  trace: { located: LocatedTrace; head: TraceRecord; mode: Mode },
): Promise<TraceDevices> {
  const { located, head, mode } = trace;
  const startMs = msFromNs(head.startNs);
  const seesAll = seesAllDevices(context, mode);
  const [named, attributions] = await Promise.all([
    podsOf(deps, located, head),
    readAttributions(deps.queries, located.scope, located.spans),
  ]);
  const pods = seesAll ? named : await readOwnPods(deps.sql, context.tenant().id, named);
  const bindings = await readBindings(deps.sql, startMs, pods);
  if (head.gpus.length > 0) return written(head, attributions, bindings);
  const unsure = unsureOf(attributions);
  if (unsure !== undefined) return unsure;
  const told = fromBindings(head, bindings);
  if (told !== undefined) return told;
  if (head.gpuLevel !== "" && head.gpuLevel !== "unattributed") {
    return none(head.gpuLevel, "The device is not certain, so none is shown.");
  }
  if (named.length === 0) {
    return none(
      "unattributed",
      "No span of this trace names a device or a pod: nothing told which GPU it ran on.",
    );
  }
  const whose = isCallersPod(head, named)
    ? " That is its caller's pod: only the server's own spans tell where it ran."
    : "";
  if (!seesAll) {
    return none(
      "unattributed",
      pods.length > 0
        ? `No agent reports devices of pod ${pods.map(nameOf).join(", ")} for this time.${whose}`
        : "No span of this trace names a device. They name a pod, but a span's word proves nothing about pods, and its namespace is not bound to this tenant.",
    );
  }
  const devices = await devicesOfPods(deps, context, head, pods);
  return devices.length > 0
    ? {
        devices,
        level: devices.length === 1 ? "exact.single" : "exact.set",
        candidates: [],
        evidence: [],
        reason: "",
      }
    : none(
        "unattributed",
        `No span of this trace names a device, and no GPU sample of the time names pod ${pods.map(nameOf).join(", ")} as the holder of one.${whose}`,
      );
}

/** A client's span tells its own pod, which says nothing of the server that it called. */
function isCallersPod(head: TraceRecord, named: readonly Pod[]): boolean {
  const isCaller = head.isCall === 1 && SpanKind.options[head.callKind] === "client";
  return isCaller && named.every(({ pod }) => pod === head.pod);
}

interface Pod {
  namespace: string;
  pod: string;
}

const nameOf = ({ namespace, pod }: Pod): string =>
  namespace === "" ? pod : `${namespace}/${pod}`;

const none = (level: string, reason: string): TraceDevices => ({
  devices: [],
  level,
  candidates: [],
  evidence: [],
  reason,
});

/** Of the engines in the trace (prefill and decode may be apart), else of its principal call. */
async function podsOf(deps: SightDeps, located: LocatedTrace, head: TraceRecord): Promise<Pod[]> {
  const serving =
    head.servingPods ?? (await readServingPods(deps.queries, located.scope, located.spans));
  if (serving.length > 0) return serving;
  return head.isCall && head.pod !== "" ? [{ namespace: head.namespace, pod: head.pod }] : [];
}

/**
 * What ingest wrote on the spans, each device as sure as the least sure span that names it; the words of
 * the bindings of that device where the spans say none.
 */
function written(
  head: TraceRecord,
  attributions: readonly AttributionRecord[],
  bindings: readonly BindingRecord[],
): TraceDevices {
  const level = head.gpuLevel || "unattributed";
  const devices = head.gpus.slice(0, limits.traceLanes).map((uuid) => {
    const of = attributions.filter((each) => each.devices.includes(uuid));
    const words = wordsOf(of.flatMap(({ evidence }) => evidence));
    return {
      uuid,
      name: "",
      node: head.node,
      level: of.map((each) => each.level).toSorted(bySurety)[0] ?? level,
      evidence:
        words.length > 0
          ? words
          : evidenceOf(bindings.filter((each) => each.resource_uuids.includes(uuid))),
    };
  });
  return { devices, level, candidates: [], evidence: [], reason: "" };
}

const bySurety = (a: string, b: string): number => levelRank(a) - levelRank(b);

/** Spans whose device is not certain, with what it may have been; undefined: none says why. */
function unsureOf(attributions: readonly AttributionRecord[]): TraceDevices | undefined {
  const unsure = attributions.filter(
    ({ level, reason }) =>
      reason !== "" && (level === "ambiguous" || level === "identity.conflict"),
  );
  const [first] = unsure;
  if (first === undefined) return undefined;
  return {
    devices: [],
    level: unsure.map(({ level }) => level).toSorted(bySurety)[0] ?? first.level,
    candidates: [...new Set(unsure.flatMap((each) => each.candidates))].slice(0, limits.traceLanes),
    evidence: wordsOf(unsure.flatMap(({ evidence }) => evidence)),
    reason: [...new Set(unsure.map(({ reason }) => whyUnsure(reason)))].join(" "),
  };
}

/** Ingest keeps a binding's warnings among its evidence, as `warning: <code>`. */
const wordsOf = (evidence: readonly string[]): string[] => [
  ...new Set(
    evidence.map((each) => {
      const code = /^warning: (.+)$/.exec(each)?.[1];
      return code === undefined ? each : `but ${warningText(code)}`;
    }),
  ),
];

/** Undefined: the agents said nothing of these pods. */
function fromBindings(
  head: TraceRecord,
  bindings: readonly BindingRecord[],
): TraceDevices | undefined {
  // The containers' whole sets: the spans name no ordinal that ingest could have asked for.
  const sure = bindings.filter((binding) => binding.resource_uuids.length > 0);
  const isUnsure = head.gpuLevel === "ambiguous" || head.gpuLevel === "identity.conflict";
  if (sure.length > 0 && !isUnsure) {
    const uuids = [...new Set(sure.flatMap((binding) => binding.resource_uuids))];
    const level = uuids.length === 1 ? (sure[0]?.level ?? "exact.single") : "exact.set";
    const devices = uuids.slice(0, limits.traceLanes).map((uuid) => ({
      uuid,
      name: "",
      node: head.node,
      level,
      evidence: evidenceOf(sure.filter((binding) => binding.resource_uuids.includes(uuid))),
    }));
    return { devices, level, candidates: [], evidence: [], reason: "" };
  }
  const unsure = bindings.find((binding) => binding.reason !== null);
  if (unsure === undefined) return undefined;
  const candidates = isUnsure
    ? bindings.flatMap((b) => [...b.candidates, ...b.resource_uuids])
    : unsure.candidates;
  return {
    devices: [],
    level: isUnsure ? head.gpuLevel : unsure.level,
    candidates: [...new Set(candidates)].slice(0, limits.traceLanes),
    evidence: evidenceOf(bindings),
    reason: whyUnsure(unsure.reason ?? ""),
  };
}

function evidenceOf(bindings: readonly BindingRecord[]): string[] {
  return [
    ...new Set(
      bindings.flatMap((binding) => [
        ...binding.evidence,
        ...binding.warnings.map((code) => `but ${warningText(code)}`),
      ]),
    ),
  ];
}

async function devicesOfPods(
  deps: SightDeps,
  context: Context,
  head: TraceRecord,
  pods: readonly Pod[],
): Promise<TraceDevice[]> {
  const holders = await readNamedHolders(deps.queries, context.signal, {
    startMs: msFromNs(head.startNs),
    endMs: msFromNs(head.endNs) + 1,
    nowMs: context.nowMs,
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
