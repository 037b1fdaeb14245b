/**
 * Secrets of a release that nobody gave: random, made once, never changed. Several pods may do this at
 * the same time, and a newer version may need a key more: what is there stays as it is.
 *
 * They are not the chart's, because a template that draws random values draws others at each render.
 */
import { randomBytes } from "node:crypto";
import type { Log } from "@axonize/core/runtime/log";
import { ApiError } from "../kube/api-error.ts";
import { leaseName } from "../config.ts";
import { webhookSecretName } from "../injection/webhook-controller.ts";
import { leases, secrets as secretKind } from "../kube/kinds.ts";
import type { JsonPatchOperation, KubeClient, KubeObject, ObjectRef } from "../kube/types.ts";

export interface Release {
  readonly namespace: string;
  readonly instance: string;
  readonly secrets: readonly { readonly name: string; readonly keys: readonly string[] }[];
}

interface Deps {
  readonly client: KubeClient;
  readonly log: Log;
}

type Secret = KubeObject & { readonly data?: Readonly<Record<string, string>> };

const managedBy = "app.kubernetes.io/managed-by";
const manager = "axonize-operator";

/** 24 bytes are 32 characters of base64url: fit for a URL, and for a session's key. */
const randomValue = (): string =>
  Buffer.from(randomBytes(24).toString("base64url")).toString("base64");

/** Each conflict means that another pod was faster, and there are few of those. */
const mostTries = 20;

export async function ensureSecrets(deps: Deps, release: Release): Promise<void> {
  for (const { name, keys } of release.secrets) {
    for (let tries = 1; ; tries += 1) {
      try {
        await ensureSecret(deps, release, { name, keys });
        break;
      } catch (error) {
        // 409: made or changed by another meanwhile; 422: a patch's test failed for the same reason.
        const lost = error instanceof ApiError && [409, 422].includes(error.status);
        if (!lost || tries === mostTries) throw error;
      }
    }
  }
}

async function ensureSecret(
  { client, log }: Deps,
  { namespace, instance }: Release,
  { name, keys }: { name: string; keys: readonly string[] },
): Promise<void> {
  const ref: ObjectRef = { kind: secretKind, namespace, name };
  const found = await client.get<Secret>(ref);
  const missing = keys.filter((key) => found?.data?.[key] === undefined);
  if (missing.length === 0) return;
  const data = Object.fromEntries(missing.map((key) => [key, randomValue()]));
  if (found === undefined) {
    const labels = {
      [managedBy]: manager,
      "app.kubernetes.io/instance": instance,
      "app.kubernetes.io/part-of": "axonize",
    };
    await client.create<Secret & { readonly type: string }>(
      {
        apiVersion: "v1",
        kind: "Secret",
        type: "Opaque",
        metadata: { name, namespace, labels },
        data,
      },
      secretKind,
    );
    log.info({ event: "bootstrap.made", secretName: name, keys: missing });
    return;
  }
  const version = found.metadata.resourceVersion;
  const patch: JsonPatchOperation[] = [
    { op: "test", path: "/metadata/resourceVersion", value: version },
    ...(found.data === undefined ? [{ op: "add", path: "/data", value: {} } as const] : []),
    ...Object.entries(data).map(([key, value]) => ({
      op: "add" as const,
      path: `/data/${key}`, // the configuration lets no character through that a pointer escapes
      value,
    })),
  ];
  await client.jsonPatch(ref, patch);
  log.info({ event: "bootstrap.completed", secretName: name, keys: missing });
}

/** What the operator makes for itself while it runs, in its own namespace. */
const ownObjects: readonly Omit<ObjectRef, "namespace">[] = [
  { kind: leases, name: leaseName },
  { kind: secretKind, name: webhookSecretName },
];

/** Only what was made here: a Secret that somebody else put in its place stays. */
export async function removeSecrets({ client, log }: Deps, release: Release): Promise<void> {
  for (const { kind, name } of ownObjects) {
    const isGone = await client.delete({ kind, name, namespace: release.namespace });
    if (isGone) log.info({ event: "bootstrap.removed", kind: kind.kind, name });
  }
  for (const { name } of release.secrets) {
    const ref: ObjectRef = { kind: secretKind, namespace: release.namespace, name };
    const found = await client.get<Secret>(ref);
    if (found?.metadata.labels?.[managedBy] !== manager || found.metadata.uid === undefined)
      continue;
    await client.delete(ref, { uid: found.metadata.uid });
    log.info({ event: "bootstrap.removed", secretName: name });
  }
}
