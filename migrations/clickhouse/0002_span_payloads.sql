-- What a person opens one span for: attributes as they came, events, links, captured content.
-- Lists and analytics never read it; its retention class may be shorter than its span's.
-- It has the minute of its span's start, not the start again: 6 bytes less a span.
-- Shard key: cityHash64(trace_id)
CREATE TABLE IF NOT EXISTS {{table:span_payloads}}
(
    tenant_id UInt32 CODEC(ZSTD(1)),
    retention UInt16 CODEC(ZSTD(6)),
    minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    received DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    trace_id FixedString(16),
    span_id FixedString(8) CODEC(NONE),
    trace_state String,
    status_message String,
    scope_name LowCardinality(String),
    scope_version LowCardinality(String),
    attrs_str Map(LowCardinality(String), String) CODEC(ZSTD(6)),
    attrs_int Map(LowCardinality(String), Int64) CODEC(ZSTD(6)),
    attrs_num Map(LowCardinality(String), Float64) CODEC(ZSTD(6)),
    attrs_bool Map(LowCardinality(String), Bool) CODEC(ZSTD(6)),
    attrs_json Map(LowCardinality(String), String) CODEC(ZSTD(6)),
    content Map(LowCardinality(String), String) CODEC(ZSTD(6)),
    event_time Array(Int64) CODEC(ZSTD(6)),
    event_name Array(LowCardinality(String)),
    event_attrs Array(String) CODEC(ZSTD(6)),
    link_trace_id Array(FixedString(16)),
    link_span_id Array(FixedString(8)),
    link_attrs Array(String) CODEC(ZSTD(6)),
    dropped_attributes UInt32,
    dropped_events UInt32,
    dropped_links UInt32
)
ENGINE = {{engine:ReplacingMergeTree(received)}}
PARTITION BY (toDate(minute), retention)
PRIMARY KEY (tenant_id, minute, cityHash64(trace_id))
ORDER BY (tenant_id, minute, cityHash64(trace_id), span_id)
TTL minute + toIntervalDay(retention)
SETTINGS index_granularity = 2048, default_compression_codec = 'ZSTD(1)', ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, min_bytes_for_wide_part = 134217728
