/**
 * The layers of identity as tables of intervals: the statements that write them and the rows they take.
 * Names of tables and columns are ours; what agents say is only ever a parameter.
 */
import type { Change } from "./records.ts";

/** One statement may touch a row once: of several changes of an interval the last one holds. */
export function lastOfEach(changes: readonly Change[]): Change[] {
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
export const statements: Readonly<Record<Layer, Statements>> = {
  placement: statementsOf(layouts.placement),
  resource: statementsOf(layouts.resource),
  allocation: statementsOf(layouts.allocation),
  usage: statementsOf(layouts.usage),
  ordinal: statementsOf(layouts.ordinal),
};

interface Statements {
  readonly upsert: string;
  readonly close: string;
  readonly forget: string;
}

function statementsOf({ table, columns }: Layout): Statements {
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
    forget: `
      UPDATE ${table} t SET valid_to = GREATEST(t.valid_from, a.first_report),
        close_reason = 'agent_restarted', changed = pg_current_xact_id()
      FROM agents a
      WHERE a.cluster = $1 AND a.node = $2 AND a.epoch = $3
        AND t.cluster = $1 AND t.node = $2 AND t.valid_to IS NULL AND t.changed < a.first_change`,
  };
}

export function rowOf(change: Change): Record<string, unknown> {
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
