-- Trace → when it ran, so that a trace is found by id without a scan. Written by ingest, one row
-- per trace and group; min and max make it idempotent. A trace over midnight has a row per day.
-- Shard key: cityHash64(trace_id)
CREATE TABLE IF NOT EXISTS {{table:trace_index}}
(
    tenant_id UInt32 CODEC(ZSTD(1)),
    trace_id FixedString(16) CODEC(NONE),
    day Date,
    retention UInt16 CODEC(ZSTD(1)),
    min_start SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(T64, ZSTD(1)),
    max_start SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(T64, ZSTD(1)),
    max_end SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(T64, ZSTD(1))
)
ENGINE = {{engine:AggregatingMergeTree}}
PARTITION BY (day, retention)
ORDER BY (tenant_id, trace_id, day, retention)
TTL day + toIntervalDay(retention)
SETTINGS index_granularity = 2048, default_compression_codec = 'ZSTD(1)', ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
