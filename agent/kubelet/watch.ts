/**
 * Keeps asking the kubelet for its pods, for ever: one List at a time, a second apart with jitter. Says
 * each time what it heard, or that it heard nothing; what that means for open allocations is decided in
 * identity/history.ts.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { Answer, PodResourcesClient, Refusal } from "./client.ts";
import { pollJitter, pollMs } from "./limits.ts";
import type { PodResources } from "./pod-resources.ts";

export type KubeletWord =
  | { readonly heard: true; readonly pods: readonly PodResources[] }
  | { readonly heard: false; readonly refusal: Refusal; readonly detail: string };

export interface KubeletWatchDeps {
  readonly client: PodResourcesClient;
  readonly clock: Clock;
  /** 0–1. */
  readonly random: () => number;
}

/** Resolves once the signal has aborted and no call is left. `onWord` must not throw. */
export async function watchKubelet(
  deps: KubeletWatchDeps,
  options: { signal: AbortSignal; onWord: (atMs: number, word: KubeletWord) => void },
): Promise<void> {
  const { client, clock, random } = deps;
  const { signal, onWord } = options;
  while (!signal.aborted) {
    const answer = await client.list();
    if (signal.aborted) return;
    onWord(clock.now(), wordOf(answer));
    try {
      await clock.sleep(pollMs * (1 + random() * pollJitter), signal);
    } catch {
      return; // aborted: the only way sleep rejects
    }
  }
}

function wordOf(answer: Answer<readonly PodResources[]>): KubeletWord {
  return answer.ok
    ? { heard: true, pods: answer.value }
    : { heard: false, refusal: answer.refusal, detail: answer.detail };
}
