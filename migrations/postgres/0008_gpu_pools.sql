-- Pools of GPU nodes, written by the operator alone and only by the holder of its lease: each row keeps
-- the epoch of who wrote it, and a writer of an older epoch changes nothing.
CREATE TABLE gpu_pools (
    cluster text NOT NULL DEFAULT '',
    name text NOT NULL,
    -- Of the custom resource: made again under the same name it is another pool.
    uid text NOT NULL,
    vendor text NOT NULL,
    -- What its agents are told (core/contract/agent.ts, PoolConfig).
    config jsonb NOT NULL,
    epoch bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster, uid)
);
CREATE UNIQUE INDEX gpu_pools_name ON gpu_pools (cluster, name);

-- Which node belonged to which pool from when to when. A node is its UID: added again under the same
-- name it is another one. The pool's name stays readable after the pool is gone.
CREATE TABLE gpu_pool_nodes (
    cluster text NOT NULL DEFAULT '',
    node_uid text NOT NULL,
    node text NOT NULL,
    pool_uid text NOT NULL,
    pool text NOT NULL,
    valid_from timestamptz NOT NULL DEFAULT now(),
    valid_to timestamptz CHECK (valid_to >= valid_from),
    epoch bigint NOT NULL,
    PRIMARY KEY (cluster, node_uid, valid_from)
);
CREATE UNIQUE INDEX gpu_pool_nodes_open ON gpu_pool_nodes (cluster, node_uid) WHERE valid_to IS NULL;
CREATE INDEX gpu_pool_nodes_node ON gpu_pool_nodes (cluster, node, valid_from);
CREATE INDEX gpu_pool_nodes_pool ON gpu_pool_nodes (cluster, pool_uid) WHERE valid_to IS NULL;

-- What a GPU hour costs. The price at t is the row with the greatest (effective_from, id) of those with
-- effective_from <= t; `product` is GPU Feature Discovery's name, empty for the pool's own price, and NULL
-- money means that there is none from then on. Rows are only ever appended: what was settled stays so.
CREATE TABLE prices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cluster text NOT NULL DEFAULT '',
    pool_uid text NOT NULL,
    pool text NOT NULL,
    product text NOT NULL DEFAULT '',
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- Billionths of the currency: 999999.999999 an hour is 1e15, which a double holds exactly.
    per_gpu_hour_nanos bigint CHECK (per_gpu_hour_nanos >= 0),
    effective_from timestamptz NOT NULL,
    epoch bigint NOT NULL,
    appended_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX prices_pool ON prices (cluster, pool_uid, product, effective_from, id);

CREATE FUNCTION refuse_price_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'prices are only appended';
END $$;
CREATE TRIGGER prices_appended BEFORE UPDATE OR DELETE ON prices
    FOR EACH ROW EXECUTE FUNCTION refuse_price_change();

CREATE FUNCTION notify_gpu_pools_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('axonize_gpu_pools', TG_TABLE_NAME);
    RETURN NULL;
END $$;
CREATE TRIGGER gpu_pools_changed AFTER INSERT OR UPDATE OR DELETE ON gpu_pools
    FOR EACH STATEMENT EXECUTE FUNCTION notify_gpu_pools_changed();
CREATE TRIGGER gpu_pool_nodes_changed AFTER INSERT OR UPDATE OR DELETE ON gpu_pool_nodes
    FOR EACH STATEMENT EXECUTE FUNCTION notify_gpu_pools_changed();

-- Which agent's stream may write for a node, over all replicas of ingest: the last one to claim it. An
-- agent takes over from an older life, from its own stream elsewhere, and from one not heard of lately.
CREATE TABLE agent_writers (
    cluster text NOT NULL DEFAULT '',
    node text NOT NULL,
    epoch text NOT NULL,
    claim bigint NOT NULL DEFAULT 1,
    heard_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster, node)
);

-- Intervals that ended are deleted once nothing can refer to them any more.
CREATE INDEX gpu_placements_ended ON gpu_placements (valid_to) WHERE valid_to IS NOT NULL;
CREATE INDEX compute_resources_ended ON compute_resources (valid_to) WHERE valid_to IS NOT NULL;
CREATE INDEX allocations_ended ON allocations (valid_to) WHERE valid_to IS NOT NULL;
CREATE INDEX usages_ended ON usages (valid_to) WHERE valid_to IS NOT NULL;
CREATE INDEX ordinal_bindings_ended ON ordinal_bindings (valid_to) WHERE valid_to IS NOT NULL;
-- What a pool's inventory counts: everything that is open now, by node.
CREATE INDEX compute_resources_open ON compute_resources (cluster, node) WHERE valid_to IS NULL;
CREATE INDEX allocations_open ON allocations (cluster, node) WHERE valid_to IS NULL;
