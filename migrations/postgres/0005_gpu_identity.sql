-- The three layers of GPU identity as intervals (valid_from, valid_to), written by ingest from the
-- agents' streams. A row is named by (cluster, node, key, valid_from) and only ever closed or amended;
-- `valid_to` NULL is open and not part of the interval. `changed` is the writing transaction: readers
-- catch up with `changed >= the snapshot's xmin of their last read`, which misses nothing that
-- committed late. Silicon itself has no node and no interval.
CREATE TABLE physical_gpus (
    cluster text NOT NULL DEFAULT '',
    gpu_uuid text NOT NULL,
    vendor text NOT NULL DEFAULT 'NVIDIA',
    model text NOT NULL,
    driver_version text NOT NULL,
    node text NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (cluster, gpu_uuid)
);

CREATE TABLE gpu_placements (
    cluster text NOT NULL DEFAULT '',
    node text NOT NULL,
    key text NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz CHECK (valid_to >= valid_from),
    close_reason text,
    gpu_uuid text NOT NULL,
    boot_id text NOT NULL,
    driver_epoch text NOT NULL,
    pci_bus_id text,
    minor integer,
    gpu_index integer NOT NULL,
    model text NOT NULL,
    lost boolean NOT NULL,
    changed xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (cluster, node, key, valid_from)
);
CREATE INDEX gpu_placements_gpu ON gpu_placements (gpu_uuid, valid_from);

CREATE TABLE compute_resources (
    cluster text NOT NULL DEFAULT '',
    node text NOT NULL,
    key text NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz CHECK (valid_to >= valid_from),
    close_reason text,
    resource_uuid text NOT NULL,
    gpu_uuid text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('whole', 'mig')),
    profile text NOT NULL,
    gpu_instance_id integer,
    compute_instance_id integer,
    sm_count integer,
    memory_mib integer,
    epoch_ms bigint NOT NULL,
    gap boolean NOT NULL,
    lost boolean NOT NULL,
    changed xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (cluster, node, key, valid_from)
);
CREATE INDEX compute_resources_resource ON compute_resources (resource_uuid, valid_from);
CREATE INDEX compute_resources_gpu ON compute_resources (gpu_uuid, valid_from);

CREATE TABLE allocations (
    cluster text NOT NULL DEFAULT '',
    node text NOT NULL,
    key text NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz CHECK (valid_to >= valid_from),
    close_reason text,
    namespace text NOT NULL,
    pod text NOT NULL,
    container text NOT NULL,
    pod_uid text,
    resource_name text NOT NULL,
    resource_id text NOT NULL,
    resource_uuid text NOT NULL,
    replica integer,
    stale boolean NOT NULL,
    changed xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (cluster, node, key, valid_from)
);
CREATE INDEX allocations_resource ON allocations (resource_uuid, valid_from);
CREATE INDEX allocations_pod ON allocations (pod_uid, valid_from);
CREATE INDEX allocations_changed ON allocations (changed);

CREATE TABLE usages (
    cluster text NOT NULL DEFAULT '',
    node text NOT NULL,
    key text NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz CHECK (valid_to >= valid_from),
    close_reason text,
    boot_id text NOT NULL,
    pid integer NOT NULL,
    start_time bigint NOT NULL,
    -- The pid that the process itself sees.
    own_pid integer NOT NULL,
    command text NOT NULL,
    namespace text,
    pod text,
    container text,
    container_id text,
    pod_uid text,
    resource_id text NOT NULL,
    resource_uuid text NOT NULL,
    changed xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (cluster, node, key, valid_from)
);
CREATE INDEX usages_resource ON usages (resource_uuid, valid_from);
CREATE INDEX usages_pod ON usages (pod_uid, valid_from);
CREATE INDEX usages_changed ON usages (changed);

-- What an ordinal of a process (pid) or of every process of a container (pid NULL) meant; without an
-- ordinal: its whole set.
CREATE TABLE ordinal_bindings (
    cluster text NOT NULL DEFAULT '',
    node text NOT NULL,
    key text NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz CHECK (valid_to >= valid_from),
    close_reason text,
    boot_id text,
    pid integer,
    own_pid integer,
    start_time bigint,
    pod_uid text,
    namespace text,
    pod text,
    container text,
    container_id text,
    ordinal integer,
    level text NOT NULL,
    resource_uuids text[] NOT NULL,
    resource_ids text[] NOT NULL,
    candidates text[] NOT NULL,
    reason text,
    warnings text[] NOT NULL,
    evidence text[] NOT NULL,
    changed xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (cluster, node, key, valid_from)
);
CREATE INDEX ordinal_bindings_pod ON ordinal_bindings (pod_uid, valid_from);
CREATE INDEX ordinal_bindings_changed ON ordinal_bindings (changed);

-- One row per node and life of its agent: `sequence` is the last batch that is durable in both stores.
CREATE TABLE agents (
    cluster text NOT NULL DEFAULT '',
    node text NOT NULL,
    epoch text NOT NULL,
    version text NOT NULL,
    sequence bigint NOT NULL DEFAULT 0,
    first_report timestamptz NOT NULL DEFAULT now(),
    last_report timestamptz NOT NULL DEFAULT now(),
    -- The agent's clock minus ours, and half the round trip it was measured over.
    offset_ms double precision,
    offset_error_ms double precision,
    status jsonb,
    PRIMARY KEY (cluster, node, epoch)
);

-- Which tenant a namespace belongs to; written by the operator. Telemetry of a pod may be joined to a
-- device only for the tenant of its namespace (a machine of one's own has one tenant and no check).
CREATE TABLE tenant_namespaces (
    cluster text NOT NULL DEFAULT '',
    namespace text NOT NULL,
    namespace_uid text NOT NULL,
    tenant_id text NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    PRIMARY KEY (cluster, namespace_uid)
);
CREATE UNIQUE INDEX tenant_namespaces_name ON tenant_namespaces (cluster, namespace);

CREATE FUNCTION notify_identity_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('axonize_identity', TG_TABLE_NAME);
    RETURN NULL;
END $$;
CREATE TRIGGER allocations_changed AFTER INSERT OR UPDATE OR DELETE ON allocations
    FOR EACH STATEMENT EXECUTE FUNCTION notify_identity_changed();
CREATE TRIGGER usages_changed AFTER INSERT OR UPDATE OR DELETE ON usages
    FOR EACH STATEMENT EXECUTE FUNCTION notify_identity_changed();
CREATE TRIGGER ordinal_bindings_changed AFTER INSERT OR UPDATE OR DELETE ON ordinal_bindings
    FOR EACH STATEMENT EXECUTE FUNCTION notify_identity_changed();
CREATE TRIGGER tenant_namespaces_changed AFTER INSERT OR UPDATE OR DELETE ON tenant_namespaces
    FOR EACH STATEMENT EXECUTE FUNCTION notify_identity_changed();
