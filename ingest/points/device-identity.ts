/**
 * Which device a point speaks of, from its own attributes first and the resource's after them.
 */
import type { Attributes } from "./otlp.ts";

export interface DeviceIdentity {
  device: string;
  cluster: string;
  parent: string;
  name: string;
  vendor: string;
  driver_version: string;
  node: string;
  device_index: number | undefined;
  mig_profile: string;
  namespace: string;
  pod: string;
  container: string;
}

/** Undefined when the point does not say of which device it speaks. */
export function deviceFrom(
  metricName: string,
  point: Attributes,
  resource: Attributes,
): DeviceIdentity | undefined {
  const first = (...keys: string[]): string => {
    for (const key of keys) {
      const value = point.get(key) ?? resource.get(key);
      if (value !== undefined && value !== "") return value;
    }
    return "";
  };
  const id = first("hw.id", "gpu.mig.device_id", "gpu.uuid", "UUID", "uuid");
  // A sensor has an id of its own; the GPU that it sits in is its parent (semantic conventions 1.44).
  const isSensor = metricName === "hw.temperature" && !/^(GPU|MIG)-/.test(id);
  const parent = first("hw.parent", "gpu.parent.uuid");
  const slice = first("GPU_I_ID");
  const whole = isSensor && parent !== "" ? parent : id;
  if (whole === "") return undefined;
  const index = Number(first("gpu.index", "gpu", "hw.gpu.index") || Number.NaN);
  return {
    // dcgm-exporter names a MIG slice by its GPU's uuid and the instance id.
    device: slice === "" ? whole : `${whole}/gi${slice}`,
    cluster: first("k8s.cluster.name"),
    parent: slice === "" ? (isSensor ? "" : parent) : whole,
    name: first("hw.model", "hw.name", "gpu.name", "gpu_name", "modelName"),
    vendor: first("hw.vendor", "gpu.vendor"),
    driver_version: first("hw.driver_version", "gpu.driver_version", "DCGM_FI_DRIVER_VERSION"),
    node: first("k8s.node.name", "host.name", "Hostname"),
    device_index: Number.isInteger(index) && index >= 0 && index <= 65_535 ? index : undefined,
    mig_profile: first("gpu.mig.profile", "GPU_I_PROFILE"),
    namespace: first("k8s.namespace.name", "namespace"),
    pod: first("k8s.pod.name", "pod"),
    container: first("k8s.container.name", "container"),
  };
}
