/**
 * The caches of the tenant controller, and which tenant an event of each concerns.
 */
import {
  axonizeTenants,
  injectionProfiles,
  namespaces as namespaceKind,
  secrets as secretKind,
} from "../../kube/kinds.ts";
import { concernsContent, concernsSpec } from "../../kube/predicates.ts";
import type { CacheEvent, ControllerBuilder, KubeObject } from "../../kube/types.ts";
import { labels } from "../../resources/crds/names.ts";
import { claimedNames, tenantIdOf } from "./database.ts";
import type { Caches, ProfileObject, TenantObject, TenantOptions } from "./types.ts";

/** No resource can have this name: asks for the look at rows without a resource. */
export const reapKey = "/rows";

const labelIndex =
  (label: string) =>
  ({ metadata }: KubeObject): readonly string[] => {
    const value = metadata.labels?.[label];
    return value === undefined ? [] : [value];
  };

export function createCaches(builder: ControllerBuilder, options: TenantOptions): Caches {
  const tenants = builder.informer<TenantObject>(axonizeTenants, {
    indexes: {
      namespace: claimedNames,
      tenantId: (object) => [tenantIdOf(object)],
      uid: ({ metadata }) => (metadata.uid === undefined ? [] : [metadata.uid]),
    },
  });
  const namespaces = builder.informer<KubeObject>(namespaceKind, {
    metadataOnly: true,
    indexes: { tenant: labelIndex(labels.tenant) },
  });
  const secrets =
    options.secretAccess.kind === "Cluster"
      ? builder.informer<KubeObject>(secretKind, {
          metadataOnly: true,
          labelSelector: labels.tenantUid,
          indexes: { owner: labelIndex(labels.tenantUid) },
        })
      : undefined;
  const profiles = builder.informer<ProfileObject>(injectionProfiles, {
    indexes: { owner: labelIndex(labels.tenantUid) },
  });
  watchAll(builder, { tenants, namespaces, secrets, profiles });
  return { tenants, namespaces, secrets, profiles };
}

function watchAll(builder: ControllerBuilder, caches: Caches): void {
  const { tenants, namespaces, secrets, profiles } = caches;
  const named = (objects: readonly TenantObject[]): string[] =>
    objects.map(({ metadata }) => metadata.name);
  builder.watch(tenants, (event) => {
    if (!concernsSpec(event)) return [];
    const { object } = event;
    if (event.type !== "deleted") return [object.metadata.name];
    // What it had is free.
    return claimedNames(object).flatMap((name) => named(tenants.byIndex("namespace", name)));
  });
  builder.watch(namespaces, (event) => {
    if (!concernsContent(event)) return [];
    const { name, labels: found } = event.object.metadata;
    const label = found?.[labels.tenant];
    return [
      ...named(tenants.byIndex("namespace", name)),
      ...(label === undefined ? [] : named(tenants.byIndex("tenantId", label))),
    ];
  });
  const ownerOf = (event: CacheEvent<KubeObject>): string[] => {
    if (!concernsVersion(event)) return [];
    const owners = [event.object, ...(event.type === "updated" ? [event.before] : [])].flatMap(
      ({ metadata }) => [
        metadata.labels?.[labels.tenantUid] ?? "",
        ...(metadata.ownerReferences ?? []).map(({ uid }) => uid),
      ],
    );
    return [...new Set(owners)].flatMap((uid) => named(tenants.byIndex("uid", uid)));
  };
  if (secrets !== undefined) builder.watch(secrets, ownerOf);
  builder.watch(profiles, ownerOf);
}

/** Of a Secret only metadata is there: any new version may be another content. */
const concernsVersion = (event: CacheEvent<KubeObject>): boolean =>
  event.type !== "updated" ||
  event.object.metadata.resourceVersion !== event.before.metadata.resourceVersion;
