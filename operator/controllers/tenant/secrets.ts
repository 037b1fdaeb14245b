/**
 * A key's Secret: what is in its place, made, replaced, put right; and the rows of its key.
 *
 * Its data is never read. Which key it has stands in an annotation, and whether somebody has edited it is
 * seen by whose fields its data are. What was once looked at is remembered by its version.
 */
import { apiVersionOf, secrets as secretKind } from "../../kube/kinds.ts";
import type { KubeObject, ObjectMeta } from "../../kube/types.ts";
import type { SecretView } from "../../resources/tenant/keys.ts";
import {
  endpointAnnotation,
  fieldsOfSecret,
  keyIdAnnotation,
  labelsOfObject,
  managers,
  secretFrame,
  secretWithKey,
  type ManagedFields,
  type Owner,
} from "../../resources/tenant/objects.ts";
import type { ApiKeySpec } from "../../resources/crds/tenant.ts";
import {
  abandonKey,
  insertPendingKey,
  promoteKey,
  readKeys,
  revokeKey,
  type KeyPlace,
  type PlacedKeyRow,
} from "../../store/keys.ts";
import type { KeyGroup } from "./keys.ts";
import { secretsRemembered } from "./limits.ts";
import type { Run, World } from "./types.ts";

export interface SecretState {
  readonly view: SecretView;
  /** All but the key is as it should be. */
  readonly isFrameRight: boolean;
  readonly uid: string | undefined;
}

/** What is known of Secrets, by namespace/name and version. */
export interface SecretMemory {
  get(key: string, resourceVersion: string, endpoint: string): SecretState | undefined;
  set(key: string, resourceVersion: string, endpoint: string, state: SecretState): void;
}

export function createSecretMemory(): SecretMemory {
  const known = new Map<string, { tag: string; state: SecretState }>();
  return {
    get: (key, resourceVersion, endpoint) => {
      const found = known.get(key);
      return found?.tag === `${resourceVersion} ${endpoint}` ? found.state : undefined;
    },
    set: (key, resourceVersion, endpoint, state) => {
      known.delete(key);
      known.set(key, { tag: `${resourceVersion} ${endpoint}`, state });
      const [oldest] = known.keys();
      if (known.size > secretsRemembered && oldest !== undefined) known.delete(oldest);
    },
  };
}

export interface SecretPlace {
  readonly namespace: string;
  readonly name: string;
  readonly endpoint: string;
  readonly isTerminating: boolean;
  /** What the status remembers of it: it stands for a look. */
  readonly remembered: { keyId: string | undefined; resourceVersion: string | undefined };
}

export async function lookAtSecret(
  { client, caches, secrets }: World,
  owner: Owner,
  place: SecretPlace,
): Promise<SecretState> {
  const key = `${place.namespace}/${place.name}`;
  const cached = caches.secrets?.get(key);
  if (cached !== undefined) {
    const version = cached.metadata.resourceVersion ?? "";
    const known =
      secrets.get(key, version, place.endpoint) ?? rememberedState(cached, owner, place);
    if (known !== undefined) return known;
  }
  const { items } = await client.list<KubeObject>(secretKind, {
    namespace: place.namespace,
    fieldSelector: `metadata.name=${place.name}`,
    metadataOnly: true,
  });
  const [live] = items;
  if (live === undefined) {
    const view: SecretView = { kind: place.isTerminating ? "terminating" : "absent" };
    return { view, isFrameRight: true, uid: undefined };
  }
  const state = stateOf(live.metadata, owner, place);
  secrets.set(key, live.metadata.resourceVersion ?? "", place.endpoint, state);
  return state;
}

/** After a restart: the version that the status names was looked at, or written, by us. */
function rememberedState(
  { metadata }: KubeObject,
  owner: Owner,
  { remembered, endpoint }: SecretPlace,
): SecretState | undefined {
  const keyId = metadata.annotations?.[keyIdAnnotation];
  if (keyId === undefined || keyId !== remembered.keyId) return undefined;
  if (metadata.resourceVersion !== remembered.resourceVersion) return undefined;
  if (!isOwned(metadata, owner)) return undefined;
  return {
    view: { kind: "ours", keyId, isIntact: true, resourceVersion: metadata.resourceVersion ?? "" },
    isFrameRight: metadata.annotations?.[endpointAnnotation] === endpoint,
    uid: metadata.uid,
  };
}

const isOwned = (metadata: ObjectMeta, owner: Owner): boolean =>
  metadata.ownerReferences?.some(({ uid }) => uid === owner.uid) ?? false;

/** Lists of metadata carry the bookkeeping of server-side apply. */
function stateOf(
  metadata: ObjectMeta & { readonly managedFields?: readonly ManagedFields[] },
  owner: Owner,
  place: SecretPlace,
): SecretState {
  if (!isOwned(metadata, owner)) {
    return { view: { kind: "foreign" }, isFrameRight: true, uid: metadata.uid };
  }
  if (metadata.deletionTimestamp !== undefined && place.isTerminating) {
    return { view: { kind: "terminating" }, isFrameRight: true, uid: metadata.uid };
  }
  const { isKeyIntact, isFrameIntact } = fieldsOfSecret(metadata.managedFields ?? []);
  const hasLabels = Object.entries(labelsOfObject(owner)).every(
    ([name, value]) => metadata.labels?.[name] === value,
  );
  return {
    view: {
      kind: "ours",
      keyId: metadata.annotations?.[keyIdAnnotation],
      isIntact: isKeyIntact,
      resourceVersion: metadata.resourceVersion ?? "",
    },
    isFrameRight:
      isFrameIntact && hasLabels && metadata.annotations?.[endpointAnnotation] === place.endpoint,
    uid: metadata.uid,
  };
}

/** Puts everything but the key right. */
export async function repairFrame(
  world: World,
  owner: Owner,
  place: SecretPlace,
  state: SecretState,
): Promise<void> {
  if (state.isFrameRight || state.uid === undefined || state.view.kind !== "ours") return;
  const frame = secretFrame(owner, place, { uid: state.uid, endpoint: place.endpoint });
  await world.client.apply(frame, secretKind, { manager: managers.objects, force: true });
  world.metrics.repaired.inc({ kind: "Secret" });
}

/** The rows and the Secret of one key as the steps of its life need them. */
export function createKeyGroup(
  world: World,
  run: Run,
  parts: { key: ApiKeySpec; place: KeyPlace; secret: SecretPlace; known: readonly PlacedKeyRow[] },
): KeyGroup & { look(): Promise<SecretState> } {
  const { key, place, secret } = parts;
  const { client, fence } = world;
  const writer = { clusterUid: run.clusterUid, epoch: run.epoch };
  let known: readonly PlacedKeyRow[] | undefined = parts.known;
  // What this run has written stands for a look: at first there are two thousand of them.
  let written: SecretState | undefined;
  const look = async (): Promise<SecretState> =>
    written ?? (await lookAtSecret(world, run.owner, secret));
  const wrote = ({ metadata }: KubeObject): void => {
    written = stateOf(metadata, run.owner, secret);
    const name = `${secret.namespace}/${secret.name}`;
    world.secrets.set(name, metadata.resourceVersion ?? "", secret.endpoint, written);
  };
  const changed = async (effect: () => Promise<unknown>): Promise<void> => {
    // Whether it failed or not: what is known is from before.
    known = undefined;
    await effect();
  };
  return {
    rows: async () =>
      (known ??= await fence.read(async (sql) => await readKeys(sql, { ...place, place }))),
    look,
    secret: async () => (await look()).view,
    insertPending: async (made, rotateRequest) =>
      await changed(
        async () =>
          await fence.write(writer, async (tx) => {
            await insertPendingKey(tx, place, {
              ...made,
              ...endOfKey(key),
              scopes: key.scopes,
              rotateRequest,
            });
          }),
      ),
    writeSecret: async (made, seen) => {
      const object = secretWithKey(run.owner, secret, { ...made, endpoint: secret.endpoint });
      written = undefined;
      if (seen.kind !== "ours") {
        wrote(await client.create<KubeObject>(object, secretKind));
        return;
      }
      const metadata = { ...object.metadata, resourceVersion: seen.resourceVersion };
      wrote(
        await client.apply<KubeObject>(
          { ...object, metadata, apiVersion: apiVersionOf(secretKind) },
          secretKind,
          {
            manager: managers.key,
            force: true,
          },
        ),
      );
    },
    promote: async (step) =>
      await changed(
        async () => await fence.write(writer, async (tx) => await promoteKey(tx, place, step)),
      ),
    abandon: async (id) =>
      await changed(async () => await fence.write(writer, async (tx) => await abandonKey(tx, id))),
    revoke: async (id) =>
      await changed(
        async () =>
          await fence.write(writer, async (tx) => await revokeKey(tx, place.tenantId, id)),
      ),
  };
}

export const endOfKey = ({ rotation }: ApiKeySpec) => ({
  overlapSeconds: rotation.overlapSeconds,
  endsWithOverlap: rotation.revokeWhen === "OverlapElapsed",
});
