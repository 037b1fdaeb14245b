-- Fills gpu_devices from gpu_samples as samples arrive.
CREATE MATERIALIZED VIEW IF NOT EXISTS {{view:gpu_devices_mv}} TO {{target:gpu_devices}} AS
SELECT
    cluster,
    device,
    toStartOfHour(toDateTime(s.time)) AS hour,
    namespace,
    pod,
    container,
    min(s.time) AS first,
    max(s.time) AS last,
    max(toString(s.parent)) AS parent,
    max(toString(s.name)) AS name,
    max(toString(s.vendor)) AS vendor,
    max(toString(s.driver_version)) AS driver_version,
    max(toString(s.node)) AS node,
    max(s.device_index) AS device_index,
    max(toString(s.mig_profile)) AS mig_profile
FROM {{source:gpu_samples}} AS s
GROUP BY cluster, device, hour, namespace, pod, container
