/**
 * Holders of a device as lanes: one per container with its processes under it, others without names
 * together. Pure.
 */
import type { Holder } from "@axonize/core/contract/gpu";
import { timeMs } from "../../data/format.ts";

export interface HolderBar {
  /** 0–1 of the range. */
  readonly from: number;
  readonly to: number;
  readonly open: boolean;
  readonly title: string;
}

export interface HolderLane {
  readonly key: string;
  readonly label: string;
  readonly note: string;
  readonly process: boolean;
  readonly named: boolean;
  readonly bars: readonly HolderBar[];
}

export function holderName(holder: Holder): string {
  if (!holder.own) return "others";
  if (holder.pod !== "") return [holder.namespace, holder.pod].filter(Boolean).join("/");
  return holder.kind === "usage" ? `${holder.command || "process"} ${holder.pid ?? ""}` : "unnamed";
}

/** Lanes in order of first appearance, processes after their container; at most `most`. */
export function holderLanes(
  holders: readonly Holder[],
  range: { readonly fromMs: number; readonly toMs: number },
  most: number,
): { readonly lanes: readonly HolderLane[]; readonly more: number } {
  const keyed = holders.map((holder) => ({ holder, key: keyOf(holder) }));
  const groups = Map.groupBy(keyed, ({ key }) => key);
  const lanes = [...groups]
    .map(([key, members]) =>
      laneFrom(
        key,
        members.map(({ holder }) => holder),
        range,
      ),
    )
    .filter(({ bars }) => bars.length > 0)
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  return { lanes: lanes.slice(0, most), more: Math.max(0, lanes.length - most) };
}

/** `usage` sorts after `allocation` of the same container. */
function keyOf(holder: Holder): string {
  const owner = holder.own ? `a ${holderName(holder)} ${holder.container}` : "z others";
  if (holder.kind !== "usage" || !holder.own) return owner;
  return holder.pod === "" ? `b ${holderName(holder)}` : `${owner} ${holder.pid ?? ""}`;
}

function laneFrom(
  key: string,
  holders: readonly Holder[],
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
): HolderLane {
  const [first] = holders;
  const share = (ms: number): number => Math.max(0, Math.min(1, (ms - fromMs) / (toMs - fromMs)));
  const bars = holders.map((holder) => ({
    from: share(timeMs(holder.from)),
    to: holder.to === null ? 1 : share(timeMs(holder.to)),
    open: holder.to === null,
    title: barTitle(holder),
  }));
  const process = first?.kind === "usage" && first.own && first.pod !== "";
  return {
    key,
    label:
      first === undefined
        ? ""
        : process
          ? `${first.command} ${first.pid ?? ""}`
          : holderName(first),
    note: first === undefined || process ? "" : noteOf(first),
    process,
    named: first?.own ?? false,
    bars: bars.filter(({ from, to }) => to > from),
  };
}

function noteOf(holder: Holder): string {
  if (!holder.own) return "another tenant";
  const shared = holder.replica === null ? "" : `slot ${holder.replica}`;
  const stale = holder.stale ? "held on without the kubelet's word" : "";
  return [holder.container, shared, stale].filter(Boolean).join(" · ");
}

const sources: Readonly<Record<Holder["kind"], string>> = {
  allocation: "allocated by the kubelet",
  usage: "a process computes on it",
  sample: "named by the device's samples",
};

function barTitle(holder: Holder): string {
  const end = holder.to === null ? "now" : holder.to.slice(0, 19).replace("T", " ");
  const why = holder.closeReason === "" ? "" : `, ${holder.closeReason.replaceAll("_", " ")}`;
  return `${sources[holder.kind]}, ${holder.from.slice(0, 19).replace("T", " ")} to ${end}${why}`;
}
