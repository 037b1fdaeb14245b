-- One span per row, narrow and typed: what lists, facets, overview and heat maps read.
-- Identity is (tenant, trace, span); a span sent again replaces itself (reads use FINAL).
-- Partitioned by day and retention class, so that TTL drops whole parts.
-- Shard key: cityHash64(trace_id)
CREATE TABLE IF NOT EXISTS {{table:spans}}
(
    tenant_id UInt32 CODEC(ZSTD(1)),
    retention UInt16 CODEC(ZSTD(1)),
    start DateTime64(9, 'UTC') CODEC(T64, ZSTD(1)),
    received DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    trace_id FixedString(16),
    span_id FixedString(8) CODEC(NONE),
    parent_span_id FixedString(8),
    name LowCardinality(String),
    kind UInt8,
    status UInt8,
    error_type LowCardinality(String),
    duration_ns UInt64 CODEC(T64, ZSTD(1)),
    service LowCardinality(String),
    instance LowCardinality(String),
    environment LowCardinality(String),
    operation LowCardinality(String),
    model LowCardinality(String),
    model_source Enum8('none' = 0, 'span' = 1, 'trace' = 2, 'instance' = 3),
    provider LowCardinality(String),
    engine LowCardinality(String),
    ttft_ns Nullable(UInt64) CODEC(T64, ZSTD(1)),
    ttft_basis Enum8('none' = 0, 'client' = 1, 'gateway' = 2, 'engine' = 3),
    itl_ns Nullable(UInt64) CODEC(T64, ZSTD(1)),
    queue_ns Nullable(UInt64) CODEC(T64, ZSTD(1)),
    prefill_ns Nullable(UInt64) CODEC(T64, ZSTD(1)),
    decode_ns Nullable(UInt64) CODEC(T64, ZSTD(1)),
    kv_transfer_ns Nullable(UInt64) CODEC(T64, ZSTD(1)),
    input_tokens Nullable(UInt32) CODEC(T64, ZSTD(1)),
    output_tokens Nullable(UInt32) CODEC(T64, ZSTD(1)),
    cached_tokens Nullable(UInt32) CODEC(T64, ZSTD(1)),
    reasoning_tokens Nullable(UInt32) CODEC(T64, ZSTD(1)),
    finish_reason LowCardinality(String),
    session String,
    user String,
    namespace LowCardinality(String),
    pod_uid LowCardinality(String),
    pod LowCardinality(String),
    node LowCardinality(String),
    container LowCardinality(String),
    gpu_ordinals Array(UInt8),
    gpu_devices Array(LowCardinality(String)),
    gpu_level LowCardinality(String),
    resource_fp UInt64 CODEC(ZSTD(1)),
    marks UInt16,
    -- "What arrived since?" reads the newest granules only: analytics keep older slots in memory.
    INDEX received_range received TYPE minmax GRANULARITY 1,
    -- A session or a user is in few granules of a day: a list by one of them reads only those.
    INDEX session_bloom session TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX user_bloom user TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {{engine:ReplacingMergeTree(received)}}
PARTITION BY (toDate(start), retention)
PRIMARY KEY (tenant_id, toStartOfMinute(start), cityHash64(trace_id))
ORDER BY (tenant_id, toStartOfMinute(start), cityHash64(trace_id), span_id)
TTL toDateTime(start) + toIntervalDay(retention)
SETTINGS index_granularity = 2048, default_compression_codec = 'ZSTD(1)', ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, min_bytes_for_wide_part = 134217728
