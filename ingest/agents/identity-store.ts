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
    commit: async (agent, batch, { identity, status }) => {
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
          INSERT INTO agents (cluster, node, epoch, version, sequence, status)
          VALUES (${agent.cluster}, ${agent.node}, ${batch.epoch}, '', ${batch.sequence},
            ${status === undefined ? null : tx.json(jsonOf(status))})
          ON CONFLICT (cluster, node, epoch) DO UPDATE SET
            sequence = GREATEST(agents.sequence, EXCLUDED.sequence), last_report = now(),
            status = COALESCE(EXCLUDED.status, agents.status)`;
      });
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

/** Safe: it came as JSON. */
const jsonOf = (status: object): Parameters<Sql["json"]>[0] => status as Parameters<Sql["json"]>[0];

/** One statement may touch a row once: of several changes of an interval the last one holds. */
function lastOfEach(changes: readonly Change[]): Change[] {
  return [...new Map(changes.map((each) => [`${each.validFromMs}:${each.key}`, each])).values()];
}

type Layer = Change["layer"];

interface Layout {
  readonly table: string;
  /** Columns beside those of every interval, with their types. */
  readonly columns: Readonly<Record<string, string>>;
}

const layouts: Readonly<Record<Layer, Layout>> = {
  placement: {
    table: "gpu_placements",
    columns: {
      gpu_uuid: "text",
      boot_id: "text",
      driver_epoch: "text",
      pci_bus_id: "text",
      minor: "integer",
      gpu_index: "integer",
      model: "text",
      lost: "boolean",
    },
  },
  resource: {
    table: "compute_resources",
    columns: {
      resource_uuid: "text",
      gpu_uuid: "text",
      kind: "text",
      profile: "text",
      gpu_instance_id: "integer",
      compute_instance_id: "integer",
      sm_count: "integer",
      memory_mib: "integer",
      epoch_ms: "bigint",
      gap: "boolean",
      lost: "boolean",
    },
  },
  allocation: {
    table: "allocations",
    columns: {
      namespace: "text",
      pod: "text",
      container: "text",
      pod_uid: "text",
      resource_name: "text",
      resource_id: "text",
      resource_uuid: "text",
      replica: "integer",
      stale: "boolean",
    },
  },
  usage: {
    table: "usages",
    columns: {
      boot_id: "text",
      pid: "integer",
      start_time: "bigint",
      own_pid: "integer",
      command: "text",
      namespace: "text",
      pod: "text",
      container: "text",
      container_id: "text",
      pod_uid: "text",
      resource_id: "text",
      resource_uuid: "text",
    },
  },
  ordinal: {
    table: "ordinal_bindings",
    columns: {
      boot_id: "text",
      pid: "integer",
      own_pid: "integer",
      start_time: "bigint",
      pod_uid: "text",
      namespace: "text",
      pod: "text",
      container: "text",
      container_id: "text",
      ordinal: "integer",
      level: "text",
      resource_uuids: "text[]",
      resource_ids: "text[]",
      candidates: "text[]",
      reason: "text",
      warnings: "text[]",
      evidence: "text[]",
    },
  },
};

/** The statements of each layer; no value is ever part of their text. */
const statements: Readonly<Record<Layer, { upsert: string; close: string }>> = {
  placement: statementsOf(layouts.placement),
  resource: statementsOf(layouts.resource),
  allocation: statementsOf(layouts.allocation),
  usage: statementsOf(layouts.usage),
  ordinal: statementsOf(layouts.ordinal),
};

function statementsOf({ table, columns }: Layout): { upsert: string; close: string } {
  const names = Object.keys(columns);
  const set = [...names, "valid_to", "close_reason", "changed"];
  const at = (ms: string): string => `to_timestamp(${ms} / 1000.0)`;
  return {
    upsert: `
      INSERT INTO ${table} (cluster, node, key, valid_from, valid_to, close_reason, ${names.join(", ")})
      SELECT $2, $3, x.key, ${at("x.from_ms")}, ${at("x.to_ms")}, x.close_reason, ${names.map((name) => `x.${name}`).join(", ")}
      FROM jsonb_to_recordset($1::text::jsonb) AS x(key text, from_ms double precision,
        to_ms double precision, close_reason text, ${names.map((name) => `${name} ${columns[name] ?? ""}`).join(", ")})
      ON CONFLICT (cluster, node, key, valid_from) DO UPDATE SET
        ${set.map((name) => `${name} = EXCLUDED.${name}`).join(", ")}`,
    close: `
      UPDATE ${table} t SET valid_to = s.next, close_reason = 'superseded', changed = pg_current_xact_id()
      FROM (
        SELECT key, valid_from, lead(valid_from) OVER (PARTITION BY key ORDER BY valid_from) AS next
        FROM ${table} WHERE cluster = $1 AND node = $2 AND key = ANY($3::text[])
      ) s
      WHERE t.cluster = $1 AND t.node = $2 AND t.key = s.key AND t.valid_from = s.valid_from
        AND t.valid_to IS NULL AND s.next IS NOT NULL`,
  };
}

function rowOf(change: Change): Record<string, unknown> {
  return {
    key: change.key,
    from_ms: change.validFromMs,
    // A clock that jumped back must not make an interval end before it began.
    to_ms:
      change.validToMs === undefined ? undefined : Math.max(change.validToMs, change.validFromMs),
    close_reason: change.closeReason,
    ...valueOf(change),
  };
}

function valueOf(change: Change): Record<string, unknown> {
  switch (change.layer) {
    case "placement": {
      const { value } = change;
      return {
        gpu_uuid: value.gpuUuid,
        boot_id: value.bootId,
        driver_epoch: value.driverEpoch,
        pci_bus_id: value.pciBusId,
        minor: value.minor,
        gpu_index: value.index,
        model: value.model,
        lost: value.lost,
      };
    }
    case "resource": {
      const { value } = change;
      return {
        resource_uuid: value.uuid,
        gpu_uuid: value.gpuUuid,
        kind: value.kind,
        profile: value.profile,
        gpu_instance_id: value.gpuInstanceId,
        compute_instance_id: value.computeInstanceId,
        sm_count: value.smCount,
        memory_mib: value.memoryMib,
        epoch_ms: Math.round(value.epochMs),
        gap: value.gap,
        lost: value.lost,
      };
    }
    case "allocation": {
      const { value } = change;
      return {
        namespace: value.namespace,
        pod: value.pod,
        container: value.container,
        pod_uid: value.podUid,
        resource_name: value.resourceName,
        resource_id: value.resourceId,
        resource_uuid: value.resourceUuid,
        replica: value.replica,
        stale: value.stale,
      };
    }
    case "usage": {
      const { value } = change;
      return {
        boot_id: value.bootId,
        pid: value.pid,
        start_time: value.startTime,
        own_pid: value.ownPid,
        command: value.command,
        ...value.owner,
        container_id: value.containerId,
        pod_uid: value.podUid,
        resource_id: value.resourceId,
        resource_uuid: value.resourceUuid,
      };
    }
    case "ordinal":
      return ordinalOf(change.value);
  }
}

function ordinalOf(value: Extract<Change, { layer: "ordinal" }>["value"]): Record<string, unknown> {
  return {
    boot_id: value.process?.bootId,
    pid: value.process?.pid,
    own_pid: value.process?.ownPid,
    start_time: value.process?.startTime,
    pod_uid: value.podUid,
    ...value.owner,
    container_id: value.containerId,
    ordinal: value.ordinal,
    level: value.level,
    resource_uuids: value.resourceUuids,
    resource_ids: value.resourceIds,
    candidates: value.candidates,
    reason: value.reason,
    warnings: value.warnings,
    evidence: value.evidence,
  };
}
