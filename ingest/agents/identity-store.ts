/**
 * Identity intervals, device facts and the agents' own rows in PostgreSQL. One transaction per batch of
 * records, with the sequence up to which the agent's word is durable: a batch that is sent again after a
 * crash is recognised by it. Each transaction holds the row that says whose stream writes for the node,
 * over all replicas: a stream that lost it writes nothing more.
 *
 * A change is named by (layer, node, key, valid_from) and replaces what was told under that name, so
 * telling twice does no harm. Of a key at most one interval is open: an older one that nobody closed,
 * because the agent that knew of it died with its memory, ends where the next one begins.
 */
import type { Sql, Tx } from "@axonize/core/runtime/postgres";
import type { Durable } from "./frames.ts";
import { lastOfEach, rowOf, statements } from "./identity-rows.ts";
import * as limits from "./limits.ts";
import type { Change, Device } from "./records.ts";

export interface AgentName {
  readonly cluster: string;
  readonly node: string;
}

/** A stream that may write for its node, until another one claims it. */
export interface Writer extends AgentName {
  readonly claim: number;
}

/** Another stream claimed the node. */
export class SupersededError extends Error {
  constructor() {
    super("Another stream reports for this node now.");
    this.name = "SupersededError";
  }
}

/** Everything but `greet` and `release` throws SupersededError once another stream claimed the node. */
export interface IdentityStore {
  /**
   * Claims the node for this life of its agent; answers what is durable of the epochs. undefined: a
   * younger life reports and was heard of lately.
   */
  greet(
    agent: AgentName,
    epochs: readonly string[],
    version: string,
  ): Promise<{ claim: number; durable: Durable[] } | undefined>;
  /** Throws unless the stream is still the node's writer. */
  hold(writer: Writer): Promise<void>;
  devices(writer: Writer, devices: readonly Device[]): Promise<void>;
  /** The changes and the mark, in one transaction. */
  commit(writer: Writer, batch: Durable, records: CommittedRecords): Promise<void>;
  mark(writer: Writer, durable: Durable): Promise<void>;
  /** Ends what earlier lives of the node's agent left open and this one did not tell again. */
  endForgotten(writer: Writer, epoch: string): Promise<void>;
  /** The stream was heard of. */
  heard(
    writer: Writer,
    epoch: string,
    offset: { ms: number; errorMs: number } | undefined,
  ): Promise<void>;
  /** The stream ended: any life may claim the node at once, one of an earlier clock, too. */
  release(writer: Writer): Promise<void>;
}

export interface CommittedRecords {
  readonly identity: readonly Change[];
  readonly status: Readonly<Record<string, unknown>> | undefined;
}

export function createIdentityStore(deps: { sql: Sql }): IdentityStore {
  const { sql } = deps;
  return {
    greet: async (agent, epochs, version) => await greet(sql, agent, { epochs, version }),
    hold: async ({ cluster, node, claim }) => {
      const rows = await sql`
        SELECT FROM agent_writers WHERE cluster = ${cluster} AND node = ${node} AND claim = ${claim}`;
      if (rows.length === 0) throw new SupersededError();
    },
    devices: async (writer, devices) => {
      const gpus = gpusOf(devices);
      if (gpus.length === 0) return;
      const { cluster, node } = writer;
      await holding(sql, writer, async (tx) => {
        await tx`
          INSERT INTO physical_gpus (cluster, gpu_uuid, model, driver_version, node, first_seen, last_seen)
          SELECT ${cluster}, x.gpu_uuid, x.model, x.driver_version, ${node}, now(), now()
          FROM jsonb_to_recordset(${tx.json(gpus)}) AS x(gpu_uuid text, model text, driver_version text)
          ON CONFLICT (cluster, gpu_uuid) DO UPDATE SET
            model = CASE WHEN EXCLUDED.model = '' THEN physical_gpus.model ELSE EXCLUDED.model END,
            driver_version = CASE WHEN EXCLUDED.driver_version = ''
              THEN physical_gpus.driver_version ELSE EXCLUDED.driver_version END,
            node = EXCLUDED.node, last_seen = now()`;
      });
    },
    commit: async (writer, batch, records) => {
      await holding(sql, writer, async (tx) => await commit(tx, writer, batch, records));
    },
    endForgotten: async (writer, epoch) => {
      await holding(sql, writer, async (tx) => {
        for (const { forget } of Object.values(statements)) {
          await tx.unsafe(forget, [writer.cluster, writer.node, epoch]);
        }
      });
    },
    mark: async (writer, { epoch, sequence }) => {
      await holding(sql, writer, async (tx) => {
        await tx`
          INSERT INTO agents (cluster, node, epoch, version, sequence)
          VALUES (${writer.cluster}, ${writer.node}, ${epoch}, '', ${sequence})
          ON CONFLICT (cluster, node, epoch) DO UPDATE SET
            sequence = GREATEST(agents.sequence, EXCLUDED.sequence), last_report = now()`;
      });
    },
    heard: async ({ cluster, node, claim }, epoch, offset) => {
      const held = await sql`
        UPDATE agent_writers SET heard_at = now()
        WHERE cluster = ${cluster} AND node = ${node} AND claim = ${claim}`;
      if (held.count === 0) throw new SupersededError();
      if (offset === undefined) return;
      await sql`
        UPDATE agents SET offset_ms = ${offset.ms}, offset_error_ms = ${offset.errorMs}, last_report = now()
        WHERE cluster = ${cluster} AND node = ${node} AND epoch = ${epoch}`;
    },
    release: async ({ cluster, node, claim }) => {
      await sql`
        UPDATE agent_writers SET heard_at = '-infinity'
        WHERE cluster = ${cluster} AND node = ${node} AND claim = ${claim}`;
    },
  };
}

/** Runs the task while no other stream can claim the node; throws where one has. */
async function holding(
  sql: Sql,
  { cluster, node, claim }: Writer,
  task: (tx: Tx) => Promise<void>,
): Promise<void> {
  await sql.begin(async (tx) => {
    const rows = await tx`
      SELECT FROM agent_writers
      WHERE cluster = ${cluster} AND node = ${node} AND claim = ${claim} FOR SHARE`;
    if (rows.length === 0) throw new SupersededError();
    await task(tx);
  });
}

async function greet(
  sql: Sql,
  { cluster, node }: AgentName,
  { epochs, version }: { epochs: readonly string[]; version: string },
): Promise<{ claim: number; durable: Durable[] } | undefined> {
  const [running = ""] = epochs;
  const [held] = await sql<{ claim: number }[]>`
    INSERT INTO agent_writers AS w (cluster, node, epoch) VALUES (${cluster}, ${node}, ${running})
    ON CONFLICT (cluster, node) DO UPDATE SET
      epoch = EXCLUDED.epoch, claim = w.claim + 1, heard_at = now()
    WHERE w.epoch <= EXCLUDED.epoch
      OR w.heard_at < now() - ${limits.silenceMs / 1000} * interval '1 second'
    RETURNING claim`;
  if (held === undefined) return undefined;
  await sql`
    DELETE FROM agents WHERE cluster = ${cluster} AND node = ${node}
    AND last_report < now() - ${limits.agentRowsMs / 1000} * interval '1 second'`;
  await sql`
    INSERT INTO agents (cluster, node, epoch, version) VALUES (${cluster}, ${node}, ${running}, ${version})
    ON CONFLICT (cluster, node, epoch) DO UPDATE SET version = EXCLUDED.version, last_report = now()`;
  const durable = await sql<{ epoch: string; sequence: number }[]>`
    SELECT epoch, sequence FROM agents
    WHERE cluster = ${cluster} AND node = ${node} AND epoch = ANY(${[...epochs]}) AND sequence > 0`;
  return { claim: held.claim, durable };
}

function gpusOf(devices: readonly Device[]) {
  const gpus = new Map<string, { gpu_uuid: string; model: string; driver_version: string }>();
  for (const { gpuUuid, kind, model, driverVersion } of devices) {
    if (gpus.has(gpuUuid) && kind !== "whole") continue; // a slice knows less of its GPU
    gpus.set(gpuUuid, { gpu_uuid: gpuUuid, model, driver_version: driverVersion });
  }
  return [...gpus.values()];
}

async function commit(
  tx: Tx,
  agent: AgentName,
  batch: Durable,
  { identity, status }: CommittedRecords,
): Promise<void> {
  for (const [layer, changes] of Map.groupBy(identity, ({ layer: of }) => of)) {
    const { upsert, close } = statements[layer];
    const rows = lastOfEach(changes).map(rowOf);
    await tx.unsafe(upsert, [JSON.stringify(rows), agent.cluster, agent.node]);
    const keys = [...new Set(changes.map(({ key }) => key))];
    await tx.unsafe(close, [agent.cluster, agent.node, keys]);
  }
  await tx`
    INSERT INTO agents (cluster, node, epoch, version, sequence, status, first_change)
    VALUES (${agent.cluster}, ${agent.node}, ${batch.epoch}, '', ${batch.sequence},
      ${status === undefined ? null : tx.json(status)},
      ${identity.length === 0 ? null : tx.part`pg_current_xact_id()`})
    ON CONFLICT (cluster, node, epoch) DO UPDATE SET
      sequence = GREATEST(agents.sequence, EXCLUDED.sequence), last_report = now(),
      status = COALESCE(EXCLUDED.status, agents.status),
      first_change = COALESCE(agents.first_change, EXCLUDED.first_change)`;
}
