-- Five-minute aggregates of gpu_samples, kept for 400 days.
-- Shard key: cityHash64(device)
CREATE TABLE IF NOT EXISTS {{table:gpu_samples_5m}}
(
    cluster LowCardinality(String),
    device LowCardinality(String),
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    utilization AggregateFunction(avg, Nullable(Float32)),
    utilization_max SimpleAggregateFunction(max, Nullable(Float32)),
    memory_used SimpleAggregateFunction(max, Nullable(UInt64)),
    memory_total SimpleAggregateFunction(max, Nullable(UInt64)),
    power_watts AggregateFunction(avg, Nullable(Float32)),
    power_watts_max SimpleAggregateFunction(max, Nullable(Float32)),
    power_limit_watts SimpleAggregateFunction(max, Nullable(Float32)),
    temperature_celsius SimpleAggregateFunction(max, Nullable(Float32)),
    sm_activity AggregateFunction(avg, Nullable(Float32)),
    tensor_activity AggregateFunction(avg, Nullable(Float32)),
    dram_activity AggregateFunction(avg, Nullable(Float32)),
    sm_clock_mhz AggregateFunction(avg, Nullable(UInt32)),
    energy_mj SimpleAggregateFunction(max, Nullable(UInt64)),
    throttle_reasons SimpleAggregateFunction(groupBitOr, UInt64)
)
ENGINE = {{engine:AggregatingMergeTree}}
PARTITION BY toYYYYMM(time)
ORDER BY (cluster, device, time)
TTL time + toIntervalDay(400)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
