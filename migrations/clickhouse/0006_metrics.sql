-- OTLP metric points that are not device samples: `gen_ai.*` histograms and counters, mostly.
-- Shard key: series_fp
CREATE TABLE IF NOT EXISTS {{table:metrics}}
(
    tenant_id UInt32 CODEC(ZSTD(1)),
    retention UInt16 CODEC(ZSTD(1)),
    name LowCardinality(String),
    unit LowCardinality(String),
    kind Enum8('gauge' = 1, 'sum' = 2, 'histogram' = 3),
    temporality Enum8('unspecified' = 0, 'delta' = 1, 'cumulative' = 2),
    monotonic Bool,
    series_fp UInt64,
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    start_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    service LowCardinality(String),
    resource_fp UInt64 CODEC(ZSTD(1)),
    attrs Map(LowCardinality(String), String),
    value Nullable(Float64),
    count UInt64 CODEC(ZSTD(1)),
    sum Nullable(Float64),
    min Nullable(Float64),
    max Nullable(Float64),
    bounds Array(Float64),
    bucket_counts Array(UInt64),
    received DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree(received)}}
PARTITION BY (toDate(time), retention)
ORDER BY (tenant_id, name, series_fp, time)
TTL toDateTime(time) + toIntervalDay(retention)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
