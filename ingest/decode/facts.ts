/**
 * What a resource says of its process, as far as attribution asks: read from the attributes as they are
 * stored, so that a span that is looked at again later is asked about in the same words. Pure.
 */
import { resourceKeys } from "@axonize/core/contract/attributes";

/** Texts are empty where the resource does not say. */
export interface ResourceFacts {
  readonly podUid: string;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly node: string;
  readonly containerId: string;
  /** As the process itself sees it. */
  readonly pid: number | undefined;
  /** CUDA_VISIBLE_DEVICES as our SDKs found it inside the process. */
  readonly visibleDevices: string | undefined;
  /** What the process says its devices are: the index is the ordinal. */
  readonly gpuUuids: readonly string[];
  readonly peer: Peer | undefined;
}

/** The process at the other end of a loopback connection, as the kernel tells. */
export interface Peer {
  readonly node: string;
  readonly pid: number;
  readonly podUid: string;
  readonly containerId: string;
}

/** `json` is an object that the decoder wrote; every value is checked. */
export function factsOf(json: string, peer: Peer | undefined): ResourceFacts {
  const told: unknown = JSON.parse(json);
  // Safe: the decoder writes a resource's attributes as an object.
  const attributes = told as Readonly<Record<string, unknown>>;
  const text = (key: string): string => {
    const value = attributes[key];
    return typeof value === "string" ? value : "";
  };
  const pid = Number(attributes["process.pid"] ?? Number.NaN);
  const uuids = attributes[resourceKeys.gpuUuids];
  return {
    podUid: text(resourceKeys.podUid),
    namespace: text(resourceKeys.namespace),
    pod: text(resourceKeys.pod),
    container: text(resourceKeys.container),
    node: text(resourceKeys.node) || text("host.name"),
    containerId: text("container.id"),
    pid: Number.isSafeInteger(pid) && pid > 0 ? pid : undefined,
    visibleDevices: text("axonize.env.cuda_visible_devices") || undefined,
    gpuUuids: (Array.isArray(uuids) ? uuids : [uuids]).filter((uuid) => typeof uuid === "string"),
    peer,
  };
}

/** The UUIDs that a process reported, by ordinal, or all where a span names none. */
export function saidUuids(all: readonly string[], ordinals: readonly number[]): readonly string[] {
  return ordinals.length === 0 ? all : ordinals.flatMap((ordinal) => all[ordinal] ?? []);
}
