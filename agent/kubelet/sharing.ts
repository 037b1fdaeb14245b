/**
 * Allocators that share a GPU outside the kubelet's word: HAMi writes the true GPU into an annotation, KAI
 * (run:ai) has a reservation pod hold it and ties the workloads to that by a label. Pure.
 */

export interface SharingPod {
  readonly namespace: string;
  readonly name: string;
  readonly containers: readonly { readonly name: string; readonly init: boolean }[];
  readonly hamiDevices: string | undefined;
  readonly kai:
    | {
        readonly groups: readonly string[];
        readonly share: string | undefined;
        readonly container: string | undefined;
      }
    | undefined;
}

/**
 * The GPU of one of the container's slots. The annotation has a part for each container, closed by `;`,
 * with `UUID,vendor,MiB,cores` for each device, closed by `:`; newer versions count init containers, too.
 * With several GPUs the kubelet's slots do not say which is whose: the id's own UUID must then be among
 * them. undefined: it cannot be told.
 */
export function hamiUuid(
  pod: SharingPod,
  container: string,
  slot: { readonly uuid: string; readonly slot: number },
): string | undefined {
  if (pod.hamiDevices === undefined) return undefined;
  const parts = pod.hamiDevices.split(";");
  if (parts.at(-1) === "") parts.pop();
  const apps = pod.containers.filter(({ init }) => !init);
  const counted =
    parts.length === pod.containers.length
      ? pod.containers
      : parts.length === apps.length
        ? apps
        : undefined;
  const part = parts[counted?.findIndex(({ name }) => name === container) ?? -1];
  const uuids = (part ?? "")
    .split(":")
    .map((device) => device.split(",")[0] ?? "")
    .filter((uuid) => /^GPU-[0-9a-f-]{36}$/.test(uuid));
  return uuids.length === 1 ? uuids[0] : uuids.find((uuid) => uuid === slot.uuid);
}

/** KAI's pod that holds the GPU: in the group, without a share of its own. */
export function isReservation(pod: SharingPod): boolean {
  return (
    pod.kai !== undefined &&
    pod.kai.share === undefined &&
    /^(runai-reservation|kai-resource-reservation)/.test(pod.namespace)
  );
}

/** The container that has a workload's share: the one it names, else its first. */
export function shareContainer(pod: SharingPod): string | undefined {
  if (pod.kai?.share === undefined) return undefined;
  return pod.kai.container ?? pod.containers.find(({ init }) => !init)?.name;
}

/** A slot's number where the allocator has none: from what is unique to it, by FNV-1a, 31 bits. */
export function slotOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0) & 0x7fffffff;
}
