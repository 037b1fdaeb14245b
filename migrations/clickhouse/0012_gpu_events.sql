-- What happened to a device: XID, ECC, throttle, MIG change, lost.
-- Shard key: cityHash64(device)
CREATE TABLE IF NOT EXISTS {{table:gpu_events}}
(
    cluster LowCardinality(String),
    device LowCardinality(String),
    time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    kind Enum8('xid' = 1, 'ecc' = 2, 'throttle' = 3, 'mig' = 4, 'lost' = 5),
    code Nullable(Int64),
    node LowCardinality(String),
    message String
)
ENGINE = {{engine:ReplacingMergeTree}}
PARTITION BY toYYYYMM(time)
ORDER BY (cluster, device, time, kind, message)
TTL toDateTime(time) + toIntervalDay(400)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
