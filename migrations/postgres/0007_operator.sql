-- What a custom resource says of a tenant, and what the operator remembers. Rows from before keep their
-- meaning by the defaults, and the version before reads and writes this schema as it did.
ALTER TABLE tenants
    -- Suspended and ReadOnly: no ingest, queries go on.
    ADD COLUMN admin_state text NOT NULL DEFAULT 'Active'
        CHECK (admin_state IN ('Active', 'ReadOnly', 'Suspended')),
    -- orphaned: its resource is gone, its data is kept and may be adopted.
    ADD COLUMN lifecycle text NOT NULL DEFAULT 'active'
        CHECK (lifecycle IN ('active', 'terminating', 'orphaned')),
    -- UID of the cluster's namespace kube-system, and UID of the resource.
    ADD COLUMN owner_cluster_uid text,
    ADD COLUMN owner_uid text,
    -- Told by the owner's operator every few minutes: an owner that is silent for long is gone.
    ADD COLUMN owner_seen_at timestamptz,
    -- NULL: two seconds' worth of spans_per_second.
    ADD COLUMN burst_spans integer CHECK (burst_spans > 0),
    ADD COLUMN on_exceeded text NOT NULL DEFAULT 'Reject'
        CHECK (on_exceeded IN ('Sample', 'Reject', 'Warn')),
    -- NULL: as long as spans, up to ingest's own bound.
    ADD COLUMN payload_days integer CHECK (payload_days BETWEEN 1 AND 3650),
    ADD COLUMN traces_per_million integer NOT NULL DEFAULT 1000000
        CHECK (traces_per_million BETWEEN 0 AND 1000000);
CREATE INDEX tenants_owner ON tenants (owner_cluster_uid, owner_uid);

-- A key of the operator's is one of a group (tenant, name, cluster, namespace). Its life: pending (its
-- Secret is being written), active (in the Secret), retiring (pods still run with it), revoked. Ingest
-- takes all but the last, so no order of steps locks a pod out.
ALTER TABLE api_keys
    ADD COLUMN cluster text,
    ADD COLUMN namespace text,
    ADD COLUMN namespace_uid text,
    ADD COLUMN state text NOT NULL DEFAULT 'active'
        CHECK (state IN ('pending', 'active', 'retiring', 'revoked')),
    -- How long it goes on once another one took its place.
    ADD COLUMN overlap_seconds integer CHECK (overlap_seconds > 0),
    -- false: it goes on until nobody has used it for a day.
    ADD COLUMN ends_with_overlap boolean NOT NULL DEFAULT true,
    -- The request to rotate that it answers: acted on once, whenever the operator stops.
    ADD COLUMN rotate_request text,
    ADD COLUMN activated_at timestamptz,
    ADD COLUMN retired_at timestamptz;
UPDATE api_keys SET state = 'revoked' WHERE revoked_at IS NOT NULL;
CREATE UNIQUE INDEX api_keys_one_pending ON api_keys (tenant_id, name, cluster, namespace_uid)
    NULLS NOT DISTINCT WHERE owner = 'operator' AND state = 'pending' AND cluster IS NOT NULL;
CREATE UNIQUE INDEX api_keys_one_active ON api_keys (tenant_id, name, cluster, namespace_uid)
    NULLS NOT DISTINCT WHERE owner = 'operator' AND state = 'active' AND cluster IS NOT NULL;

-- `revoked_at` decides; the state follows it, also where the version before revokes.
CREATE FUNCTION follow_revocation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.revoked_at IS NOT NULL THEN
        NEW.state := 'revoked';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER api_keys_revoked BEFORE INSERT OR UPDATE OF revoked_at, state ON api_keys
    FOR EACH ROW EXECUTE FUNCTION follow_revocation();

-- The pending key becomes its group's active one, and the one before retires: by the operator once the
-- Secret has it, or by whichever ingest process sees it in use first. Twice is as good as once. The operator
-- promotes a retiring key, too, where it is the one that its Secret has.
CREATE FUNCTION promote_api_key(key_id text, before text DEFAULT 'pending') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    fresh api_keys;
BEGIN
    -- A group's promotions, one after the other.
    SELECT * INTO fresh FROM api_keys WHERE id = key_id AND state = before FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE api_keys SET state = 'retiring', retired_at = now(),
        expires_at = CASE WHEN ends_with_overlap
            THEN now() + make_interval(secs => coalesce(overlap_seconds, 604800)) END
    WHERE tenant_id = fresh.tenant_id AND name = fresh.name AND owner = 'operator'
        AND cluster = fresh.cluster AND namespace_uid IS NOT DISTINCT FROM fresh.namespace_uid
        AND state = 'active';
    UPDATE api_keys SET state = 'active', activated_at = now(), retired_at = NULL, expires_at = NULL
    WHERE id = key_id;
END $$;

DROP TRIGGER api_keys_changed ON api_keys;
CREATE TRIGGER api_keys_changed AFTER INSERT OR DELETE OR UPDATE OF revoked_at, expires_at, scopes, state ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION notify_access_changed();

-- A namespace is bound by its UID: one that is made anew under the same name is another one.
ALTER TABLE tenant_namespaces
    -- What its spans get that name no environment.
    ADD COLUMN environment text,
    ADD COLUMN bound_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX tenant_namespaces_tenant ON tenant_namespaces (tenant_id);
CREATE TRIGGER tenant_namespaces_access AFTER INSERT OR UPDATE OR DELETE ON tenant_namespaces
    FOR EACH STATEMENT EXECUTE FUNCTION notify_access_changed();

-- Fences the operator's writes: a transaction of a leader that another one has followed finds a higher
-- epoch here and fails. One row per Kubernetes cluster.
CREATE TABLE operator_epoch (
    cluster_uid text PRIMARY KEY,
    epoch bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- What ingest did beyond a tenant's limits, added up by every process.
CREATE TABLE quota_exceeded (
    tenant_id text NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    quota text NOT NULL CHECK (quota IN ('SpansPerSecond', 'BytesPerDay')),
    last_at timestamptz NOT NULL DEFAULT now(),
    -- Requests refused, spans left out of whole traces, spans kept all the same.
    rejected_requests bigint NOT NULL DEFAULT 0,
    sampled_spans bigint NOT NULL DEFAULT 0,
    excess_spans bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, quota)
);

-- Tenants whose data is to be deleted. One process of ingest works off a row: table by table, then the
-- tenant itself. `tenant_num` is never used again.
CREATE TABLE purge_jobs (
    tenant_num integer PRIMARY KEY,
    tenant_id text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    tables_done text[] NOT NULL DEFAULT '{}',
    parts_left bigint,
    error text,
    finished_at timestamptz
);
