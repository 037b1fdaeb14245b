/**
 * What the cluster tells of a pool beside its nodes: the agents' pods, why pods could not be made, DRA's
 * slices, and whether a rollout still moves.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { isApiError } from "../../kube/api-error.ts";
import { events, resourceSlices } from "../../kube/kinds.ts";
import type { KubeClient } from "../../kube/types.ts";
import * as limits from "../../resources/gpupool/limits.ts";
import * as names from "../../resources/gpupool/names.ts";
import type { RolloutFacts, StatusFacts } from "../../resources/gpupool/status.ts";
import { draGpusOf, eventMs, type EventObject, type ResourceSliceObject } from "./objects.ts";

/** ResourceSlices are asked for at most this often, by all pools together. */
const slicesMs = 60_000;
/** Where the API is not served: asked for again this often. */
const probeMs = 300_000;
/** A refusal that the DaemonSet's controller has not repeated for so long is over: it retries within minutes. */
const refusalMs = 900_000;

/** GPUs by node. An optional API: without it there is nobody to contradict. */
export function createDraReader(deps: {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
}): () => Promise<ReadonlyMap<string, number>> {
  let found: ReadonlyMap<string, number> = new Map();
  let nextMs = -Infinity;
  let reading: Promise<void> | undefined;
  const read = async (): Promise<void> => {
    try {
      const { items } = await deps.client.list<ResourceSliceObject>(resourceSlices);
      found = draGpusOf(items);
      nextMs = deps.clock.monotonic() + slicesMs;
    } catch (error) {
      // Below 1.34 there is no such API, and a cluster may grant no access to it: DRA tells nothing then.
      if (!isApiError(error, 404) && !isApiError(error, 403)) throw error;
      deps.log.debug({ event: "gpupool.no_dra", reason: errorMessage(error) });
      found = new Map();
      nextMs = deps.clock.monotonic() + probeMs;
    }
  };
  return async () => {
    if (deps.clock.monotonic() < nextMs) return found;
    reading ??= read().finally(() => {
      reading = undefined;
    });
    await reading;
    return found;
  };
}

/** Why the DaemonSet's controller could make no pod, by its newest event. */
export async function readRefusal(
  deps: { readonly client: KubeClient; readonly clock: Clock },
  options: { readonly namespace: string; readonly pool: string },
): Promise<StatusFacts["refusal"]> {
  const { items } = await deps.client.list<EventObject>(events, {
    namespace: options.namespace,
    fieldSelector: `regarding.kind=DaemonSet,regarding.name=${names.daemonSetName(options.pool)},reason=FailedCreate`,
  });
  const [newest] = items.toSorted((a, b) => eventMs(b) - eventMs(a));
  if (newest === undefined || deps.clock.now() - eventMs(newest) > refusalMs) return undefined;
  const message = newest.note ?? "";
  if (message.includes("violates PodSecurity")) return { reason: "PodSecurityRejected", message };
  if (message.includes("exceeded quota")) return { reason: "QuotaExceeded", message };
  return undefined;
}

/** Says whether nothing of a rollout has moved for the deadline, as far as this process has seen. */
export function createProgress(deps: { readonly clock: Clock }) {
  const seen = new Map<string, { print: string; sinceMs: number }>();
  return {
    isStuck: (pool: string, rollout: RolloutFacts | undefined): boolean => {
      const print = JSON.stringify(rollout ?? {});
      const nowMs = deps.clock.monotonic();
      const before = seen.get(pool);
      if (before?.print === print) return nowMs - before.sinceMs > limits.progressDeadlineMs;
      seen.set(pool, { print, sinceMs: nowMs });
      return false;
    },
    forget: (pool: string): void => void seen.delete(pool),
  };
}
