-- A resource's attributes once per fingerprint instead of once per span. `attrs` is a JSON object.
-- Shard key: fp
CREATE TABLE IF NOT EXISTS {{table:resources}}
(
    tenant_id UInt32,
    fp UInt64,
    last_seen DateTime('UTC'),
    attrs String CODEC(ZSTD(3))
)
ENGINE = {{engine:ReplacingMergeTree(last_seen)}}
ORDER BY (tenant_id, fp)
SETTINGS non_replicated_deduplication_window = 10000
