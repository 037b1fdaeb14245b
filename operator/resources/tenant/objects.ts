/**
 * The objects that a tenant has in its namespaces, as they should be: Secret, InjectionProfile, labels.
 * And what the bookkeeping of server-side apply tells of a Secret whose data nobody of us reads. Pure.
 */
import type { InjectionProfileSpec } from "../crds/injection-profile.ts";
import {
  annotations,
  group,
  keyHeader,
  labels,
  profileName,
  secretKeys,
  version,
} from "../crds/names.ts";
import type { ApiKeySpec, AxonizeTenantSpec } from "../crds/tenant.ts";

export interface Owner {
  readonly name: string;
  readonly uid: string;
  readonly tenantId: string;
}

/** On the Secret: which key is in it. Its data is never read. */
export const keyIdAnnotation = "axonize.io/key-id";
/** … and which endpoint: no secret, and so it can be compared. */
export const endpointAnnotation = "axonize.io/endpoint";
export const secretType = "axonize.io/api-key";
/** Of all but the key; and of the key, so that the rest can be set right without knowing it. */
export const managers = {
  objects: "axonize-operator/tenant",
  key: "axonize-operator/tenant-key",
} as const;

const ownerOf = ({ name, uid }: Owner) => ({
  apiVersion: `${group}/${version}`,
  kind: "AxonizeTenant",
  name,
  uid,
  controller: true,
  blockOwnerDeletion: false,
});

export const labelsOfObject = (owner: Owner): Record<string, string> => ({
  [labels.tenantUid]: owner.uid,
  [labels.tenant]: owner.tenantId,
});

const metaOf = (owner: Owner, { name, namespace }: { name: string; namespace: string }) => ({
  name,
  namespace,
  labels: labelsOfObject(owner),
  ownerReferences: [ownerOf(owner)],
});

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** With the key: for the first writing and for every new key. */
export function secretWithKey(
  owner: Owner,
  place: { name: string; namespace: string },
  key: { id: string; key: string; endpoint: string },
) {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      ...metaOf(owner, place),
      annotations: { [keyIdAnnotation]: key.id, [endpointAnnotation]: key.endpoint },
    },
    type: secretType,
    data: {
      [secretKeys.apiKey]: base64(key.key),
      [secretKeys.apiKeyId]: base64(key.id),
      [secretKeys.endpoint]: base64(key.endpoint),
      [secretKeys.otlpHeaders]: base64(`${keyHeader}=${key.key}`),
    },
  };
}

/** Everything but the key. */
export function secretFrame(
  owner: Owner,
  place: { name: string; namespace: string },
  options: { uid: string; endpoint: string },
) {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      ...metaOf(owner, place),
      uid: options.uid,
      annotations: { [endpointAnnotation]: options.endpoint },
    },
    data: { [secretKeys.endpoint]: base64(options.endpoint) },
  };
}

export function profileOf(owner: Owner, namespace: string, spec: InjectionProfileSpec) {
  return {
    apiVersion: `${group}/${version}`,
    kind: "InjectionProfile",
    metadata: metaOf(owner, { name: profileName, namespace }),
    spec,
  };
}

/** undefined: nothing is injected here. */
export function profileSpec(
  spec: AxonizeTenantSpec,
  namespace: { injection?: string | undefined; environment?: string | undefined },
  defaults: { endpoint: string },
): InjectionProfileSpec | undefined {
  const { injection, adminState } = spec;
  const mode = namespace.injection ?? injection.mode;
  const key = injectedKey(spec);
  if (adminState === "Suspended" || key === undefined) return undefined;
  if (mode !== "OptIn" && mode !== "OptOut") return undefined;
  const environment =
    namespace.environment === undefined
      ? {}
      : { "deployment.environment.name": namespace.environment };
  const resourceAttributes = { ...environment, ...injection.resourceAttributes };
  return {
    endpoint: injection.endpoint ?? defaults.endpoint,
    secretName: secretNameOf(key),
    mode,
    containers: injection.containers,
    delivery: injection.delivery,
    ...(Object.keys(resourceAttributes).length === 0 ? {} : { resourceAttributes }),
  };
}

/** The key that pods get: the first one that every namespace has. */
export const injectedKey = (spec: AxonizeTenantSpec): ApiKeySpec | undefined =>
  spec.apiKeys.find(({ distribution }) => distribution === "AllNamespaces");

export const secretNameOf = (key: ApiKeySpec): string => key.secretName ?? `axonize-${key.name}`;

/** In the operator's namespace tenants meet: the default name says whose it is. */
export const centralSecretNameOf = (key: ApiKeySpec, tenantId: string): string =>
  key.secretName ?? `axonize-${tenantId}-${key.name}`;

/** Labels tell; nobody takes them for an authority. */
export function namespaceLabels(
  owner: Owner,
  namespace: { name: string; uid: string; mode: "OptIn" | "OptOut" | undefined },
) {
  return {
    apiVersion: "v1",
    kind: "Namespace",
    // With its UID: apply would make a namespace that has just gone.
    metadata: {
      name: namespace.name,
      uid: namespace.uid,
      labels: labelsOf(owner, namespace.mode),
    },
  };
}

export const labelsOf = (
  owner: Owner,
  mode: "OptIn" | "OptOut" | undefined,
): Record<string, string> => ({
  [labels.tenant]: owner.tenantId,
  ...(mode === undefined ? {} : { [labels.injection]: mode }),
});

export const roleBindingName = "axonize-tenant-secrets";

/** The operator's right to our Secrets, where it has none cluster-wide. */
export function bindingOf(
  owner: Owner,
  namespace: string,
  role: { clusterRole: string; serviceAccount: string; operatorNamespace: string },
) {
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "RoleBinding",
    metadata: metaOf(owner, { name: roleBindingName, namespace }),
    roleRef: {
      apiGroup: "rbac.authorization.k8s.io",
      kind: "ClusterRole",
      name: role.clusterRole,
    },
    subjects: [
      { kind: "ServiceAccount", name: role.serviceAccount, namespace: role.operatorNamespace },
    ],
  };
}

export interface ManagedFields {
  readonly manager?: string;
  readonly operation?: string;
  readonly fieldsV1?: Readonly<Record<string, unknown>>;
}

/** Whose fields a Secret's data are: ours alone, or somebody has edited the key or the rest. */
export function fieldsOfSecret(managedFields: readonly ManagedFields[]): {
  isKeyIntact: boolean;
  isFrameIntact: boolean;
} {
  const ownersOf = (field: string): boolean[] =>
    managedFields
      .filter(({ fieldsV1 }) => {
        const data = fieldsV1?.["f:data"];
        return typeof data === "object" && data !== null && `f:${field}` in data;
      })
      .map(({ manager = "" }) => manager.startsWith("axonize-operator"));
  const isOurs = (field: string): boolean => {
    const owners = ownersOf(field);
    return owners.length > 0 && owners.every(Boolean);
  };
  return {
    isKeyIntact: [secretKeys.apiKey, secretKeys.apiKeyId, secretKeys.otlpHeaders].every(isOurs),
    isFrameIntact: isOurs(secretKeys.endpoint),
  };
}

export const annotationOf = (
  object: { readonly metadata: { readonly annotations?: Readonly<Record<string, string>> } },
  name: keyof typeof annotations,
): string | undefined => object.metadata.annotations?.[annotations[name]];
