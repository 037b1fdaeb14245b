-- One device or MIG slice at one tick. Devices have no tenant (design §10). What a device cannot
-- tell is NULL, never 0. Raw rows live 3 days; the aggregates below live longer.
-- Shard key: cityHash64(device)
CREATE TABLE IF NOT EXISTS {{table:gpu_samples}}
(
    cluster LowCardinality(String),
    device LowCardinality(String),
    time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    parent LowCardinality(String),
    name LowCardinality(String),
    vendor LowCardinality(String),
    driver_version LowCardinality(String),
    node LowCardinality(String),
    device_index Nullable(UInt16),
    mig_profile LowCardinality(String),
    namespace LowCardinality(String),
    pod LowCardinality(String),
    container LowCardinality(String),
    utilization Nullable(Float32) CODEC(ZSTD(1)),
    memory_used Nullable(UInt64) CODEC(Delta(8), ZSTD(1)),
    memory_total Nullable(UInt64) CODEC(Delta(8), ZSTD(1)),
    memory_utilization Nullable(Float32) CODEC(ZSTD(1)),
    power_watts Nullable(Float32) CODEC(ZSTD(1)),
    power_limit_watts Nullable(Float32) CODEC(ZSTD(1)),
    energy_mj Nullable(UInt64) CODEC(Delta(8), ZSTD(1)),
    temperature_celsius Nullable(Float32) CODEC(ZSTD(1)),
    sm_activity Nullable(Float32) CODEC(ZSTD(1)),
    sm_occupancy Nullable(Float32) CODEC(ZSTD(1)),
    tensor_activity Nullable(Float32) CODEC(ZSTD(1)),
    dram_activity Nullable(Float32) CODEC(ZSTD(1)),
    sm_clock_mhz Nullable(UInt32) CODEC(Delta(4), ZSTD(1)),
    memory_clock_mhz Nullable(UInt32) CODEC(Delta(4), ZSTD(1)),
    throttle_reasons Nullable(UInt64) CODEC(ZSTD(1)),
    pcie_rx_bytes Nullable(UInt64) CODEC(Delta(8), ZSTD(1)),
    pcie_tx_bytes Nullable(UInt64) CODEC(Delta(8), ZSTD(1)),
    nvlink_rx_bytes Nullable(UInt64) CODEC(Delta(8), ZSTD(1)),
    nvlink_tx_bytes Nullable(UInt64) CODEC(Delta(8), ZSTD(1)),
    ecc_corrected Nullable(UInt64) CODEC(ZSTD(1)),
    ecc_uncorrected Nullable(UInt64) CODEC(ZSTD(1))
)
ENGINE = {{engine:MergeTree}}
PARTITION BY toDate(time)
ORDER BY (cluster, device, time)
TTL toDateTime(time) + toIntervalDay(3)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
