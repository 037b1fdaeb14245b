/**
 * A range of a device by what it did and who had it: active, idle, free, unknown, unsampled. Pure.
 *
 * The parts sum to the range. "Free" is said only where somebody would know: the agent of the node,
 * or a sender of samples that names holders. Everything else is unknown, with its reason.
 */
import type { DeviceSplit } from "@axonize/core/contract/gpu";
import type { Range } from "../queries/identity.sql.ts";

/** At most this busy counts as idle: sensors report 0 or a fraction of a percent. */
export const idleRatio = 0.02;

export interface SplitInput extends Range {
  startMs: readonly number[];
  stepMs: number;
  /** Per step; null: activity was not measured. */
  activity: readonly (number | null)[];
  /** Per step: anything at all was measured. */
  isSampled: (at: number) => boolean;
  /** Times for which somebody had it. */
  held: readonly Range[];
  /** Times for which "nobody had it" would be known. */
  known: readonly Range[];
}

export const whyUnknown = {
  holder: "nothing tells who holds this device: no agent reports it, and its samples name no pod",
  activity: "it is held, and does not measure its activity",
} as const;

export function splitOf(input: SplitInput): {
  split: DeviceSplit;
  unattributed: { reason: string; seconds: number }[];
} {
  const sums = { active: 0, idle: 0, free: 0, holder: 0, activity: 0, unsampled: 0 };
  const isIn = (ranges: readonly Range[], ms: number): boolean =>
    ranges.some(({ fromMs, toMs }) => fromMs <= ms && ms < toMs);
  const what = (at: number, middleMs: number): keyof typeof sums => {
    if (!input.isSampled(at)) return "unsampled";
    const activity = input.activity[at] ?? null;
    if (!isIn(input.held, middleMs)) return isIn(input.known, middleMs) ? "free" : "holder";
    if (activity === null) return "activity";
    return activity > idleRatio ? "active" : "idle";
  };
  let toldMs = 0;
  for (const [at, startMs] of input.startMs.entries()) {
    const fromMs = Math.max(startMs, input.fromMs);
    const toMs = Math.min(startMs + input.stepMs, input.toMs);
    if (toMs <= fromMs) continue;
    sums[what(at, (fromMs + toMs) / 2)] += toMs - fromMs;
    toldMs += toMs - fromMs;
  }
  sums.unsampled += Math.max(0, input.toMs - input.fromMs - toldMs);
  const seconds = (ms: number): number => ms / 1000;
  return {
    split: {
      activeSeconds: seconds(sums.active),
      idleSeconds: seconds(sums.idle),
      freeSeconds: seconds(sums.free),
      unknownSeconds: seconds(sums.holder + sums.activity),
      unsampledSeconds: seconds(sums.unsampled),
    },
    unattributed: (["holder", "activity"] as const)
      .filter((reason) => sums[reason] > 0)
      .map((reason) => ({ reason: whyUnknown[reason], seconds: seconds(sums[reason]) })),
  };
}
