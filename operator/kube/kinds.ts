/**
 * The kinds of the API that the operator touches, and the URLs of their objects.
 *
 * One constant per kind, never a discovery: a kind that a cluster lacks is answered with 404 and
 * treated by whoever asked for it (`probes.ts` for the optional ones).
 */
import type { ObjectRef, ResourceKind } from "./types.ts";

const kindOf = (
  [group, version]: readonly [string, string],
  kind: string,
  plural: string,
  namespaced: boolean,
): ResourceKind => ({ group, version, kind, plural, namespaced });

const core = ["", "v1"] as const;
const apps = ["apps", "v1"] as const;
const rbac = ["rbac.authorization.k8s.io", "v1"] as const;
const admission = ["admissionregistration.k8s.io", "v1"] as const;
const axonize = ["axonize.io", "v1alpha1"] as const;

export const namespaces = kindOf(core, "Namespace", "namespaces", false);
export const secrets = kindOf(core, "Secret", "secrets", true);
export const configMaps = kindOf(core, "ConfigMap", "configmaps", true);
export const nodes = kindOf(core, "Node", "nodes", false);
export const pods = kindOf(core, "Pod", "pods", true);
export const services = kindOf(core, "Service", "services", true);
export const serviceAccounts = kindOf(core, "ServiceAccount", "serviceaccounts", true);
export const daemonSets = kindOf(apps, "DaemonSet", "daemonsets", true);
export const deployments = kindOf(apps, "Deployment", "deployments", true);
export const roles = kindOf(rbac, "Role", "roles", true);
export const roleBindings = kindOf(rbac, "RoleBinding", "rolebindings", true);
export const clusterRoles = kindOf(rbac, "ClusterRole", "clusterroles", false);
export const clusterRoleBindings = kindOf(rbac, "ClusterRoleBinding", "clusterrolebindings", false);
export const leases = kindOf(["coordination.k8s.io", "v1"], "Lease", "leases", true);
export const events = kindOf(["events.k8s.io", "v1"], "Event", "events", true);
export const networkPolicies = kindOf(
  ["networking.k8s.io", "v1"],
  "NetworkPolicy",
  "networkpolicies",
  true,
);
export const endpointSlices = kindOf(
  ["discovery.k8s.io", "v1"],
  "EndpointSlice",
  "endpointslices",
  true,
);
export const customResourceDefinitions = kindOf(
  ["apiextensions.k8s.io", "v1"],
  "CustomResourceDefinition",
  "customresourcedefinitions",
  false,
);
export const resourceSlices = kindOf(
  ["resource.k8s.io", "v1"],
  "ResourceSlice",
  "resourceslices",
  false,
);
export const mutatingAdmissionPolicies = kindOf(
  admission,
  "MutatingAdmissionPolicy",
  "mutatingadmissionpolicies",
  false,
);
export const mutatingAdmissionPolicyBindings = kindOf(
  admission,
  "MutatingAdmissionPolicyBinding",
  "mutatingadmissionpolicybindings",
  false,
);
export const validatingAdmissionPolicies = kindOf(
  admission,
  "ValidatingAdmissionPolicy",
  "validatingadmissionpolicies",
  false,
);
export const validatingAdmissionPolicyBindings = kindOf(
  admission,
  "ValidatingAdmissionPolicyBinding",
  "validatingadmissionpolicybindings",
  false,
);
export const mutatingWebhookConfigurations = kindOf(
  admission,
  "MutatingWebhookConfiguration",
  "mutatingwebhookconfigurations",
  false,
);
export const serviceMonitors = kindOf(
  ["monitoring.coreos.com", "v1"],
  "ServiceMonitor",
  "servicemonitors",
  true,
);
export const axonizeTenants = kindOf(axonize, "AxonizeTenant", "axonizetenants", false);
export const gpuPools = kindOf(axonize, "GpuPool", "gpupools", false);
export const injectionProfiles = kindOf(axonize, "InjectionProfile", "injectionprofiles", true);

/** `v1`, `apps/v1`: what `apiVersion` of its objects is. */
export const apiVersionOf = ({ group, version }: ResourceKind): string =>
  group === "" ? version : `${group}/${version}`;

/** Path of all objects of a kind, in one namespace or in all. */
export function collectionPath(kind: ResourceKind, namespace?: string): string {
  const root = kind.group === "" ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  const scope =
    kind.namespaced && namespace !== undefined
      ? `/namespaces/${encodeURIComponent(namespace)}`
      : "";
  return `${root}${scope}/${kind.plural}`;
}

/** Path of one object, or of a subresource of it. */
export function objectPath(ref: ObjectRef, subresource?: string): string {
  if (ref.kind.namespaced && ref.namespace === undefined) {
    throw new Error(`${ref.kind.kind} ${ref.name} needs a namespace`);
  }
  const path = `${collectionPath(ref.kind, ref.namespace)}/${encodeURIComponent(ref.name)}`;
  return subresource === undefined ? path : `${path}/${subresource}`;
}

/** Key of an object in caches and queues: `namespace/name`, or `name`. */
export const keyOf = (object: {
  readonly metadata: { readonly namespace?: string; readonly name: string };
}): string =>
  object.metadata.namespace === undefined
    ? object.metadata.name
    : `${object.metadata.namespace}/${object.metadata.name}`;
