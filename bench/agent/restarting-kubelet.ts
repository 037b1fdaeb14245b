/**
 * A kubelet that is restarted all the time, as a real one was seen to do it: its socket is gone, then it
 * answers OK and empty for 0.9 s, then it lists its pods again.
 */
import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { listing } from "../../agent/testing/identity-bench.ts";
import { startKubelet } from "../../agent/testing/kubelet-emulator.ts";

const servesMs = 4_000;
const isAwayMs = 1_000;
const isEmptyMs = 900;

/** Each device is held by a pod of its own. */
export function startRestartingKubelet(
  socketPath: string,
  devices: readonly string[],
): AsyncDisposable & { readonly restarts: number } {
  const stopping = new AbortController();
  const full = listing(
    Object.fromEntries(devices.map((uuid, at) => [`ml/pod-${at}/main`, [uuid]] as const)),
  );
  let restarts = 0;
  const pause = async (ms: number): Promise<void> => {
    await sleep(ms, undefined, { signal: stopping.signal }).catch(() => undefined); // stopping
  };
  const lives = (async () => {
    let recorded = full;
    while (!stopping.signal.aborted) {
      await using kubelet = await startKubelet({ socketPath, recorded });
      if (recorded !== full) await pause(isEmptyMs);
      kubelet.show(full);
      await pause(servesMs);
      rmSync(socketPath, { force: true });
      recorded = { List: { pod_resources: [] }, GetAllocatableResources: { devices: [] } };
      restarts += 1;
      await pause(isAwayMs);
    }
  })();
  return {
    get restarts() {
      return restarts;
    },
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await lives;
    },
  };
}
