/**
 * Server-side apply beyond the single call: a status that is written only when it differs, an object that
 * is applied only when it differs, and the release of everything a manager owns.
 */
import { isDeepEqual } from "./conditions.ts";
import { apiVersionOf } from "./kinds.ts";
import type { KubeMetrics } from "./metrics.ts";
import type { KubeClient, KubeObject, ObjectRef, ResourceKind } from "./types.ts";

export type ApplyStatus = <S extends object>(
  object: KubeObject & { readonly status?: S },
  kind: ResourceKind,
  status: S,
) => Promise<boolean>;

/**
 * Writes `status` through the subresource with a manager of its own. true: it differed from the object's.
 * A conflict is thrown: the next reconcile starts from what the other wrote.
 */
export function createApplyStatus(
  deps: { client: KubeClient; metrics?: KubeMetrics },
  options: { controller: string },
): ApplyStatus {
  const { controller } = options;
  const manager = `axonize-operator/${controller}`;
  return async (object, kind, status) => {
    if (isDeepEqual(object.status, status)) {
      deps.metrics?.statusWrites.inc({ controller, result: "unchanged" });
      return false;
    }
    try {
      await deps.client.apply(
        { ...identityOf(object, kind), status },
        kind,
        // All of the status is ours, whoever put a field there.
        { manager, force: true, subresource: "status" },
      );
    } catch (error) {
      deps.metrics?.statusErrors.inc({ controller });
      throw error;
    }
    deps.metrics?.statusWrites.inc({ controller, result: "written" });
    return true;
  };
}

/** Gives up every field that the manager owns; fields that nobody else owns are removed. */
export async function release(
  client: KubeClient,
  ref: ObjectRef,
  options: { manager: string },
): Promise<void> {
  const { kind, name, namespace } = ref;
  await client.apply(
    {
      apiVersion: apiVersionOf(kind),
      kind: kind.kind,
      metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    },
    kind,
    { manager: options.manager, force: true },
  );
}

/** Names the very object: one that was made anew under the name is not meant. */
function identityOf(object: KubeObject, kind: ResourceKind): KubeObject {
  const { name, namespace, uid } = object.metadata;
  return {
    apiVersion: apiVersionOf(kind),
    kind: kind.kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
    },
  };
}
