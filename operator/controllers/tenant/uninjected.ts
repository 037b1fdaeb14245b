/**
 * Which pods run without injection though their namespace asks for it: made before the tenant was, before the
 * policy was read, or while nothing injected. Nothing adds variables to a pod that is there; its next rollout
 * brings them. Pure: pods are given by their metadata.
 */
import { mirrorAnnotation } from "../../injection/variables.ts";
import type { ObjectMeta } from "../../kube/types.ts";
import { annotations } from "../../resources/crds/names.ts";

/** `mode` is the profile's of the pod's namespace. Pods that ended are not asked for. */
export function isUninjected(
  { annotations: given = {}, deletionTimestamp }: ObjectMeta,
  mode: string,
): boolean {
  // One that ends needs no restart.
  if (deletionTimestamp !== undefined) return false;
  if (annotations.injected in given || mirrorAnnotation in given) return false;
  const said = given[annotations.inject];
  return said === undefined ? mode === "OptOut" : said === "true";
}

/** Exact below ten, then one leading digit: a count that sways a little is no news. */
export function roundedCount(count: number): number {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, count))));
  return Math.floor(count / unit) * unit;
}
