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
import type { ResourceFacts } from "../decode/devices.ts";
import type { Waiting, WaitingList } from "./attributor.ts";
import * as limits from "./limits.ts";
import type { AttributeMetrics } from "./metrics.ts";
import { resolve, type ResolveOptions } from "./resolve.ts";
import type { IdentityView } from "./view.ts";

interface Deps {
  readonly clickhouse: ClickHouseClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: AttributeMetrics;
  readonly view: IdentityView;
  readonly waiting: WaitingList;
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
      async () => await round(deps, options),
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
    if (entry.seenVersion === view.version && !settled) continue;
    if (entry.seenVersion !== view.version || settled) {
      const isKnown = mayBeKnown(view, entry, options);
      if (isKnown) {
        done += 1;
        await join(deps, entry, options);
      }
      entry.seenVersion = view.version;
      if (settled && (isKnown || now - entry.sinceMs > limits.waitingMs)) waiting.remove(key);
    }
  }
}

const questionOf = (entry: Waiting, ordinals: readonly number[], startMs: number) => ({
  tenantNum: entry.tenantNum,
  resourceFp: { lo: 0, hi: 0 },
  facts: entry.facts,
  ordinals,
  sdkUuids: [],
  isNamed: false,
  startMs,
});

/** Cheap: spares the stores a query for pods that nobody knows. */
function mayBeKnown(view: IdentityView, entry: Waiting, options: ResolveOptions): boolean {
  return [entry.fromMs, entry.toMs].some((startMs) => {
    const { level } = resolve(view, questionOf(entry, [], startMs), options);
    return level !== "" && level !== "unattributed";
  });
}

interface Group {
  ordinals: number[];
  /** Of the group's spans; a group spans a second at most. */
  second: number;
  /** Servers differ in whether they quote 64-bit integers. */
  spans: number | string;
}

/** All spans of one resource, by ordinals and second. */
async function join(deps: Deps, entry: Waiting, options: ResolveOptions): Promise<void> {
  const { clickhouse, view, metrics, log } = deps;
  const bounds = boundsOf(entry);
  const answer = await clickhouse.query({
    query: `
      SELECT gpu_ordinals AS ordinals, toUnixTimestamp(toDateTime(start)) AS second, count() AS spans
      FROM spans FINAL WHERE ${unjoined} GROUP BY ordinals, second ORDER BY second`,
    query_params: bounds,
    format: "JSONEachRow",
  });
  const answered = new Map<
    string,
    { found: ReturnType<typeof resolve>; from: number; to: number; ordinals: number[] }
  >();
  let spans = 0;
  for (const group of await answer.json<Group>()) {
    const found = resolve(view, questionOf(entry, group.ordinals, group.second * 1000), options);
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
  AND empty(gpu_devices) AND gpu_level IN ('', 'unattributed')
  AND (operation != '' OR notEmpty(gpu_ordinals))`;

const boundsOf = (entry: Waiting) => ({
  tenant: entry.tenantNum,
  fp: entry.resourceFp,
  fromMs: Math.floor(entry.fromMs),
  toMs: Math.floor(entry.toMs) + 1,
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
        min(toUnixTimestamp64Milli(s.start)) AS fromMs, max(toUnixTimestamp64Milli(s.start)) AS toMs
      FROM spans s INNER JOIN resources r ON r.tenant_id = s.tenant_id AND r.fp = s.resource_fp
      WHERE s.received >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND empty(s.gpu_devices)
        AND s.gpu_level IN ('', 'unattributed') AND (s.operation != '' OR notEmpty(s.gpu_ordinals))
      GROUP BY tenant, fp LIMIT {most:UInt32}`,
    query_params: { since: clock.now() - limits.catchUpMs, most: limits.waiting },
    format: "JSONEachRow",
  });
  const rows = await answer.json<{
    tenant: number;
    fp: string;
    attrs: string;
    fromMs: number | string;
    toMs: number | string;
  }>();
  for (const row of rows) {
    waiting.add({
      tenantNum: row.tenant,
      resourceFp: row.fp,
      facts: factsOf(row.attrs),
      fromMs: Number(row.fromMs),
      toMs: Number(row.toMs),
      notedMs: clock.monotonic(),
    });
  }
}

function factsOf(json: string): ResourceFacts {
  const told: unknown = JSON.parse(json);
  // Safe: `resources.attrs` is an object that the decoder wrote; every value is checked.
  const attributes = told as Readonly<Record<string, unknown>>;
  const text = (key: string): string => {
    const value = attributes[key];
    return typeof value === "string" ? value : "";
  };
  const pid = Number(attributes["process.pid"] ?? Number.NaN);
  return {
    podUid: text("k8s.pod.uid"),
    namespace: text("k8s.namespace.name"),
    pod: text("k8s.pod.name"),
    container: text("k8s.container.name"),
    node: text("k8s.node.name") || text("host.name"),
    containerId: text("container.id"),
    pid: Number.isSafeInteger(pid) && pid > 0 ? pid : undefined,
    peer: undefined,
  };
}
