/**
 * The webhook's answer to one AdmissionReview, from the profiles in the cache: no call is made. A pod is
 * always allowed; what can go wrong is that it is not injected, and then it says so.
 */
import { profileName } from "../resources/crds/names.ts";
import type { Review } from "./metrics.ts";
import { markerOf, mutate } from "./mutate.ts";
import type { Pod, Profile } from "./pod.ts";

/** `admission.k8s.io/v1`, as far as it is read. */
export interface AdmissionReview {
  readonly request?: {
    readonly uid?: string;
    readonly namespace?: string;
    readonly object?: unknown;
  };
}

export interface Profiles {
  hasSynced(): boolean;
  get(key: string): Profile | undefined;
}

export interface Answer {
  readonly result: Review;
  /** The body. */
  readonly review: object;
  readonly error?: unknown;
}

export function answer(asked: AdmissionReview, profiles: Profiles): Answer {
  const { uid = "", namespace = "", object } = asked.request ?? {};
  const allowed = (result: Review, more: object = {}): Answer => ({
    result,
    review: {
      apiVersion: "admission.k8s.io/v1",
      kind: "AdmissionReview",
      response: { uid, allowed: true, ...more },
    },
  });
  if (!profiles.hasSynced()) {
    return allowed("notSynced", { warnings: ["axonize: not injected, the operator is starting"] });
  }
  const profile = profiles.get(`${namespace}/${profileName}`);
  if (profile === undefined) return allowed("noProfile");
  try {
    // The apiserver has decoded it as a pod.
    const patch = mutate(object as Pod, profile);
    if (patch.length === 0) return allowed("unchanged");
    return allowed("injected", {
      patchType: "JSONPatch",
      patch: Buffer.from(JSON.stringify(patch)).toString("base64"),
      auditAnnotations: { injected: markerOf(profile) },
    });
  } catch (error) {
    // A bug of ours must not keep the pod from starting.
    return { ...allowed("failed", { warnings: ["axonize: not injected, see its log"] }), error };
  }
}
