/**
 * What a tenant has in one bound namespace: its keys' Secrets, the injection profile, the labels; and the
 * removal of all that where it has no business any more. Found by our own labels and UIDs in the caches, so
 * that nothing is forgotten by a crash.
 */
import { errorMessage } from "@axonize/core/runtime/error";
import { isApiError, isConflict, isTerminating } from "../../kube/api-error.ts";
import { isDeepEqual } from "../../kube/conditions.ts";
import {
  injectionProfiles,
  namespaces as namespaceKind,
  roleBindings,
  secrets as secretKind,
} from "../../kube/kinds.ts";
import type { KubeObject } from "../../kube/types.ts";
import { labels } from "../../resources/crds/names.ts";
import type { ApiKeySpec, AxonizeTenantSpec } from "../../resources/crds/tenant.ts";
import {
  bindingOf,
  labelsOf,
  labelsOfObject,
  managers,
  namespaceLabels,
  profileOf,
  profileSpec,
  roleBindingName,
  secretNameOf,
  type Owner,
} from "../../resources/tenant/objects.ts";
import type { PlacedKeyRow } from "../../store/keys.ts";
import { runKey, type KeyReport } from "./issue.ts";
import { clusterRetryMs, labelRepairsPerMinute, secretsRemembered } from "./limits.ts";
import type { Run, World } from "./types.ts";

export interface BoundPlace {
  readonly name: string;
  readonly uid: string;
  readonly isTerminating: boolean;
  readonly injection: string | undefined;
  readonly environment: string | undefined;
}

export interface PlaceReport {
  readonly name: string;
  readonly keys: readonly KeyReport[];
  /** Why something could not be written: a condition's reason and a sentence. */
  readonly trouble: { reason: "Forbidden" | "IssueFailed"; message: string } | undefined;
  /** To be looked at again after this. */
  readonly retryMs: number | undefined;
}

/** Everything of one namespace. What fails for one does not stop the others; conflicts are tried again. */
export async function settleNamespace(
  world: World,
  run: Run,
  parts: { spec: AxonizeTenantSpec; place: BoundPlace; rows: readonly PlacedKeyRow[] },
): Promise<PlaceReport> {
  const { spec, place, rows } = parts;
  const keys: KeyReport[] = [];
  let retryMs: number | undefined;
  try {
    if (!place.isTerminating) await grantSecrets(world, run.owner, place);
    for (const key of spec.apiKeys.filter(isEverywhere)) {
      keys.push(
        await runKey(world, run, {
          key,
          namespace: place.name,
          namespaceUid: place.uid,
          secretName: secretNameOf(key),
          endpoint: spec.injection.endpoint ?? world.options.injectionEndpoint,
          isTerminating: place.isTerminating,
          rows,
        }),
      );
    }
    if (!place.isTerminating) {
      await settleProfile(world, run.owner, spec, place);
      retryMs = await settleLabels(world, run.owner, spec, place);
    }
    return { name: place.name, keys, trouble: undefined, retryMs };
  } catch (error) {
    // It ends meanwhile: nothing is written there any more, and nothing has to be.
    if (isTerminating(error)) return { name: place.name, keys, trouble: undefined, retryMs: 5_000 };
    if (!isApiError(error) || isConflict(error)) throw error;
    const reason = error.status === 403 ? ("Forbidden" as const) : ("IssueFailed" as const);
    const message = `${place.name}: ${errorMessage(error)}`;
    // A right that was just given takes the API server a moment to see.
    const isFresh = reason === "Forbidden" && world.options.secretAccess.kind === "PerNamespace";
    // Or somebody took it away: it is given anew.
    if (isFresh) granted.get(world)?.delete(place.uid);
    const retryMs = isFresh ? 2_000 : clusterRetryMs;
    return { name: place.name, keys, trouble: { reason, message }, retryMs };
  }
}

const isEverywhere = ({ distribution }: ApiKeySpec): boolean => distribution === "AllNamespaces";

/** With `PerNamespace`: the operator's own right to Secrets here, before anything of them is asked. */
async function grantSecrets(world: World, owner: Owner, place: BoundPlace): Promise<void> {
  const { secretAccess, operatorNamespace } = world.options;
  if (secretAccess.kind === "Cluster" || granted.get(world)?.has(place.uid) === true) return;
  const binding = bindingOf(owner, place.name, { ...secretAccess, operatorNamespace });
  await world.client.apply(binding, roleBindings, { manager: managers.objects, force: true });
  const uids = granted.get(world) ?? new Set<string>();
  // Applied once more where it is forgotten.
  if (uids.size > secretsRemembered) uids.clear();
  uids.add(place.uid);
  granted.set(world, uids);
}

/** Of this process: bindings that were applied. One UID per bound namespace. */
const granted = new WeakMap<World, Set<string>>();

async function settleProfile(
  world: World,
  owner: Owner,
  spec: AxonizeTenantSpec,
  place: BoundPlace,
): Promise<void> {
  const wanted = profileSpec(spec, place, { endpoint: world.options.injectionEndpoint });
  const there = world.caches.profiles
    .byIndex("owner", owner.uid)
    .find(({ metadata }) => metadata.namespace === place.name);
  if (wanted === undefined) {
    if (there !== undefined) await deleteObject(world, injectionProfiles, there);
    return;
  }
  const isRight =
    there !== undefined &&
    isDeepEqual(there.spec, wanted) &&
    Object.entries(labelsOfObject(owner)).every(
      ([name, value]) => there.metadata.labels?.[name] === value,
    );
  if (isRight) return;
  const object = profileOf(owner, place.name, wanted);
  await world.client.apply(object, injectionProfiles, { manager: managers.objects, force: true });
  if (there !== undefined) world.metrics.repaired.inc({ kind: "InjectionProfile" });
}

const repairs = new WeakMap<World, Map<string, number[]>>();

/** Answers after how long to look again, where somebody strips the labels in a loop. */
async function settleLabels(
  world: World,
  owner: Owner,
  spec: AxonizeTenantSpec,
  place: BoundPlace,
): Promise<number | undefined> {
  const mode = profileSpec(spec, place, { endpoint: "" })?.mode;
  const wanted = labelsOf(owner, mode);
  const there = world.caches.namespaces.get(place.name);
  const found = there?.metadata.labels ?? {};
  const isRight = [labels.tenant, labels.injection].every((name) => found[name] === wanted[name]);
  if (isRight || there === undefined) return undefined;
  const now = world.clock.monotonic();
  const all = repairs.get(world) ?? new Map<string, number[]>();
  repairs.set(world, all);
  const recent = (all.get(place.uid) ?? []).filter((at) => now - at < 60_000);
  if (recent.length >= labelRepairsPerMinute) {
    world.recorder.event(there, {
      type: "Warning",
      reason: "LabelsContested",
      action: "LabelNamespace",
      note: `Somebody keeps changing the labels ${labels.tenant} and ${labels.injection}; they are put right once a minute. They only tell: binding and injection do not depend on them.`,
    });
    return 60_000 - (now - (recent[0] ?? now)) + 1;
  }
  if (all.size > secretsRemembered) all.clear();
  all.set(place.uid, [...recent, now]);
  await world.client.apply(namespaceLabels(owner, { ...place, mode }), namespaceKind, {
    manager: managers.objects,
    force: true,
  });
  return undefined;
}

/** Removes what the tenant has outside of these namespaces (all, where none is kept). */
export async function cleanUp(
  world: World,
  owner: Owner,
  kept: {
    /** namespace/name of Secrets. */
    readonly secrets: ReadonlySet<string>;
    readonly namespaces: ReadonlySet<string>;
    /** Names of namespaces that were bound before, where Secrets are not followed. */
    readonly left: readonly string[];
    readonly secretNames: readonly string[];
  },
): Promise<void> {
  const { caches } = world;
  for (const profile of caches.profiles.byIndex("owner", owner.uid)) {
    const { namespace = "" } = profile.metadata;
    if (!kept.namespaces.has(namespace)) await deleteObject(world, injectionProfiles, profile);
  }
  for (const secret of caches.secrets?.byIndex("owner", owner.uid) ?? []) {
    const { namespace = "", name } = secret.metadata;
    if (kept.secrets.has(`${namespace}/${name}`)) continue;
    await deleteObject(world, secretKind, secret);
  }
  if (caches.secrets === undefined) await cleanUpUnfollowed(world, owner, kept);
  for (const namespace of caches.namespaces.byIndex("tenant", owner.tenantId)) {
    const { name } = namespace.metadata;
    if (kept.namespaces.has(name) || isOfAnother(world, owner, name)) continue;
    await releaseLabels(world, namespace);
  }
}

/** By UID: the version at which it was found to have no label of ours. */
const released = new WeakMap<World, Map<string, string>>();

/** Labels that somebody else put there stay, and are not taken for ours again and again. */
async function releaseLabels(world: World, { metadata }: KubeObject): Promise<void> {
  const { name, uid = "", resourceVersion = "" } = metadata;
  const versions = released.get(world) ?? new Map<string, string>();
  released.set(world, versions);
  if (versions.get(uid) === resourceVersion) return;
  const after = await world.client.apply<KubeObject>(
    { apiVersion: "v1", kind: "Namespace", metadata: { name, uid } },
    namespaceKind,
    { manager: managers.objects, force: true },
  );
  if (versions.size > secretsRemembered) versions.clear();
  if (after.metadata.labels?.[labels.tenant] === undefined) versions.delete(uid);
  else versions.set(uid, after.metadata.resourceVersion ?? "");
}

/** Another resource of the same tenant id has it: its labels are the other's. */
const isOfAnother = (world: World, owner: Owner, namespace: string): boolean =>
  world.caches.profiles
    .list()
    .some(
      ({ metadata }) =>
        metadata.namespace === namespace && metadata.labels?.[labels.tenantUid] !== owner.uid,
    );

async function cleanUpUnfollowed(
  world: World,
  owner: Owner,
  { left, secretNames }: { left: readonly string[]; secretNames: readonly string[] },
): Promise<void> {
  const { client, options } = world;
  for (const namespace of left) {
    const ref = { kind: roleBindings, namespace, name: roleBindingName };
    const isCentral = namespace === options.operatorNamespace;
    const binding = isCentral ? undefined : await client.get<KubeObject>(ref);
    const isOurs = binding?.metadata.labels?.[labels.tenantUid] === owner.uid;
    // Without it there is nothing of ours, or it went before; or another tenant has the namespace by now.
    if (!isCentral && !isOurs) continue;
    for (const name of secretNames) await deleteOwnSecret(world, owner, { namespace, name });
    if (binding === undefined) continue;
    const { uid } = binding.metadata;
    await client.delete(ref, uid === undefined ? {} : { uid });
  }
}

async function deleteOwnSecret(
  { client }: World,
  owner: Owner,
  { namespace, name }: { namespace: string; name: string },
): Promise<void> {
  const { items } = await client.list<KubeObject>(secretKind, {
    namespace,
    fieldSelector: `metadata.name=${name}`,
    labelSelector: `${labels.tenantUid}=${owner.uid}`,
    metadataOnly: true,
  });
  for (const { metadata } of items) {
    const only = metadata.uid === undefined ? {} : { uid: metadata.uid };
    await client.delete({ kind: secretKind, namespace, name }, only);
  }
}

async function deleteObject(
  { client }: World,
  kind: typeof secretKind,
  { metadata }: KubeObject,
): Promise<void> {
  const { name, namespace, uid } = metadata;
  await client.delete(
    { kind, name, ...(namespace === undefined ? {} : { namespace }) },
    uid === undefined ? {} : { uid },
  );
}
