/**
 * Keeps the identity view up with PostgreSQL: everything at the start, then what changed, whenever a
 * trigger notifies (`axonize_identity`) and every 3 s besides.
 *
 * Rows carry the transaction that wrote them. A read asks for what was written by transactions that had
 * not ended at the time of the last read or came later, so nothing that commits late is missed; a row
 * that is read twice replaces itself. While PostgreSQL is away the last view goes on serving.
 */
import { every, type Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { Sql } from "@axonize/core/runtime/postgres";
import * as limits from "./limits.ts";
import type { AttributeMetrics } from "./metrics.ts";
import type { IdentityView, Interval } from "./view.ts";

export interface Follower extends AsyncDisposable {
  /** Resolves when what was committed before the call is in the view. */
  refresh(): Promise<void>;
}

interface Deps {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: AttributeMetrics;
  readonly view: IdentityView;
}

export async function createFollower(deps: Deps): Promise<Follower> {
  const { clock, log } = deps;
  const abort = new AbortController();
  const read = createReader(deps);
  let running: Promise<void> = Promise.resolve();
  const refresh = async (): Promise<void> => {
    // One after another: a read that began before the call might miss what the caller waits for.
    running = running.catch(() => undefined).then(read);
    await running;
  };
  await refresh();
  let due = false;
  const onNotice = (): void => {
    if (due) return;
    due = true;
    void (async () => {
      await clock.sleep(limits.gatherMs, abort.signal).catch(() => undefined); // stopping
      due = false;
      if (!abort.signal.aborted) await refresh();
    })().catch((error: unknown) => {
      // The poll tries again within 3 s.
      log.warn({ event: "identity.stale", reason: errorMessage(error) });
    });
  };
  const listening = deps.sql.listen("axonize_identity", onNotice);
  const poll = every(
    {
      clock,
      ms: limits.pollMs,
      signal: abort.signal,
      onError: (error) => {
        deps.metrics.stale.set(1);
        log.warn({ event: "identity.stale", reason: errorMessage(error) });
      },
    },
    async () => {
      await refresh();
      deps.metrics.stale.set(0);
      deps.view.prune(clock.now() - limits.keptMs);
    },
  );
  return {
    refresh,
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      listening[Symbol.dispose]();
      await poll;
      await running.catch(() => undefined); // told to who asked
    },
  };
}

interface AllocationRow extends CommonRow {
  resource_uuid: string;
}
interface BindingRow extends CommonRow {
  pid: number | null;
  own_pid: number | null;
  container_id: string | null;
  ordinal: number | null;
  level: string;
  resource_uuids: string[];
  candidates: string[];
  reason: string | null;
  warnings: string[];
  evidence: string[];
}
interface CommonRow {
  cluster: string;
  node: string;
  key: string;
  from_ms: number;
  to_ms: number | null;
  pod_uid: string | null;
  namespace: string | null;
  pod: string | null;
  container: string | null;
}

function createReader({ sql, clock, log, metrics, view }: Deps): () => Promise<void> {
  /** Transactions below it had ended at the last read. */
  let since = "0";
  return async () => {
    const kept = new Date(clock.now() - limits.keptMs);
    const read = await sql.begin(async (tx) => {
      const [snapshot] = await tx<{ xmin: string }[]>`
        SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin`;
      const common = tx.part`cluster, node, key, pod_uid, namespace, pod, container,
        extract(epoch FROM valid_from)::double precision * 1000 AS from_ms,
        extract(epoch FROM valid_to)::double precision * 1000 AS to_ms`;
      const changed = tx.part`changed >= ${since}::text::xid8 AND (valid_to IS NULL OR valid_to > ${kept})
        ORDER BY valid_from DESC LIMIT ${limits.intervals}`;
      const allocations = await tx<AllocationRow[]>`
        SELECT ${common}, resource_uuid FROM allocations WHERE ${changed}`;
      const bindings = await tx<BindingRow[]>`
        SELECT ${common}, pid, own_pid, container_id, ordinal, level, resource_uuids, candidates,
          reason, warnings, evidence
        FROM ordinal_bindings WHERE ${changed}`;
      const tenants = await tx<{ cluster: string; namespace: string; num: number }[]>`
        SELECT n.cluster, n.namespace, t.num FROM tenant_namespaces n JOIN tenants t ON t.id = n.tenant_id`;
      return { xmin: snapshot?.xmin ?? since, allocations, bindings, tenants };
    }, "REPEATABLE READ READ ONLY");
    const refused = view.put([
      ...read.allocations.map(fromAllocation),
      ...read.bindings.map(fromBinding),
    ]);
    view.setTenants(
      new Map(read.tenants.map(({ cluster, namespace, num }) => [`${cluster}\0${namespace}`, num])),
    );
    since = read.xmin;
    metrics.intervals.set(view.size);
    if (refused === 0) return;
    metrics.dropped.inc({ kind: "intervals", reason: "full" }, refused);
    log.error({ event: "identity.full", refused });
  };
}

function commonOf(kind: Interval["kind"], row: CommonRow) {
  return {
    id: `${kind}\0${row.cluster}\0${row.node}\0${row.key}\0${row.from_ms}`,
    kind,
    cluster: row.cluster,
    node: row.node,
    fromMs: row.from_ms,
    toMs: row.to_ms ?? Infinity,
    podUid: row.pod_uid ?? "",
    namespace: row.namespace ?? "",
    pod: row.pod ?? "",
    container: row.container ?? "",
  };
}

const fromAllocation = (row: AllocationRow): Interval => ({
  ...commonOf("allocation", row),
  containerId: "",
  pid: undefined,
  ownPid: undefined,
  ordinal: undefined,
  level: "",
  uuids: [row.resource_uuid],
  candidates: [],
  reason: "",
  warnings: [],
  evidence: [],
});

const fromBinding = (row: BindingRow): Interval => ({
  ...commonOf("binding", row),
  containerId: row.container_id ?? "",
  pid: row.pid ?? undefined,
  ownPid: row.own_pid ?? undefined,
  ordinal: row.ordinal ?? undefined,
  level: row.level,
  uuids: row.resource_uuids,
  candidates: row.candidates,
  reason: row.reason ?? "",
  warnings: row.warnings,
  evidence: row.evidence,
});
