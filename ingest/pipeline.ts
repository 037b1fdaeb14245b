/**
 * The way of one request, whatever it came by: closed door, quota, decode, group commit, outcome.
 *
 * Decoding is synchronous and all-or-nothing for malformed bytes; what is decoded sits in the open
 * group, and the outcome is known when that group is in ClickHouse or has failed.
 */
import type { TenantAccess } from "@axonize/core/runtime/access";
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import { payloadRetentionDays, readOnlyRetryMs, storeRetryMs } from "./limits.ts";
import type { IngestMetrics } from "./metrics.ts";
import type { PointsDecoder } from "./points/decoder.ts";
import type { Sender } from "./receive/door.ts";
import {
  refused,
  withJitter,
  type Encoding,
  type Outcome,
  type Refused,
  type Signal,
} from "./receive/outcome.ts";
import { describeRejects, type Reason } from "./reasons.ts";
import type { TraceDecoder } from "./decode/decoder.ts";
import type { Attributor } from "./decode/devices.ts";
import type { UsageDerivation } from "./usage/derive.ts";
import type { Tally } from "./usage/heartbeat.ts";
import type { Intake } from "./usage/intake.ts";
import type { GroupCommit } from "./write/group.ts";
import type { Quota } from "./write/quota.ts";
import { requestKey, type RecentRequests } from "./write/recent-requests.ts";
import type { StoreHealth } from "./write/store-health.ts";

export interface Submission {
  sender: Sender;
  signal: Signal;
  encoding: Encoding;
  /** As it came, for recognising repeats; */
  sent: Uint8Array;
  /** and decompressed. */
  body: Uint8Array;
}

export interface Pipeline {
  /** Why nothing of the sender is taken now, known without the body. */
  closed(sender: Sender, signal: Signal): Refused | undefined;
  submit(submission: Submission): Promise<Outcome>;
}

interface Deps {
  clock: Clock;
  log: Log;
  metrics: IngestMetrics;
  traces: TraceDecoder;
  attributor: Attributor;
  points: PointsDecoder;
  groups: GroupCommit;
  recent: RecentRequests;
  quota: Quota;
  health: StoreHealth;
  intake: Intake;
  usage: UsageDerivation;
  tally: Tally;
}

export function createPipeline(deps: Deps): Pipeline {
  return {
    closed: ({ tenant }) => {
      const shut = tenant === undefined ? undefined : shutFor(tenant);
      if (shut !== undefined) return shut;
      if (deps.health.isDown()) return storeDown();
      if (tenant === undefined) return undefined;
      const over = deps.quota.check(tenant, deps.intake.dayBytes(tenant));
      if (over === undefined) return undefined;
      return refused("quota", over.message, over.retryAfterMs);
    },
    submit: async (submission) => {
      const { sender, signal } = submission;
      const scope = `${sender.tenant?.num ?? "admin"}:${sender.grant.admin ? 1 : 0}:${signal}`;
      const { outcome, repeat } = deps.recent.once(
        requestKey(scope, submission.sent),
        async () => await take(deps, submission),
      );
      if (repeat) deps.metrics.repeats.inc();
      return await outcome;
    },
  };
}

async function take(deps: Deps, submission: Submission): Promise<Outcome> {
  const { sender, signal, body } = submission;
  const began = deps.clock.monotonic();
  const decoded = decode(deps, submission);
  if (!decoded.ok) return refused("malformed", decoded.reason);
  if (sender.tenant !== undefined && signal === "traces") {
    const over = decoded.reasons.get("over_limit") ?? 0;
    deps.quota.spend(sender.tenant, { kept: decoded.accepted, over, bytes: body.length });
  }
  if (decoded.accepted > 0) {
    const inserted = await deps.groups.join();
    if (!inserted.ok) return giveUp(deps, inserted);
  }
  settle(deps, submission, decoded);
  deps.metrics.ackSeconds.observe((deps.clock.monotonic() - began) / 1000);
  deps.metrics.bytes.inc({ signal }, body.length);
  return {
    kind: "accepted",
    rejected: decoded.rejected,
    message: describeRejects(signal, decoded.rejected, decoded.reasons),
  };
}

interface Decoded {
  ok: true;
  accepted: number;
  rejected: number;
  reasons: ReadonlyMap<Reason, number>;
  /** Spans that the tenant's own sampling leaves out. */
  unwanted?: number;
  hoursTouched: ReadonlySet<number>;
}

function decode(deps: Deps, submission: Submission): Decoded | { ok: false; reason: string } {
  const { sender, signal, encoding, body } = submission;
  const { tenant } = sender;
  const receivedMs = deps.clock.now();
  if (signal === "metrics") {
    return deps.points.decode(body, {
      encoding,
      tenantNum: tenant?.num,
      retentionClass: tenant?.retentionClass ?? 0,
      // Devices have no tenant: only the machine's own loopback and the admin may speak of them.
      takesDevices: sender.grant.admin || sender.grant.keyId === undefined,
      receivedMs,
    });
  }
  if (tenant === undefined) return { ok: false, reason: "Spans need a tenant." };
  const context = {
    tenantNum: tenant.num,
    capture: tenant.capture,
    retentionClass: tenant.retentionClass,
    payloadRetentionClass: Math.min(tenant.payloadRetentionClass, payloadRetentionDays),
    receivedMs,
    binding: sender.grant.binding,
    sampling: deps.quota.sampling(tenant, deps.intake.dayBytes(tenant)),
    attributor: deps.attributor,
    peer: sender.peer,
  };
  return encoding === "protobuf"
    ? deps.traces.decodeProtobuf(body, context)
    : deps.traces.decodeJson(body, context);
}

/** What the tenant's owner has said: nothing is taken in. Queries go on. */
function shutFor({ adminState, lifecycle, id }: TenantAccess): Refused | undefined {
  if (lifecycle !== "active") {
    return refused("forbidden", `The tenant "${id}" is deleted: it takes no telemetry any more.`);
  }
  if (adminState === "Suspended") {
    return refused("forbidden", `The tenant "${id}" is suspended: it takes no telemetry.`);
  }
  if (adminState === "Active") return undefined;
  return refused(
    "quota",
    `The tenant "${id}" is read-only for now: it takes no telemetry, what is stored can be read.`,
    withJitter(readOnlyRetryMs),
  );
}

/** The group failed: the client keeps its spans and sends them again. */
function giveUp(
  deps: Deps,
  failure: { reason: "unavailable" | "refused"; message: string },
): Refused {
  deps.tally.error(`insert-${failure.reason}`, failure.message);
  if (failure.reason === "refused") {
    deps.log.error({ event: "group.refused", reason: failure.message });
    return refused(
      "unavailable",
      "ClickHouse refuses what we write, which is a fault on our side; send it again later.",
      withJitter(storeRetryMs),
    );
  }
  deps.health.markDown(failure.message);
  return storeDown();
}

const storeDown = (): Refused =>
  refused(
    "unavailable",
    "The store does not take spans at the moment; send them again.",
    withJitter(storeRetryMs),
  );

function settle(deps: Deps, submission: Submission, decoded: Decoded): void {
  const { sender, signal, body } = submission;
  const spans = signal === "traces" ? decoded.accepted : 0;
  if (signal === "traces") deps.metrics.spansAccepted.inc(spans);
  else deps.metrics.pointsAccepted.inc(decoded.accepted);
  deps.tally.accepted(spans, body.length);
  for (const [reason, count] of decoded.reasons) {
    deps.metrics.rejected.inc({ signal, reason }, count);
    deps.tally.rejected(reason, count);
  }
  if (decoded.unwanted !== undefined) deps.metrics.unwanted.inc(decoded.unwanted);
  if (sender.tenant === undefined) return;
  deps.intake.add(sender.tenant, keptBytes(decoded, body.length));
  deps.usage.touch(sender.tenant.num, decoded.hoursTouched);
}

/** What sampling leaves out is not counted against the day's bytes: by its share of the spans. */
function keptBytes(decoded: Decoded, bytes: number): number {
  const out = (decoded.unwanted ?? 0) + (decoded.reasons.get("over_limit") ?? 0);
  return out === 0 ? bytes : Math.ceil((bytes * decoded.accepted) / (decoded.accepted + out));
}
