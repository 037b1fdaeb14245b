/**
 * The tenants' limits: spans per second as a token bucket, bytes per day against the sum that all
 * processes have written to PostgreSQL.
 *
 * How many spans a request has is known only after decoding, so a bucket may go into debt: the
 * request that crosses the limit is kept whole, the next ones wait until the debt is paid.
 */
import type { TenantAccess } from "@axonize/core/runtime/access";
import type { Clock } from "@axonize/core/runtime/clock";
import * as limits from "../limits.ts";

export interface Quota {
  /** Undefined when the tenant may send, else when and why not. */
  check(
    tenant: TenantAccess,
    dayBytes: number,
  ): { message: string; retryAfterMs: number } | undefined;
  /** `spans` were taken. */
  spend(tenant: TenantAccess, spans: number): void;
}

interface Bucket {
  tokens: number;
  at: number;
}

export function createQuota(deps: { clock: Clock }): Quota {
  const { clock } = deps;
  // One per tenant with a limit: bounded by the number of tenants.
  const buckets = new Map<number, Bucket>();
  const fill = (num: number, perSecond: number): Bucket => {
    const now = clock.monotonic();
    const burst = perSecond * limits.quotaBurstSeconds;
    const bucket = buckets.get(num) ?? { tokens: burst, at: now };
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * perSecond);
    bucket.at = now;
    buckets.set(num, bucket);
    return bucket;
  };
  return {
    check: (tenant, dayBytes) => {
      const { spansPerSecond, bytesPerDay } = tenant;
      if (bytesPerDay !== undefined && dayBytes >= bytesPerDay) {
        return {
          message: `The tenant's limit of ${bytesPerDay} bytes per day is reached; it begins anew at midnight UTC.`,
          retryAfterMs: dayMs - (clock.now() % dayMs),
        };
      }
      if (spansPerSecond === undefined) return undefined;
      const { tokens } = fill(tenant.num, spansPerSecond);
      if (tokens > 0) return undefined;
      return {
        message: `The tenant's limit of ${spansPerSecond} spans per second is reached.`,
        retryAfterMs: Math.ceil(((1 - tokens) / spansPerSecond) * 1000),
      };
    },
    spend: (tenant, spans) => {
      if (tenant.spansPerSecond !== undefined)
        fill(tenant.num, tenant.spansPerSecond).tokens -= spans;
    },
  };
}

const dayMs = 86_400_000;
