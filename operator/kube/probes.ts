/**
 * Which optional APIs the cluster serves: asked at the start and every five minutes, for a cluster is
 * upgraded, and operators of others come and go.
 */
import { every, type Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { isNotFound } from "./api-error.ts";
import { probeMs } from "./limits.ts";
import type { Transport } from "./transport.ts";
import type { ResourceKind } from "./types.ts";

export interface Probes {
  /** As of the last probe; false before the first. */
  isServed(kind: ResourceKind): boolean;
  /** Until the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

export function createProbes(
  deps: {
    transport: Transport;
    clock: Clock;
    log: Log;
    onFound: (kind: ResourceKind, served: boolean) => void;
  },
  kinds: readonly ResourceKind[],
): Probes {
  const served = new Map<ResourceKind, boolean>();
  const probe = async (kind: ResourceKind, signal: AbortSignal): Promise<void> => {
    const { transport } = deps;
    const path = `/apis/${kind.group}/${kind.version}`;
    let found = false;
    try {
      const answer = await transport.json<{ resources?: readonly { name: string }[] }>({
        method: "GET",
        path,
        signal,
      });
      found = answer.resources?.some(({ name }) => name === kind.plural) ?? false;
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    if (served.get(kind) !== found) {
      deps.log.info({ event: "kube.api", kind: kind.kind, version: kind.version, served: found });
    }
    served.set(kind, found);
    deps.onFound(kind, found);
  };
  return {
    isServed: (kind) => served.get(kind) ?? false,
    async run(signal) {
      const onError = (error: unknown): void => {
        if (!signal.aborted) deps.log.warn({ event: "kube.probe", reason: errorMessage(error) });
      };
      const all = async (): Promise<void> => {
        for (const kind of kinds) await probe(kind, signal);
      };
      await all().catch(onError);
      await every({ clock: deps.clock, ms: probeMs, signal, onError }, all);
    },
  };
}
