-- Which values an attribute had, per tenant and quarter of an hour: filter values at once.
-- It holds the set, not counts: a set does not change when a span is sent again. Counts under a
-- filter come from `spans`.
-- Shard key: cityHash64(key, value)
CREATE TABLE IF NOT EXISTS {{table:facets}}
(
    tenant_id UInt32,
    bucket DateTime('UTC'),
    key LowCardinality(String),
    value String,
    retention UInt16,
    last_seen SimpleAggregateFunction(max, DateTime('UTC'))
)
ENGINE = {{engine:AggregatingMergeTree}}
PARTITION BY (toDate(bucket), retention)
ORDER BY (tenant_id, key, bucket, value, retention)
TTL bucket + toIntervalDay(retention)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
