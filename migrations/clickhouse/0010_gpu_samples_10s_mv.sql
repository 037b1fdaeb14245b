-- Fills gpu_samples_10s from gpu_samples as samples arrive.
CREATE MATERIALIZED VIEW IF NOT EXISTS {{view:gpu_samples_10s_mv}} TO {{target:gpu_samples_10s}} AS
SELECT
    cluster,
    device,
    toStartOfInterval(toDateTime(s.time), toIntervalSecond(10)) AS time,
    avgState(utilization) AS utilization,
    max(s.utilization) AS utilization_max,
    max(memory_used) AS memory_used,
    max(memory_total) AS memory_total,
    avgState(power_watts) AS power_watts,
    max(s.power_watts) AS power_watts_max,
    max(power_limit_watts) AS power_limit_watts,
    max(temperature_celsius) AS temperature_celsius,
    avgState(sm_activity) AS sm_activity,
    avgState(tensor_activity) AS tensor_activity,
    avgState(dram_activity) AS dram_activity,
    avgState(sm_clock_mhz) AS sm_clock_mhz,
    max(energy_mj) AS energy_mj,
    groupBitOr(coalesce(throttle_reasons, 0)) AS throttle_reasons
FROM {{source:gpu_samples}} AS s
GROUP BY cluster, device, time
