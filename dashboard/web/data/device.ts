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

/** UUID → what a device is called among others: `GPU 2`, a slice `3g.40gb · GPU 2`. */
export function deviceLabels(
  gpus: readonly Pick<Gpu, "uuid" | "parentUuid" | "index" | "migProfile">[],
): ReadonlyMap<string, string> {
  const cards = new Map(gpus.map((gpu) => [gpu.uuid, gpu.index]));
  return new Map(
    gpus.flatMap(({ uuid, parentUuid, index, migProfile }) => {
      const number = parentUuid === "" ? index : cards.get(parentUuid);
      const card = number === null || number === undefined ? "" : `GPU ${number}`;
      const label = [migProfile, card].filter((part) => part !== "").join(" · ");
      return label === "" ? [] : [[uuid, label] as const];
    }),
  );
}

export const labelOf = (labels: ReadonlyMap<string, string>, uuid: string): string =>
  labels.get(uuid) ?? shortUuid(uuid);

/** Where a table has no room for more: `GPU 2`, a slice `3g.40gb`, else the beginning of its UUID. */
export function shortLabelOf(labels: ReadonlyMap<string, string>, uuid: string): string {
  const [first = ""] = (labels.get(uuid) ?? "").split(" · ");
  return first === "" ? uuid.replace(/^(GPU|MIG)-/, "").slice(0, 6) : first;
}

/** Where nobody told more: enough of it to tell neighbours apart. */
export const shortUuid = (uuid: string): string =>
  uuid.length > 14 ? `${uuid.slice(0, 12)}…` : uuid;

/**
 * Why a device that is sampled has no activity in a range: it is never shown as 0. NVML tells a slice's
 * activity by GPM alone, which Ampere does not have, and to whoever has the driver's MIG monitor.
 */
export function whyNoActivity({ name, parentUuid }: Pick<Gpu, "name" | "parentUuid">): string {
  if (parentUuid === "") {
    return "Activity was not measured. A card that is cut into slices does not tell it as a whole: see its slices.";
  }
  return /\b(A100|A30)\b/.test(name)
    ? "Activity is not measurable on this GPU: NVML tells a slice's activity on Hopper and newer."
    : "Activity was not measured: NVML tells a slice's activity to agents that may look into their node (hostAccess HostPID or Privileged of its GPU pool).";
}
