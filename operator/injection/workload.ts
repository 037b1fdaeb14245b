/**
 * Whose a pod is and what it calls its service, as resource attributes, from what stands in the pod itself.
 * It says in TypeScript what `ownersExpression` and `said` of `policy.ts` say in CEL.
 */
import { saidServiceKey } from "@axonize/core/contract/attributes";
import type { OwnerReference } from "../kube/types.ts";
import type { Pod } from "./pod.ts";
import {
  cronJobAttribute,
  cronJobSuffix,
  cronJobSuffixLength,
  deploymentAttribute,
  ownerAttributes,
  plainName,
  serviceAnnotation,
  serviceLabels,
  templateHashLabel,
} from "./variables.ts";

const plain = new RegExp(plainName);
const cronJob = new RegExp(cronJobSuffix);

/** `,key=value` for each, or nothing. */
export function workloadOf({ metadata = {} }: Pod): string {
  const { annotations = {}, labels = {}, ownerReferences = [] } = metadata;
  const owners = ownerReferences
    .filter(({ controller, name }) => controller === true && plain.test(name))
    .map((owner) => ownerText(owner, labels[templateHashLabel] ?? ""));
  const said = [annotations[serviceAnnotation], ...serviceLabels.map((label) => labels[label])];
  const service = said.find((name) => name !== undefined && plain.test(name));
  return [...owners, service === undefined ? "" : `,${saidServiceKey}=${service}`].join("");
}

function ownerText({ apiVersion, kind, name }: OwnerReference, hash: string): string {
  const owner = `${apiVersion.split("/")[0] ?? ""}/${kind}`;
  const attribute = Object.entries(ownerAttributes).find(([known]) => known === owner)?.[1];
  if (attribute === undefined) return "";
  return `${aboveOf(owner, name, hash)},${attribute}=${name}`;
}

function aboveOf(owner: string, name: string, hash: string): string {
  if (owner === "apps/ReplicaSet" && hash !== "" && name.endsWith(`-${hash}`)) {
    return `,${deploymentAttribute}=${name.slice(0, -hash.length - 1)}`;
  }
  if (owner === "batch/Job" && cronJob.test(name)) {
    return `,${cronJobAttribute}=${name.slice(0, -cronJobSuffixLength)}`;
  }
  return "";
}
