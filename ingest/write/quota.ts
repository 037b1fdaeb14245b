/**
 * The tenants' limits: spans per second as a token bucket, bytes per day against the sum that all
 * processes have written to PostgreSQL. Beyond one, a tenant's requests are refused (`Reject`), its
 * traces are sampled (`Sample`), or it is only counted (`Warn`).
 *
 * How many spans a request has is known only after decoding, so a bucket may go into debt: the
 * request that crosses the limit is kept whole, the next ones wait until the debt is paid.
 */
import type { TenantAccess } from "@axonize/core/runtime/access";
import type { Clock } from "@axonize/core/runtime/clock";
import type { TraceSampling } from "../decode/decoder.ts";
import * as limits from "../limits.ts";
import type { Excess } from "../usage/excess.ts";
import { partOfDay, SampleRate } from "./sample-rate.ts";

export interface Quota {
  /** Undefined when the tenant may send, else when and why not. Only with `Reject`. */
  check(
    tenant: TenantAccess,
    dayBytes: number,
  ): { message: string; retryAfterMs: number } | undefined;
  /** Which traces of its next request are kept; undefined: all. */
  sampling(tenant: TenantAccess, dayBytes: number): TraceSampling | undefined;
  /** A request had `kept` spans, and `over` more that were left out for the limit; and bytes. */
  spend(tenant: TenantAccess, request: { kept: number; over: number; bytes: number }): void;
}

interface Bucket {
  tokens: number;
  at: number;
}

interface Sampled {
  spans: SampleRate;
  bytesPerSecond: number;
  bytes: number;
  at: number;
  /** The day's part; kept until it is wrong by a tenth. */
  dayPart: number;
}

export function createQuota(deps: { clock: Clock; excess: Excess }): Quota {
  const { clock, excess } = deps;
  // One per tenant with a limit: bounded by the number of tenants.
  const buckets = new Map<number, Bucket>();
  const sampled = new Map<number, Sampled>();
  const fill = (tenant: TenantAccess, perSecond: number): Bucket => {
    const now = clock.monotonic();
    const burst = burstOf(tenant, perSecond);
    const bucket = buckets.get(tenant.num) ?? { tokens: burst, at: now };
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * perSecond);
    bucket.at = now;
    buckets.set(tenant.num, bucket);
    return bucket;
  };
  const sampledOf = (tenant: TenantAccess): Sampled => {
    const now = clock.monotonic();
    const burst = burstOf(tenant, tenant.spansPerSecond ?? 0);
    const known = sampled.get(tenant.num) ?? {
      spans: new SampleRate(burst, now),
      bytesPerSecond: 0,
      bytes: 0,
      at: now,
      dayPart: 1,
    };
    sampled.set(tenant.num, known);
    return known;
  };
  return {
    check: (tenant, dayBytes) => {
      const { spansPerSecond, bytesPerDay } = tenant;
      if (tenant.onExceeded !== "Reject") return undefined;
      if (bytesPerDay !== undefined && dayBytes >= bytesPerDay) {
        excess.note(tenant, "BytesPerDay", { rejectedRequests: 1 });
        return {
          message: `The tenant's limit of ${bytesPerDay} bytes per day is reached; it begins anew at midnight UTC.`,
          retryAfterMs: dayMs - (clock.now() % dayMs),
        };
      }
      if (spansPerSecond === undefined) return undefined;
      const { tokens } = fill(tenant, spansPerSecond);
      if (tokens > 0) return undefined;
      excess.note(tenant, "SpansPerSecond", { rejectedRequests: 1 });
      return {
        message: `The tenant's limit of ${spansPerSecond} spans per second is reached.`,
        retryAfterMs: Math.ceil(((1 - tokens) / spansPerSecond) * 1000),
      };
    },
    sampling: (tenant, dayBytes) => {
      const part = tenant.onExceeded === "Sample" ? partOf(deps, tenant, dayBytes, sampledOf) : 1;
      if (part === 1 && tenant.tracesPerMillion === 1_000_000) return undefined;
      const wanted = (tenant.tracesPerMillion / 1_000_000) * 2 ** 32;
      return { wanted, allowed: wanted * part };
    },
    spend: (tenant, request) => {
      if (tenant.spansPerSecond === undefined && tenant.bytesPerDay === undefined) return;
      if (tenant.onExceeded === "Sample") spendSampled(excess, tenant, sampledOf(tenant), request);
      else if (tenant.spansPerSecond !== undefined) {
        spendTokens(excess, tenant, fill(tenant, tenant.spansPerSecond), request.kept);
      }
    },
  };
}

const dayMs = 86_400_000;

const burstOf = (tenant: TenantAccess, perSecond: number): number =>
  tenant.burstSpans ?? perSecond * limits.quotaBurstSeconds;

function spendSampled(
  excess: Excess,
  tenant: TenantAccess,
  known: Sampled,
  { kept, over, bytes }: { kept: number; over: number; bytes: number },
): void {
  known.spans.saw(kept + over, kept);
  known.bytes += bytes;
  if (over > 0) excess.note(tenant, boundOf(known), { sampledSpans: over });
}

function spendTokens(excess: Excess, tenant: TenantAccess, bucket: Bucket, kept: number): void {
  bucket.tokens -= kept;
  if (tenant.onExceeded === "Reject" || bucket.tokens >= 0) return;
  // A warning asks for no debt to be paid.
  excess.note(tenant, "SpansPerSecond", { excessSpans: Math.min(kept, -bucket.tokens) });
  bucket.tokens = 0;
}

/** The limit that binds the most. */
const boundOf = (known: Sampled): "SpansPerSecond" | "BytesPerDay" =>
  known.dayPart < known.spans.part ? "BytesPerDay" : "SpansPerSecond";

function partOf(
  { clock }: { clock: Clock },
  tenant: TenantAccess,
  dayBytes: number,
  sampledOf: (tenant: TenantAccess) => Sampled,
): number {
  const { spansPerSecond, bytesPerDay } = tenant;
  if (spansPerSecond === undefined && bytesPerDay === undefined) return 1;
  const known = sampledOf(tenant);
  const now = clock.monotonic();
  const spanPart =
    spansPerSecond === undefined
      ? 1
      : known.spans.turn(now, spansPerSecond, burstOf(tenant, spansPerSecond));
  if (bytesPerDay === undefined) return spanPart;
  if (now - known.at >= limits.sampleMemoryMs) {
    known.bytesPerSecond = known.bytes / ((now - known.at) / 1000);
    known.bytes = 0;
    known.at = now;
    known.dayPart = partOfDay({
      usedBytes: dayBytes,
      limitBytes: bytesPerDay,
      bytesPerSecond: known.bytesPerSecond,
      secondsLeft: (dayMs - (clock.now() % dayMs)) / 1000,
    });
  }
  return Math.min(spanPart, known.dayPart);
}
