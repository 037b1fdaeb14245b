-- Which devices reported, what they are and whom their samples named, per hour: what the list of an
-- old range and the lanes of an old request need when raw samples are gone. A device with one holder
-- is one row per hour; a cluster of 1,000 devices is 9.6 million rows in 400 days.
-- Shard key: cityHash64(device)
CREATE TABLE IF NOT EXISTS {{table:gpu_devices}}
(
    cluster LowCardinality(String),
    device LowCardinality(String),
    hour DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    namespace LowCardinality(String),
    pod LowCardinality(String),
    container LowCardinality(String),
    first SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    parent SimpleAggregateFunction(max, String),
    name SimpleAggregateFunction(max, String),
    vendor SimpleAggregateFunction(max, String),
    driver_version SimpleAggregateFunction(max, String),
    node SimpleAggregateFunction(max, String),
    device_index SimpleAggregateFunction(max, Nullable(UInt16)),
    mig_profile SimpleAggregateFunction(max, String)
)
ENGINE = {{engine:AggregatingMergeTree}}
PARTITION BY toYYYYMM(hour)
ORDER BY (cluster, device, hour, namespace, pod, container)
TTL hour + toIntervalDay(400)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
