/**
 * Usage as the status tells it: seldom, and only what changed. Pure.
 */
import type { AxonizeTenantStatus } from "../crds/tenant.ts";

export interface UsageFacts {
  /** Begin of the running hour, by UTC. */
  readonly hourMs: number;
  readonly spans: number;
  readonly gpuSeconds: number;
  readonly hourBytes: number;
  readonly dayBytes: number;
  readonly exceeded: readonly {
    readonly quota: "SpansPerSecond" | "BytesPerDay";
    readonly lastMs: number;
  }[];
}

export interface Quotas {
  readonly spansPerSecond: number | undefined;
  readonly bytesPerDay: number | undefined;
}

type Usage = NonNullable<AxonizeTenantStatus["usage"]>;

const timeOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

/** Of the limit that is nearest, in whole percent; of spans, the hour's mean rate. */
export function quotaPercent(facts: UsageFacts, quotas: Quotas, nowMs: number): number {
  const seconds = Math.max(60, (nowMs - facts.hourMs) / 1000);
  const shares = [
    quotas.spansPerSecond === undefined ? 0 : facts.spans / seconds / quotas.spansPerSecond,
    quotas.bytesPerDay === undefined ? 0 : facts.dayBytes / quotas.bytesPerDay,
  ];
  return Math.min(2 ** 31 - 1, Math.floor(100 * Math.max(...shares)));
}

/**
 * What the status says from now on: the old figures, unless the hour or the percentage is another one; and
 * those at most every five minutes (`writtenMs`). An hour in which nothing came after one in which nothing
 * came is no news.
 */
export function nextUsage(
  before: Usage | undefined,
  facts: UsageFacts,
  options: { quotas: Quotas; nowMs: number; writtenMs: number },
): Usage | undefined {
  const quotaUsedPercent = quotaPercent(facts, options.quotas, options.nowMs);
  const fresh: Usage = {
    windowStart: timeOf(facts.hourMs),
    windowEnd: timeOf(facts.hourMs + 3_600_000),
    spans: String(facts.spans),
    ingestBytes: String(facts.hourBytes),
    gpuSeconds: facts.gpuSeconds.toFixed(3),
    quotaUsedPercent,
  };
  const isIdle = facts.spans === 0 && facts.hourBytes === 0;
  if (before === undefined) return isIdle && quotaUsedPercent === 0 ? undefined : fresh;
  const isNewHour = before.windowStart !== fresh.windowStart;
  const wasIdle = before.spans === "0" && before.ingestBytes === "0";
  if (isNewHour) {
    return isIdle && wasIdle && before.quotaUsedPercent === quotaUsedPercent ? before : fresh;
  }
  const isDue = options.nowMs - options.writtenMs >= usageWriteMs;
  return isDue && before.quotaUsedPercent !== quotaUsedPercent ? fresh : before;
}

export const usageWriteMs = 300_000;
/** A limit counts as exceeded for so long after it last was. */
export const exceededMs = 600_000;

export function exceededQuota(
  facts: UsageFacts,
  nowMs: number,
): "SpansPerSecond" | "BytesPerDay" | undefined {
  return facts.exceeded.find(({ lastMs }) => nowMs - lastMs < exceededMs)?.quota;
}
