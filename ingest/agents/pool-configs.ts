/**
 * What the operator wants of the agents on each node: read from PostgreSQL at the start, when it notifies
 * (`axonize_gpu_pools`) and once a minute besides. It is told to agents that have no file of their own;
 * what it says is theirs to check. While PostgreSQL is away the last word stands.
 */
import { every, type Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { Sql } from "@axonize/core/runtime/postgres";
import type { AgentName } from "./identity-store.ts";
import * as limits from "./limits.ts";

export interface PoolConfigs extends AsyncDisposable {
  /** undefined: the node is in no pool. */
  of(agent: AgentName): Readonly<Record<string, unknown>> | undefined;
}

export function createPoolConfigs(
  deps: { readonly sql: Sql; readonly clock: Clock; readonly log: Log },
  onChange: () => void,
): PoolConfigs {
  const { sql, clock, log } = deps;
  const abort = new AbortController();
  let byNode: ReadonlyMap<string, Readonly<Record<string, unknown>>> = new Map();
  let seen = "";
  const read = async (): Promise<void> => {
    const rows = await sql<{ cluster: string; node: string; config: Record<string, unknown> }[]>`
      SELECT n.cluster, n.node, p.config
      FROM gpu_pool_nodes n JOIN gpu_pools p ON p.cluster = n.cluster AND p.uid = n.pool_uid
      WHERE n.valid_to IS NULL ORDER BY n.cluster, n.node, n.valid_from LIMIT ${limits.poolNodes}`;
    const now = JSON.stringify(rows);
    if (now === seen) return;
    seen = now;
    byNode = new Map(rows.map((row) => [keyOf(row), row.config]));
    onChange();
  };
  const stale = (error: unknown): void => {
    if (!abort.signal.aborted) log.warn({ event: "pools.stale", reason: errorMessage(error) });
  };
  let running: Promise<void> = Promise.resolve();
  const refresh = async (): Promise<void> => {
    running = running.then(read).catch(stale);
    await running;
  };
  const start = refresh();
  const listening = sql.listen("axonize_gpu_pools", () => void refresh());
  const poll = every(
    { clock, ms: limits.poolPollMs, signal: abort.signal, onError: stale },
    refresh,
  );
  return {
    of: (agent) => byNode.get(keyOf(agent)),
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await start;
      listening[Symbol.dispose]();
      await poll;
      await running;
    },
  };
}

const keyOf = ({ cluster, node }: AgentName): string => `${cluster}\0${node}`;
