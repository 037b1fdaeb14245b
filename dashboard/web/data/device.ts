/**
 * How a device is called where space is short, and which requests ran on it. Pure.
 */
import type { Gpu } from "@axonize/core/contract/gpu";

/** `GPU-3`; where nobody told its number, the beginning of its UUID, so that lanes can be told apart. */
export function deviceName(gpu: Pick<Gpu, "uuid" | "index" | "migProfile">): string {
  if (gpu.index !== null) return `GPU-${gpu.index}`;
  const kind = gpu.migProfile === "" ? "GPU" : "MIG";
  return `${kind} ${gpu.uuid.replace(/^(GPU|MIG)-/, "").slice(0, 8)}`;
}

/**
 * The filter of "requests on this device". Calls whose sender named no device are joined to it by
 * the pod that holds it, so where no call names the device itself, its holders are asked for.
 */
export function requestsFilter(gpu: Pick<Gpu, "uuid" | "pods" | "requestCount">): string {
  if (gpu.requestCount > 0 || gpu.pods.length === 0) return `gpu:${gpu.uuid}`;
  return [...new Set(gpu.pods.map((pod) => `pod:${pod.name}`))].join(" ");
}
