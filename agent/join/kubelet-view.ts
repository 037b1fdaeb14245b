/**
 * The kubelet as identity sees it: its newest list, and whether it answers, is silent, or was never there.
 */
import type { Refusal } from "../kubelet/client.ts";
import type { PodResources } from "../kubelet/pod-resources.ts";
import type { KubeletWord } from "../kubelet/watch.ts";

export type KubeletState =
  | { readonly state: "none" } // no socket, and none has ever answered
  | { readonly state: "answering" }
  | { readonly state: "silent"; readonly refusal: Refusal; readonly detail: string };

export interface KubeletView {
  /** Answers whether this word means anything for allocations. */
  hear(word: KubeletWord, isThere: boolean): boolean;
  state(): KubeletState;
  /** Whether one has ever told who has what, in this run or before. */
  readonly wasHeard: boolean;
  readonly pods: readonly PodResources[];
  /** Whether the newest word was that list, and neither silence nor the emptiness of a start. */
  readonly isCurrent: boolean;
}

export function createKubeletView(options: { heardBefore: boolean }): KubeletView {
  let wasHeard = options.heardBefore;
  let state: KubeletState = { state: "none" };
  let pods: readonly PodResources[] = [];
  let isCurrent = false;
  return {
    hear(word, isThere) {
      isCurrent = word.heard && word.pods.length > 0;
      if (word.heard) {
        state = { state: "answering" };
        // The list of a kubelet coming up is empty; the one before holds until it knows.
        if (word.pods.length > 0) pods = word.pods;
        wasHeard ||= word.pods.length > 0;
        return true;
      }
      const { refusal, detail } = word;
      state = wasHeard || isThere ? { state: "silent", refusal, detail } : { state: "none" };
      return wasHeard;
    },
    state: () => state,
    get wasHeard() {
      return wasHeard;
    },
    get isCurrent() {
      return isCurrent;
    },
    get pods() {
      return pods;
    },
  };
}
