/**
 * Joins spans that came before their binding: while the binding is open, their rows are written again
 * with devices, level and evidence, and the evidence says so. Nothing else of a row changes; the newer
 * `received` makes the table replace the older one and lets analytics see that the slot changed.
 *
 * What waits is in memory; after a start the unattributed spans of the last ten minutes wait again. A
 * span that is older than that when its binding comes stays as it came.
 */
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import { every, type Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { Attributed, DeviceQuestion } from "../decode/devices.ts";
import { factsOf, saidUuids } from "../decode/facts.ts";
import type { Waiting, WaitingList } from "./attributor.ts";
import type { Claims } from "./claims.ts";
import * as limits from "./limits.ts";
import type { AttributeMetrics } from "./metrics.ts";
import { resolve, waitingBinding, type ResolveOptions } from "./resolve.ts";
import type { IdentityView } from "./view.ts";

interface Deps {
  readonly clickhouse: ClickHouseClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: AttributeMetrics;
  readonly view: IdentityView;
  readonly waiting: WaitingList;
  readonly claims: Claims;
  /** Spans of this tenant that began in these epoch hours were written again. */
  readonly touched: (tenantNum: number, hours: ReadonlySet<number>) => void;
}

const learnedLater = "joined after it was stored, when its binding became known";

export function startBackfill(deps: Deps, options: ResolveOptions): AsyncDisposable {
  const { clock, log } = deps;
  const abort = new AbortController();
  const rounds = (async () => {
    try {
      await waitAgain(deps);
    } catch (error) {
      // Only spans of the time before this start stay without devices.
      log.warn({ event: "backfill.catch_up", reason: errorMessage(error) });
    }
    await every(
      {
        clock,
        ms: limits.backfillMs,
        signal: abort.signal,
        onError: (error) => log.warn({ event: "backfill.failed", reason: errorMessage(error) }),
      },
      async () => {
        await round(deps, options);
        await takeBack(deps);
      },
    );
  })();
  return {
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await rounds;
    },
  };
}

async function round(deps: Deps, options: ResolveOptions): Promise<void> {
  const { clock, view, waiting } = deps;
  const now = clock.monotonic();
  let done = 0;
  for (const [key, entry] of waiting.all) {
    if (done >= limits.backfillBatch) return;
    const settled = now - entry.notedMs > limits.settleMs;
    // Looked at when identity changed, and once more when its last spans are surely in ClickHouse.
    if (entry.seenVersion === view.version && !settled && now < entry.retryMs) continue;
    const isKnown = mayBeKnown(deps, entry, options);
    const seen = view.version;
    let isTold = true;
    if (isKnown) {
      done += 1;
      isTold = await learnOrdinals(deps, entry, options);
      await join(deps, entry, options);
    }
    // Only now: what threw is tried again in the next round.
    entry.seenVersion = seen;
    entry.retryMs = isTold ? Infinity : now + limits.settleMs;
    if (settled && (isKnown || now - entry.sinceMs > limits.waitingMs)) waiting.remove(key);
  }
}

function questionOf(entry: Waiting, ordinals: readonly number[], startMs: number): DeviceQuestion {
  return {
    tenantNum: entry.tenantNum,
    resourceFp: { lo: 0, hi: 0 },
    facts: entry.facts,
    ordinals,
    sdkUuids: saidUuids(entry.facts.gpuUuids, ordinals),
    isNamed: false,
    startMs,
  };
}

/** What an ambiguous span may become: sure, or a contradiction. */
const isDecided = ({ devices, level }: Attributed): boolean =>
  devices.length > 0 || level === "identity.conflict";

/** Cheap: spares the stores a query for pods that nobody knows. */
function mayBeKnown(deps: Deps, entry: Waiting, options: ResolveOptions): boolean {
  const { view, claims } = deps;
  return [entry.fromMs, entry.toMs].some((startMs) => {
    const { level } = resolve(view, questionOf(entry, [], startMs), options);
    if (entry.isUnknown && level !== "" && level !== "unattributed") return true;
    return [...entry.ambiguous.values()].some((ordinals) => {
      const question = questionOf(entry, ordinals, startMs);
      if (isDecided(resolve(view, question, options, claims.soleOrdinal))) return true;
      const binding = waitingBinding(view, question, options);
      return binding !== undefined && claims.isOpen(binding);
    });
  });
}

/** Asks which ordinals the processes ever reported whose device hangs on it. False: none is stored yet. */
async function learnOrdinals(
  { view, claims }: Deps,
  entry: Waiting,
  options: ResolveOptions,
): Promise<boolean> {
  let isTold = true;
  for (const ordinals of entry.ambiguous.values()) {
    const binding = waitingBinding(view, questionOf(entry, ordinals, entry.toMs), options);
    if (binding === undefined || !claims.isOpen(binding)) continue;
    isTold = (await claims.learn(entry.tenantNum, binding)) && isTold;
  }
  return isTold;
}

/** What stood on a process's only ordinal, and it was not. */
async function takeBack({ claims, metrics, log, touched }: Deps): Promise<void> {
  for (const taken of await claims.recheck()) {
    const { spans, fromMs, toMs } = await claims.takeBack(taken);
    if (spans === 0) continue;
    metrics.backfilled.inc(spans);
    log.info({ event: "backfill.taken_back", tenant: taken.tenantNum, spans });
    touched(taken.tenantNum, hoursBetween(fromMs, toMs));
  }
}

interface Group {
  ordinals: number[];
  /** Of the group's spans; a group spans a second at most. */
  second: number;
  /** The first one's start, epoch ms. */
  startMs: number | string;
  /** Servers differ in whether they quote 64-bit integers. */
  spans: number | string;
}

/** All spans of one resource, by ordinals and second. */
async function join(deps: Deps, entry: Waiting, options: ResolveOptions): Promise<void> {
  const { clickhouse, view, claims, metrics, log } = deps;
  const bounds = boundsOf(entry);
  const answer = await clickhouse.query({
    query: `
      SELECT gpu_ordinals AS ordinals, toUnixTimestamp(toDateTime(start)) AS second,
        min(toUnixTimestamp64Milli(start)) AS startMs, count() AS spans
      FROM spans FINAL WHERE ${unjoined} AND (${isUnknown} OR ${isAmbiguous})
      GROUP BY ordinals, second ORDER BY second`,
    query_params: bounds,
    format: "JSONEachRow",
  });
  const answered = new Map<
    string,
    { found: ReturnType<typeof resolve>; from: number; to: number; ordinals: number[] }
  >();
  let spans = 0;
  for (const group of await answer.json<Group>()) {
    const question = questionOf(entry, group.ordinals, Number(group.startMs));
    const found = resolve(view, question, options, claims.soleOrdinal);
    if (found.level === "" || found.level === "unattributed") continue;
    spans += Number(group.spans);
    // Neighbouring seconds with the same answer are one statement.
    const key = `${group.ordinals.join()};${found.fromMs};${found.devices.join()};${found.level}`;
    const before = answered.get(key);
    if (before === undefined) {
      answered.set(key, { found, from: group.second, to: group.second, ordinals: group.ordinals });
    } else before.to = group.second;
  }
  for (const { found, from, to, ordinals } of [...answered.values()].slice(
    0,
    limits.backfillGroups,
  )) {
    await clickhouse.command({
      query: `
        INSERT INTO spans SELECT * REPLACE (
          {devices:Array(String)} AS gpu_devices, {level:String} AS gpu_level,
          {candidates:Array(String)} AS gpu_candidates, {reason:String} AS gpu_reason,
          {evidence:Array(String)} AS gpu_evidence, now64(3, 'UTC') AS received)
        FROM (
          -- Apart, because names in WHERE would mean the new values.
          SELECT * FROM spans FINAL WHERE ${unjoined} AND gpu_ordinals = {ordinals:Array(UInt8)}
            AND (${isUnknown} OR ({isSure:Bool} AND ${isAmbiguous}))
            AND start >= toDateTime64({from:Int64}, 9, 'UTC')
            AND start < toDateTime64({to:Int64}, 9, 'UTC')
        )`,
      query_params: {
        ...bounds,
        devices: found.devices,
        level: found.level,
        candidates: found.candidates,
        reason: found.reason,
        evidence: [...found.evidence, learnedLater],
        ordinals,
        isSure: isDecided(found),
        from,
        to: to + 1,
      },
    });
  }
  if (spans === 0) return;
  metrics.backfilled.inc(spans);
  log.info({ event: "backfill.joined", tenant: entry.tenantNum, pod: entry.facts.pod, spans });
  deps.touched(entry.tenantNum, hoursBetween(entry.fromMs, entry.toMs));
}

/** Calls, or spans with ordinals, of the resource that have no device. */
const unjoined = `tenant_id = {tenant:UInt32} AND resource_fp = {fp:UInt64}
  AND start >= fromUnixTimestamp64Milli({fromMs:Int64}, 'UTC')
  AND start < fromUnixTimestamp64Milli({toMs:Int64}, 'UTC')
  AND empty(gpu_devices) AND (operation != '' OR notEmpty(gpu_ordinals))`;
const isUnknown = `gpu_level IN ('', 'unattributed')`;
/**
 * One ordinal of several devices; or the process's own word that nobody could confirm. A span that named
 * a device of its own is not asked about again: its candidates are not what the process said.
 */
const isAmbiguous = `gpu_level = 'ambiguous' AND (
  (length(gpu_ordinals) = 1 AND gpu_reason NOT IN ('allocation_unknown', 'several_containers'))
  OR (gpu_reason = 'allocation_unknown' AND notEmpty(gpu_candidates)
    AND gpu_candidates = if(empty(gpu_ordinals), {said:Array(String)},
      arrayFilter(x -> x != '', arrayMap(o -> {said:Array(String)}[o + 1], gpu_ordinals)))))`;

const boundsOf = (entry: Waiting) => ({
  tenant: entry.tenantNum,
  fp: entry.resourceFp,
  fromMs: Math.floor(entry.fromMs),
  toMs: Math.floor(entry.toMs) + 1,
  said: entry.facts.gpuUuids,
});

function hoursBetween(fromMs: number, toMs: number): Set<number> {
  const hours = new Set<number>();
  for (let hour = Math.floor(fromMs / hourMs); hour <= toMs / hourMs; hour += 1) hours.add(hour);
  return hours;
}
const hourMs = 3_600_000;

/** What waited in an earlier life of this process. */
async function waitAgain(deps: Deps): Promise<void> {
  const { clickhouse, clock, waiting } = deps;
  const answer = await clickhouse.query({
    query: `
      SELECT s.tenant_id AS tenant, toString(s.resource_fp) AS fp, any(r.attrs) AS attrs,
        min(toUnixTimestamp64Milli(s.start)) AS fromMs, max(toUnixTimestamp64Milli(s.start)) AS toMs,
        s.gpu_level = 'ambiguous' AS ambiguous, if(ambiguous, s.gpu_ordinals, []) AS ordinals
      FROM spans s INNER JOIN resources r ON r.tenant_id = s.tenant_id AND r.fp = s.resource_fp
      WHERE s.received >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND empty(s.gpu_devices)
        AND s.gpu_level IN ('', 'unattributed', 'ambiguous') AND (s.operation != '' OR notEmpty(s.gpu_ordinals))
      GROUP BY tenant, fp, ambiguous, ordinals LIMIT {most:UInt32}`,
    query_params: { since: clock.now() - limits.catchUpMs, most: limits.waiting },
    format: "JSONEachRow",
  });
  const rows = await answer.json<{
    tenant: number;
    fp: string;
    attrs: string;
    fromMs: number | string;
    toMs: number | string;
    ambiguous: number;
    ordinals: number[];
  }>();
  for (const row of rows) {
    waiting.add({
      tenantNum: row.tenant,
      resourceFp: row.fp,
      facts: factsOf(row.attrs, undefined),
      fromMs: Number(row.fromMs),
      toMs: Number(row.toMs),
      notedMs: clock.monotonic(),
      was: row.ambiguous === 1 ? "ambiguous" : "unknown",
      ordinals: row.ordinals,
    });
  }
}
