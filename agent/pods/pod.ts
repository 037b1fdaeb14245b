/**
 * A pod as the agent keeps it: what joins devices and processes to it, and nothing else of its spec. What
 * an object says is checked and bounded; annotations are kept only where an allocator writes its devices.
 */
import * as z from "zod";
import { maxLabelLength, maxLabels } from "./limits.ts";

export interface PodContainer {
  readonly name: string;
  /** 64 hex digits, without the runtime's prefix. undefined: not started yet. */
  readonly containerId: string | undefined;
  readonly init: boolean;
  readonly privileged: boolean;
}

export interface Pod {
  readonly uid: string;
  /** The kubelet's own uid of a static pod, which cgroups have; the API's mirror has another. */
  readonly staticUid: string | undefined;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly owner: { readonly kind: string; readonly name: string } | undefined;
  /** Succeeded or Failed: it holds nothing any more, whatever a kubelet lists. */
  readonly ended: boolean;
  readonly deleting: boolean;
  readonly hasClaims: boolean;
  readonly containers: readonly PodContainer[];
  /** HAMi: `hami.io/vgpu-devices-allocated`. */
  readonly hamiDevices: string | undefined;
  /** KAI: groups of shared GPUs that it belongs to, and the container that has its share. */
  readonly kai:
    | {
        readonly groups: readonly string[];
        readonly share: string | undefined;
        readonly container: string | undefined;
      }
    | undefined;
}

const Container = z.object({
  name: z.string().max(253),
  securityContext: z.object({ privileged: z.boolean().nullish() }).nullish(),
});
const Status = z.object({ name: z.string().max(253), containerID: z.string().max(512).nullish() });
const statuses = z.array(Status).nullish();
const strings = z.record(z.string(), z.string()).nullish();
const PodObject = z.object({
  metadata: z.object({
    uid: z.string().min(1).max(64),
    namespace: z.string().min(1).max(253),
    name: z.string().min(1).max(253),
    labels: strings,
    annotations: strings,
    deletionTimestamp: z.string().nullish(),
    ownerReferences: z
      .array(
        z.object({
          kind: z.string().max(253),
          name: z.string().max(253),
          controller: z.boolean().nullish(),
        }),
      )
      .nullish(),
  }),
  spec: z.object({
    containers: z.array(Container),
    initContainers: z.array(Container).nullish(),
    resourceClaims: z.array(z.unknown()).nullish(),
  }),
  status: z
    .object({
      phase: z.string().nullish(),
      containerStatuses: statuses,
      initContainerStatuses: statuses,
      ephemeralContainerStatuses: statuses,
    })
    .nullish(),
});
type PodObject = z.infer<typeof PodObject>;

/** undefined: it is no pod. */
export function podFrom(object: unknown): Pod | undefined {
  const parsed = PodObject.safeParse(object);
  if (!parsed.success) return undefined;
  const { metadata, spec, status } = parsed.data;
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  const annotations = metadata.annotations ?? {};
  return {
    uid: metadata.uid,
    staticUid: annotations["kubernetes.io/config.mirror"] ?? undefined,
    namespace: metadata.namespace,
    name: metadata.name,
    labels: boundedLabels(metadata.labels ?? {}),
    owner: owner && { kind: owner.kind, name: owner.name },
    ended: status?.phase === "Succeeded" || status?.phase === "Failed",
    deleting: metadata.deletionTimestamp !== undefined && metadata.deletionTimestamp !== null,
    hasClaims: (spec.resourceClaims ?? []).length > 0,
    containers: containersOf(parsed.data),
    hamiDevices: annotations["hami.io/vgpu-devices-allocated"],
    kai: kaiOf(metadata.labels ?? {}, annotations),
  };
}

function containersOf({ spec, status }: PodObject): PodContainer[] {
  const ids = new Map<string, string>();
  const all = [
    ...(status?.containerStatuses ?? []),
    ...(status?.initContainerStatuses ?? []),
    ...(status?.ephemeralContainerStatuses ?? []),
  ];
  for (const { name, containerID } of all) {
    const id = /^[\w.-]+:\/\/([0-9a-f]{64})$/.exec(containerID ?? "")?.[1];
    if (id !== undefined) ids.set(name, id);
  }
  const one = (init: boolean) => (container: z.infer<typeof Container>) => ({
    name: container.name,
    containerId: ids.get(container.name),
    init,
    privileged: container.securityContext?.privileged === true,
  });
  return [...(spec.initContainers ?? []).map(one(true)), ...spec.containers.map(one(false))];
}

/** The first in the order of their names, so that the same pod has the same ones each time. */
function boundedLabels(labels: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, maxLabels)
      .map(([name, value]) => [name.slice(0, 317), value.slice(0, maxLabelLength)]),
  );
}

/** KAI and run:ai: one label, or one for each of several groups. */
function kaiOf(labels: Record<string, string>, annotations: Record<string, string>): Pod["kai"] {
  const groups = Object.entries(labels)
    .filter(([name]) => name === "runai-gpu-group" || name.startsWith("runai-gpu-group/"))
    .map(([, group]) => group);
  if (groups.length === 0) return undefined;
  const share = annotations["gpu-fraction"] ?? annotations["gpu-memory"];
  return { groups, share, container: annotations["gpu-fraction-container-name"] };
}
