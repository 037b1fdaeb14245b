/**
 * The agents' DaemonSet and ConfigMap of a pool: pure. The pod template holds what needs a new pod; what
 * agents can be told while they run (sampling) is in the ConfigMap, which they watch.
 *
 * `nodeSelector` is the pool's label and nothing else: which nodes that are is decided in `assign.ts`, and an
 * edited selector moves labels and restarts no agent.
 */
import { createHash } from "node:crypto";
import { agentAudience, type PoolConfig } from "@axonize/core/contract/agent";
import { labels } from "../crds/names.ts";
import type { GpuPoolSpec } from "../crds/gpu-pool.ts";
import * as names from "./names.ts";

/** From the chart; the same for all pools. */
export interface AgentOptions {
  /** The agents' namespace. */
  readonly namespace: string;
  readonly cluster: string;
  /** `host:port` of ingest for agents, by gRPC. */
  readonly ingestEndpoint: string;
  /** The kubelet's folder on nodes; some distributions have another. */
  readonly kubeletDirectory: string;
  /** On nodes: the agent's spool and lock. */
  readonly stateDirectory: string;
  /** On nodes of a pool with vendor Fake: `libnvidia-ml.so.1` and, optionally, its `control` file. */
  readonly fakeDriverDirectory: string;
}

export interface PoolIdentity {
  readonly name: string;
  readonly uid: string;
}

type Json = Readonly<Record<string, unknown>>;

/** Where the pod sees what is mounted; the agent's own defaults where it has one. */
const paths = {
  podResources: "/var/lib/kubelet/pod-resources",
  state: "/var/lib/axonize-agent",
  config: "/etc/axonize",
  token: "/var/run/secrets/axonize.io",
  fakeDriver: "/opt/axonize/fake-driver",
  temporary: "/tmp",
  /** The same on the node and in the pods that leave rings there: it is in people's manifests. */
  spanRings: "/var/lib/axonize-span-rings",
} as const;
const metricsPort = 9400;
/** The agent stops within 10 s; then what it could not send is on disk. */
const gracePeriodSeconds = 30;
/** The kubelet renews it at four fifths; ingest looks at it again every minute. */
const tokenSeconds = 3_600;

/** What agents of the pool are told while they run. */
export function poolConfigOf(spec: GpuPoolSpec): PoolConfig {
  const { periodMilliseconds, processPeriodMilliseconds, metricSets } = spec.sampling;
  const slowPeriodMs = Math.max(1_000, periodMilliseconds);
  return {
    periodMs: periodMilliseconds,
    slowPeriodMs,
    processPeriodMs: processPeriodMilliseconds,
    reportPeriodMs: slowPeriodMs,
    // A set: its order says nothing and must not look like a change.
    metricSets: [...new Set(metricSets)].sort(),
    hostAccess: spec.agent.hostAccess,
    overheadBudgetMillicores: spec.sampling.overheadBudgetMillicores,
  };
}

export function configMapOf(pool: PoolIdentity, spec: GpuPoolSpec, namespace: string) {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: names.configMapName(pool.name),
      namespace,
      labels: ownLabels(pool.name),
      ownerReferences: [ownerOf(pool)],
    },
    data: { [names.configFile]: `${JSON.stringify(poolConfigOf(spec), undefined, 2)}\n` },
  };
}

export interface AgentImage {
  readonly image: string;
  readonly from: "Spec" | "Operator";
  /** The pool's `agent-upgrade` that was acted upon. */
  readonly upgrade: string;
}

export function daemonSetOf(
  pool: PoolIdentity,
  spec: GpuPoolSpec,
  given: { readonly options: AgentOptions; readonly image: AgentImage },
) {
  const { options, image } = given;
  const template = podTemplate(pool.name, spec, { options, image: image.image });
  const { type, maxUnavailable } = spec.agent.updateStrategy;
  return {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: {
      name: names.daemonSetName(pool.name),
      namespace: options.namespace,
      labels: ownLabels(pool.name),
      annotations: {
        [names.daemonSetAnnotations.templateHash]: hashOf(template),
        [names.daemonSetAnnotations.inputsHash]: inputsHash(spec, options),
        [names.daemonSetAnnotations.image]: image.image,
        [names.daemonSetAnnotations.imageFrom]: image.from,
        [names.daemonSetAnnotations.agentUpgrade]: image.upgrade,
      },
      ownerReferences: [ownerOf(pool)],
    },
    spec: {
      selector: { matchLabels: selectorLabels(pool.name) },
      updateStrategy:
        type === "OnDelete"
          ? { type }
          : { type, rollingUpdate: { maxUnavailable: maxUnavailable ?? "10%", maxSurge: 0 } },
      minReadySeconds: 5,
      revisionHistoryLimit: 3,
      template,
    },
  } as const;
}

/**
 * Of everything that a user or the chart decides about the pods. A field that a later version adds belongs
 * here only where it differs from its default: else that version's upgrade would restart every agent.
 */
export function inputsHash(spec: GpuPoolSpec, options: AgentOptions): string {
  const { image: _pinned, spanRing, ...rest } = spec.agent;
  const agent = spanRing === "Enabled" ? { ...rest, spanRing } : rest;
  return hashOf({ agent, vendor: spec.vendor, options });
}

function podTemplate(
  pool: string,
  spec: GpuPoolSpec,
  given: { readonly options: AgentOptions; readonly image: string },
) {
  const { agent } = spec;
  return {
    metadata: { labels: { ...agent.podLabels, ...ownLabels(pool) } },
    spec: {
      serviceAccountName: names.agentAccount,
      // It lists its node's pods; the account itself mounts its token nowhere.
      automountServiceAccountToken: true,
      nodeSelector: { [labels.gpuPool]: pool },
      tolerations: agent.tolerations,
      ...(agent.priorityClassName === "" ? {} : { priorityClassName: agent.priorityClassName }),
      ...(agent.runtimeClassName === undefined ? {} : { runtimeClassName: agent.runtimeClassName }),
      hostPID: agent.hostAccess !== "PodResourcesOnly",
      terminationGracePeriodSeconds: gracePeriodSeconds,
      containers: [container(spec, given)],
      volumes: volumes(pool, spec, given.options),
    },
  };
}

function container(
  spec: GpuPoolSpec,
  given: { readonly options: AgentOptions; readonly image: string },
) {
  const { agent, vendor } = spec;
  const probe = { httpGet: { path: "/healthz", port: "metrics" }, timeoutSeconds: 5 };
  return {
    name: "agent",
    image: given.image,
    imagePullPolicy: agent.imagePullPolicy,
    env: [...environment(spec, given.options), ...(agent.env ?? [])],
    ports: [{ name: "metrics", containerPort: metricsPort, protocol: "TCP" }],
    resources: agent.resources,
    startupProbe: { ...probe, periodSeconds: 2, failureThreshold: 60 },
    livenessProbe: { ...probe, periodSeconds: 20, failureThreshold: 3 },
    securityContext: securityContext(spec),
    volumeMounts: [
      mount("pod-resources", paths.podResources, true),
      mount("state", paths.state, false),
      mount("config", paths.config, true),
      mount("token", paths.token, true),
      mount("temporary", paths.temporary, false),
      ...(vendor === "Fake" ? [mount("fake-driver", paths.fakeDriver, true)] : []),
      ...(agent.spanRing === "Enabled" ? [mount("span-rings", paths.spanRings, false)] : []),
    ],
  };
}

const mount = (name: string, mountPath: string, readOnly: boolean): Json => ({
  name,
  mountPath,
  ...(readOnly ? { readOnly } : {}),
});

function environment(spec: GpuPoolSpec, options: AgentOptions): Json[] {
  const set = (name: string, value: string): Json => ({ name, value });
  return [
    { name: "AXONIZE_NODE_NAME", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
    set("AXONIZE_CLUSTER", options.cluster),
    set("AXONIZE_INGEST_ENDPOINT", options.ingestEndpoint),
    set("AXONIZE_AGENT_TOKEN_FILE", `${paths.token}/token`),
    set("AXONIZE_AGENT_CONFIG", `${paths.config}/${names.configFile}`),
    set("AXONIZE_AGENT_STATE_DIR", paths.state),
    set("AXONIZE_POD_RESOURCES_SOCKET", `${paths.podResources}/kubelet.sock`),
    set("AXONIZE_AGENT_METRICS_LISTEN", `0.0.0.0:${metricsPort}`),
    ...(spec.agent.spanRing === "Enabled"
      ? [set("AXONIZE_AGENT_SPAN_RINGS", paths.spanRings)]
      : []),
    ...(spec.vendor === "Fake"
      ? [
          set("AXONIZE_NVML_LIBRARY", `${paths.fakeDriver}/libnvidia-ml.so.1`),
          set("AXONIZE_FAKE_NVML_CONTROL", `${paths.fakeDriver}/control`),
        ]
      : driverEnvironment(spec).map(([name, value]) => set(name, value))),
  ];
}

/** The container toolkit refuses `MIG_MONITOR` to a container without SYS_ADMIN: both or neither. */
function driverEnvironment(spec: GpuPoolSpec): (readonly [string, string])[] {
  return [
    ["NVIDIA_VISIBLE_DEVICES", "all"],
    ["NVIDIA_DRIVER_CAPABILITIES", "utility"],
    ...(spec.agent.hostAccess === "PodResourcesOnly"
      ? []
      : ([["NVIDIA_MIG_MONITOR_DEVICES", "all"]] as const)),
  ];
}

/**
 * Root in each mode: the kubelet's folder is closed to all others. Other users' processes show their
 * environment and devices to SYS_PTRACE, and their files to DAC_READ_SEARCH, alone. A span ring is written
 * to and removed, which takes DAC_OVERRIDE.
 */
function securityContext({ agent }: GpuPoolSpec): Json {
  const common = { runAsUser: 0, readOnlyRootFilesystem: true };
  const rings = agent.spanRing === "Enabled" ? ["DAC_OVERRIDE"] : [];
  switch (agent.hostAccess) {
    case "PodResourcesOnly":
      return {
        ...common,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ["ALL"], ...(rings.length > 0 ? { add: rings } : {}) },
        seccompProfile: { type: "RuntimeDefault" },
      };
    case "HostPID":
      return {
        ...common,
        capabilities: {
          drop: ["ALL"],
          add: [...rings, "DAC_READ_SEARCH", "SYS_ADMIN", "SYS_PTRACE"],
        },
        seccompProfile: { type: "RuntimeDefault" },
      };
    case "Privileged":
      return { ...common, privileged: true };
  }
}

function volumes(pool: string, spec: GpuPoolSpec, options: AgentOptions): Json[] {
  return [
    {
      name: "pod-resources",
      hostPath: { path: `${options.kubeletDirectory}/pod-resources`, type: "Directory" },
    },
    { name: "state", hostPath: { path: options.stateDirectory, type: "DirectoryOrCreate" } },
    { name: "config", configMap: { name: names.configMapName(pool) } },
    {
      name: "token",
      projected: {
        sources: [
          {
            serviceAccountToken: {
              audience: agentAudience,
              expirationSeconds: tokenSeconds,
              path: "token",
            },
          },
        ],
      },
    },
    { name: "temporary", emptyDir: { sizeLimit: "64Mi" } },
    ...(spec.vendor === "Fake"
      ? [
          {
            name: "fake-driver",
            hostPath: { path: options.fakeDriverDirectory, type: "Directory" },
          },
        ]
      : []),
    ...(spec.agent.spanRing === "Enabled"
      ? [
          {
            name: "span-rings",
            hostPath: { path: paths.spanRings, type: "DirectoryOrCreate" },
          },
        ]
      : []),
  ];
}

const selectorLabels = (pool: string) => ({
  [names.appLabel]: names.agentApp,
  [labels.gpuPool]: pool,
});
const ownLabels = (pool: string) => ({
  ...selectorLabels(pool),
  "app.kubernetes.io/component": "agent",
  "app.kubernetes.io/part-of": "axonize",
  "app.kubernetes.io/managed-by": "axonize-operator",
});

const ownerOf = ({ name, uid }: PoolIdentity) => ({
  apiVersion: "axonize.io/v1alpha1",
  kind: "GpuPool",
  name,
  uid,
  controller: true,
  // Foreground deletion of the pool waits for its agents.
  blockOwnerDeletion: true,
});

/** 64 bits of SHA-256 over JSON with sorted keys. */
export function hashOf(value: unknown): string {
  return createHash("sha256").update(canonical(value)).digest("hex").slice(0, 16);
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value)
    .filter(([, each]) => each !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, each]) => `${JSON.stringify(key)}:${canonical(each)}`).join()}}`;
}
