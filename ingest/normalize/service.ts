/**
 * What a service is called that does not say: after the workload that its pod belongs to.
 *
 * Injection never sets `service.name`, which would override an application's own in some SDKs; it says whose
 * the pod is instead, and here that becomes the name. The attributes themselves stay as they were sent.
 */
import { resourceKeys, saidServiceKey } from "@axonize/core/contract/attributes";

/** In this order, OpenTelemetry's for Kubernetes. Injection and collectors write them. */
export const serviceSourceKeys = [
  saidServiceKey,
  "k8s.deployment.name",
  "k8s.replicaset.name",
  "k8s.statefulset.name",
  "k8s.daemonset.name",
  "k8s.cronjob.name",
  "k8s.job.name",
  resourceKeys.pod,
  resourceKeys.container,
] as const;

/** What SDKs put where nobody named the service: `unknown_service`, `unknown_service:node`. */
const placeholder = "unknown_service";

/**
 * The end of the name of a Deployment's pod: its template's hash and five letters of its own, both of the
 * alphabet that Kubernetes makes names of, without vowels and without 0, 1 and 3.
 */
const podSuffix = /-[bcdfghjklmnpqrstvwxz2456789]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$/;

export const isServiceNamed = (service: string): boolean =>
  service !== "" && service !== placeholder && !service.startsWith(`${placeholder}:`);

/** `said` is `service.name`; `attribute` answers "" or undefined for one that is not there. */
export function serviceOf(said: string, attribute: (key: string) => string | undefined): string {
  if (isServiceNamed(said)) return said;
  for (const key of serviceSourceKeys) {
    const name = attribute(key) ?? "";
    // Pods of one Deployment are one service, also where nothing but the pod is named.
    if (name !== "") return key === resourceKeys.pod ? name.replace(podSuffix, "") : name;
  }
  return said;
}
