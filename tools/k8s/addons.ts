/**
 * The optional parts of a test cluster: metrics-server (for `kubectl top` and HorizontalPodAutoscalers)
 * and kwok (nodes and pods that exist only in the API, by the thousand). They run as processes beside
 * the control plane, not as pods, so that they need no images.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { localVolumes, metricsResolutionSeconds } from "./limits.ts";
import type { Authority } from "./pki.ts";

export const metricsPort = 4443;

/** RBAC of the users that the node's helpers and metrics-server are. */
export function helperRoles(): object[] {
  return [
    clusterRole("axonize-test:dns", [
      rule([""], ["endpoints", "services", "pods", "namespaces"], ["list", "watch"]),
      rule(["discovery.k8s.io"], ["endpointslices"], ["list", "watch"]),
    ]),
    binding("axonize-test:dns", "axonize-test:dns", "axonize-test:dns"),
    clusterRole("axonize-test:metrics-server", [
      rule([""], ["nodes/metrics"], ["get"]),
      rule([""], ["pods", "nodes", "namespaces", "configmaps"], ["get", "list", "watch"]),
    ]),
    binding("axonize-test:metrics", "axonize-test:metrics-server", "axonize-test:metrics-server"),
    binding("axonize-test:metrics-auth", "system:auth-delegator", "axonize-test:metrics-server"),
  ];
}

/** Writes metrics-server's certificate; gives its flags and the objects that make it an API. */
export function metricsServer(options: {
  dir: string;
  authority: Authority;
  kubeconfigFile: string;
  nodeIp: string;
}): { flags: string[]; objects: object[] } {
  const { dir, authority, kubeconfigFile, nodeIp } = options;
  const pair = authority.issue({
    commonName: "metrics-server",
    hosts: ["metrics-server.kube-system.svc", nodeIp],
  });
  const [cert, key] = ["crt", "key"].map((kind) => join(dir, "pki", `metrics-server.${kind}`));
  writeFileSync(String(cert), pair.cert);
  writeFileSync(String(key), pair.key, { mode: 0o600 });
  const flags = [
    `--kubeconfig=${kubeconfigFile}`,
    `--authentication-kubeconfig=${kubeconfigFile}`,
    `--authorization-kubeconfig=${kubeconfigFile}`,
    `--bind-address=${nodeIp}`,
    `--secure-port=${metricsPort}`,
    `--tls-cert-file=${cert}`,
    `--tls-private-key-file=${key}`,
    `--kubelet-certificate-authority=${join(dir, "pki/ca.crt")}`,
    "--kubelet-preferred-address-types=InternalIP",
    // Must be less than the resolution.
    "--kubelet-request-timeout=5s",
    `--metric-resolution=${metricsResolutionSeconds}s`,
  ];
  const service = { namespace: "kube-system", name: "metrics-server" };
  const objects = [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: service,
      spec: { ports: [{ name: "https", port: 443, targetPort: metricsPort }] },
    },
    endpointSlice(service, nodeIp, [{ name: "https", port: metricsPort, protocol: "TCP" }]),
    {
      apiVersion: "apiregistration.k8s.io/v1",
      kind: "APIService",
      metadata: { name: "v1beta1.metrics.k8s.io" },
      spec: {
        group: "metrics.k8s.io",
        version: "v1beta1",
        service,
        groupPriorityMinimum: 100,
        versionPriority: 100,
        caBundle: Buffer.from(authority.cert).toString("base64"),
      },
    },
  ];
  return { flags, objects };
}

/** kwok looks after nodes with the annotation `kwok.x-k8s.io/node: fake` and the pods on them. */
export function kwokFlags(options: {
  kubeconfigFile: string;
  nodeIp: string;
  port: number;
}): string[] {
  return [
    `--kubeconfig=${options.kubeconfigFile}`,
    "--manage-all-nodes=false",
    "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
    `--config=${join(import.meta.dirname, "kwok/stages.yaml")}`,
    "--cidr=10.64.0.0/12",
    `--node-ip=${options.nodeIp}`,
    `--server-address=${options.nodeIp}:${options.port}`,
  ];
}

/** Node path of the volumes; `node-1` has a directory for each below it. */
export function volumePaths(): string[] {
  return Array.from({ length: localVolumes }, (_, index) => `/var/lib/axonize-volumes/${index}`);
}

/**
 * A default StorageClass with volumes made beforehand: `local` ones, not `hostPath`, because only those
 * are given to a pod's fsGroup.
 */
export function storage(nodeName: string): object[] {
  const storageClassName = "local";
  const nodes = { key: "kubernetes.io/hostname", operator: "In", values: [nodeName] };
  return [
    {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: {
        name: storageClassName,
        annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
      },
      provisioner: "kubernetes.io/no-provisioner",
      volumeBindingMode: "WaitForFirstConsumer",
    },
    ...volumePaths().map((path, index) => ({
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: `local-${index}` },
      spec: {
        storageClassName,
        // Nobody enforces it: the directory may grow as the disk allows.
        capacity: { storage: "200Gi" },
        accessModes: ["ReadWriteOnce"],
        persistentVolumeReclaimPolicy: "Retain",
        local: { path },
        nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [nodes] }] } },
      },
    })),
  ];
}

/** A Service without a selector leads to these endpoints. */
export function endpointSlice(
  service: { namespace: string; name: string },
  address: string,
  ports: readonly object[],
): object {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { ...service, labels: { "kubernetes.io/service-name": service.name } },
    addressType: "IPv4",
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
    ports,
  };
}

function clusterRole(name: string, rules: readonly object[]): object {
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name },
    rules,
  };
}

function rule(
  apiGroups: readonly string[],
  resources: readonly string[],
  verbs: readonly string[],
): object {
  return { apiGroups, resources, verbs };
}

function binding(name: string, role: string, user: string): object {
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: user }],
  };
}
