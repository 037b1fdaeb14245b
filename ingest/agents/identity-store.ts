/**
 * Identity intervals, device facts and the agents' own rows in PostgreSQL. One transaction per batch of
 * records, with the sequence up to which the agent's word is durable: a batch that is sent again after a
 * crash is recognised by it.
 *
 * A change is named by (layer, node, key, valid_from) and replaces what was told under that name, so
 * telling twice does no harm. Of a key at most one interval is open: an older one that nobody closed,
 * because the agent that knew of it died with its memory, ends where the next one begins.
 */
import type { Sql } from "@axonize/core/runtime/postgres";
import type { Durable } from "./frames.ts";
import { lastOfEach, rowOf, statements } from "./identity-rows.ts";
import * as limits from "./limits.ts";
import type { Change, Device } from "./records.ts";

export interface AgentName {
  readonly cluster: string;
  readonly node: string;
}

export interface IdentityStore {
  /** Enters this life of the agent; answers what is durable of the epochs. */
  greet(agent: AgentName, epochs: readonly string[], version: string): Promise<Durable[]>;
  devices(agent: AgentName, devices: readonly Device[]): Promise<void>;
  /** The changes and the mark, in one transaction. */
  commit(agent: AgentName, batch: Durable, records: CommittedRecords): Promise<void>;
  mark(agent: AgentName, durable: Durable): Promise<void>;
  /** Ends what earlier lives of the node's agent left open and this one did not tell again. */
  endForgotten(agent: AgentName, epoch: string): Promise<void>;
  offset(agent: AgentName, epoch: string, offset: { ms: number; errorMs: number }): Promise<void>;
}

export interface CommittedRecords {
  readonly identity: readonly Change[];
  readonly status: Readonly<Record<string, unknown>> | undefined;
}

export function createIdentityStore(deps: { sql: Sql }): IdentityStore {
  const { sql } = deps;
  return {
    greet: async ({ cluster, node }, epochs, version) => {
      const [running = ""] = epochs;
      await sql`
        DELETE FROM agents WHERE cluster = ${cluster} AND node = ${node}
        AND last_report < now() - ${limits.agentRowsMs / 1000} * interval '1 second'`;
      await sql`
        INSERT INTO agents (cluster, node, epoch, version) VALUES (${cluster}, ${node}, ${running}, ${version})
        ON CONFLICT (cluster, node, epoch) DO UPDATE SET version = EXCLUDED.version, last_report = now()`;
      return await sql<{ epoch: string; sequence: number }[]>`
        SELECT epoch, sequence FROM agents
        WHERE cluster = ${cluster} AND node = ${node} AND epoch = ANY(${[...epochs]}) AND sequence > 0`;
    },
    devices: async ({ cluster, node }, devices) => {
      const gpus = new Map<string, { gpu_uuid: string; model: string; driver_version: string }>();
      for (const { gpuUuid, kind, model, driverVersion } of devices) {
        if (gpus.has(gpuUuid) && kind !== "whole") continue; // a slice knows less of its GPU
        gpus.set(gpuUuid, { gpu_uuid: gpuUuid, model, driver_version: driverVersion });
      }
      if (gpus.size === 0) return;
      await sql`
        INSERT INTO physical_gpus (cluster, gpu_uuid, model, driver_version, node, first_seen, last_seen)
        SELECT ${cluster}, x.gpu_uuid, x.model, x.driver_version, ${node}, now(), now()
        FROM jsonb_to_recordset(${sql.json([...gpus.values()])})
          AS x(gpu_uuid text, model text, driver_version text)
        ON CONFLICT (cluster, gpu_uuid) DO UPDATE SET
          model = CASE WHEN EXCLUDED.model = '' THEN physical_gpus.model ELSE EXCLUDED.model END,
          driver_version = CASE WHEN EXCLUDED.driver_version = ''
            THEN physical_gpus.driver_version ELSE EXCLUDED.driver_version END,
          node = EXCLUDED.node, last_seen = now()`;
    },
    commit: async (agent, batch, records) => await commit(sql, agent, batch, records),
    endForgotten: async ({ cluster, node }, epoch) => {
      for (const { forget } of Object.values(statements)) {
        await sql.unsafe(forget, [cluster, node, epoch]);
      }
    },
    mark: async ({ cluster, node }, { epoch, sequence }) => {
      await sql`
        INSERT INTO agents (cluster, node, epoch, version, sequence)
        VALUES (${cluster}, ${node}, ${epoch}, '', ${sequence})
        ON CONFLICT (cluster, node, epoch) DO UPDATE SET
          sequence = GREATEST(agents.sequence, EXCLUDED.sequence), last_report = now()`;
    },
    offset: async ({ cluster, node }, epoch, { ms, errorMs }) => {
      await sql`
        UPDATE agents SET offset_ms = ${ms}, offset_error_ms = ${errorMs}, last_report = now()
        WHERE cluster = ${cluster} AND node = ${node} AND epoch = ${epoch}`;
    },
  };
}

async function commit(
  sql: Sql,
  agent: AgentName,
  batch: Durable,
  { identity, status }: CommittedRecords,
): Promise<void> {
  const byLayer = Map.groupBy(identity, ({ layer }) => layer);
  await sql.begin(async (tx) => {
    for (const [layer, changes] of byLayer) {
      const { upsert, close } = statements[layer];
      const rows = lastOfEach(changes).map(rowOf);
      await tx.unsafe(upsert, [JSON.stringify(rows), agent.cluster, agent.node]);
      const keys = [...new Set(changes.map(({ key }) => key))];
      await tx.unsafe(close, [agent.cluster, agent.node, keys]);
    }
    await tx`
          INSERT INTO agents (cluster, node, epoch, version, sequence, status, first_change)
          VALUES (${agent.cluster}, ${agent.node}, ${batch.epoch}, '', ${batch.sequence},
            ${status === undefined ? null : tx.json(jsonOf(status))},
            ${identity.length === 0 ? null : tx`pg_current_xact_id()`})
          ON CONFLICT (cluster, node, epoch) DO UPDATE SET
            sequence = GREATEST(agents.sequence, EXCLUDED.sequence), last_report = now(),
            status = COALESCE(EXCLUDED.status, agents.status),
            first_change = COALESCE(agents.first_change, EXCLUDED.first_change)`;
  });
}

/** Safe: it came as JSON. */
const jsonOf = (status: object): Parameters<Sql["json"]>[0] => status as Parameters<Sql["json"]>[0];
