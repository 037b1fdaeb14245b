/**
 * One accepting and one refusing spec for every rule of the custom resources: the data of
 * `test/cluster/crds.test.ts`, which also holds that no rule is without one.
 */
export type Spec = Readonly<Record<string, unknown>>;

export interface RuleCase {
  readonly kind: "AxonizeTenant" | "GpuPool" | "InjectionProfile";
  /** Beginning of the rule's message. */
  readonly message: string;
  /** Where the apiserver says it is. */
  readonly at: string;
  readonly accepted: Spec;
  readonly refused: Spec;
  /** Of a rule about changes: what is there before. */
  readonly before?: Spec;
  /** Of a rule about names. */
  readonly names?: { readonly accepted: string; readonly refused: string };
}

const key = (fields: object): Spec => ({ apiKeys: [{ name: "ingest", ...fields }] });
const attributes = (resourceAttributes: object): Spec => ({ injection: { resourceAttributes } });

const tenant: readonly Omit<RuleCase, "kind">[] = [
  {
    message: "metadata.name may have at most 53",
    at: "",
    accepted: {},
    refused: {},
    names: { accepted: "a".repeat(53), refused: "a".repeat(54) },
  },
  {
    message: "metadata.name must be a DNS label without dots",
    at: "",
    accepted: { tenantID: "team" },
    refused: {},
    names: { accepted: "team.vision", refused: "team.vision" },
  },
  {
    message: "tenantID may not change",
    at: "spec",
    before: { tenantID: "one" },
    accepted: { tenantID: "one", displayName: "One" },
    refused: { tenantID: "two" },
  },
  {
    message: "tenantID must be a DNS label",
    at: "spec.tenantID",
    accepted: { tenantID: "team-vision-2" },
    refused: { tenantID: "Team_Vision" },
  },
  {
    message: "namespaces[].name must be a DNS label",
    at: "spec.namespaces[0].name",
    accepted: { namespaces: [{ name: "vision" }] },
    refused: { namespaces: [{ name: "Vision!" }] },
  },
  {
    message: "namespaces[].name may not begin with kube-",
    at: "spec.namespaces[1].name",
    accepted: { namespaces: [{ name: "kubeflow" }] },
    refused: { namespaces: [{ name: "vision" }, { name: "kube-system" }] },
  },
  {
    message: "namespaces[].environment must be",
    at: "spec.namespaces[0].environment",
    accepted: { namespaces: [{ name: "vision", environment: "prod_eu.1" }] },
    refused: { namespaces: [{ name: "vision", environment: "prod eu" }] },
  },
  {
    message: "apiKeys[].secretName must differ",
    at: "spec.apiKeys",
    accepted: { apiKeys: [{ name: "a" }, { name: "b" }] },
    refused: { apiKeys: [{ name: "a" }, { name: "b", secretName: "axonize-a" }] },
  },
  {
    message: "apiKeys[].distribution must be OperatorNamespace",
    at: "spec.apiKeys[0]",
    accepted: key({ scopes: ["Query"], distribution: "OperatorNamespace" }),
    refused: key({ scopes: ["Query"] }),
  },
  {
    message: "apiKeys[].secretName may not change",
    at: "spec.apiKeys[0]",
    before: key({ secretName: "mine" }),
    accepted: key({ secretName: "mine", rotation: { revokeWhen: "UnusedFor24h" } }),
    refused: key({ secretName: "other" }),
  },
  {
    message: "apiKeys[].name must be a DNS label",
    at: "spec.apiKeys[0].name",
    accepted: { apiKeys: [{ name: "ci-2" }] },
    refused: { apiKeys: [{ name: "CI" }] },
  },
  {
    message: "apiKeys[].scopes may not join Admin",
    at: "spec.apiKeys[0].scopes",
    accepted: key({ scopes: ["Admin"], distribution: "OperatorNamespace" }),
    refused: key({ scopes: ["Admin", "Query"], distribution: "OperatorNamespace" }),
  },
  {
    message: "apiKeys[].secretName must be a DNS subdomain",
    at: "spec.apiKeys[0].secretName",
    accepted: key({ secretName: "axonize.ingest-1" }),
    refused: key({ secretName: "Axonize/ingest" }),
  },
  {
    message: "rotation.periodSeconds must be at least twice",
    at: "spec.apiKeys[0].rotation",
    accepted: key({ rotation: { periodSeconds: 86_400, overlapSeconds: 43_200 } }),
    refused: key({ rotation: { periodSeconds: 86_400 } }),
  },
  {
    message: "rotation.periodSeconds must be 0 (never)",
    at: "spec.apiKeys[0].rotation.periodSeconds",
    accepted: key({ rotation: { periodSeconds: 0 } }),
    refused: key({ rotation: { periodSeconds: 86_399, overlapSeconds: 3_600 } }),
  },
  {
    message: "quotas.burstSpans must be at least",
    at: "spec.quotas",
    accepted: { quotas: { spansPerSecond: 10, burstSpans: 10 } },
    refused: { quotas: { spansPerSecond: 10, burstSpans: 9 } },
  },
  {
    message: "quotas.ingestBytesPerDay must be a quantity",
    at: "spec.quotas.ingestBytesPerDay",
    accepted: { quotas: { ingestBytesPerDay: "200Gi" } },
    refused: { quotas: { ingestBytesPerDay: "-1Gi" } },
  },
  {
    message: "retention.payloadDays (7 unless given)",
    at: "spec.retention",
    accepted: { retention: { traceDays: 7 } },
    refused: { retention: { traceDays: 6 } },
  },
  {
    message: "injection.endpoint must be an http or https URL",
    at: "spec.injection.endpoint",
    accepted: { injection: { endpoint: "https://otlp.example.com/v1" } },
    refused: { injection: { endpoint: "grpc://otlp.example.com" } },
  },
  {
    message: "injection.resourceAttributes must have keys",
    at: "spec.injection.resourceAttributes",
    accepted: attributes({ "cost.center": "cc-42" }),
    refused: attributes({ "Cost Center": "42" }),
  },
  {
    message: "injection.resourceAttributes may not set k8s.*",
    at: "spec.injection.resourceAttributes",
    accepted: attributes({ k8scluster: "a" }),
    refused: attributes({ "k8s.pod.uid": "a" }),
  },
  {
    message: "injection.resourceAttributes must have values",
    at: "spec.injection.resourceAttributes",
    accepted: attributes({ team: "vision/eu-1" }),
    refused: attributes({ team: "$(AXONIZE_API_KEY)" }),
  },
];

const agent = (fields: object): Spec => ({ agent: fields });
const expression = (fields: object): Spec => ({ nodeSelector: { matchExpressions: [fields] } });
const oneToleration = (fields: object): Spec => agent({ tolerations: [fields] });

const pool: readonly Omit<RuleCase, "kind">[] = [
  {
    message: "metadata.name may have at most 48",
    at: "",
    accepted: {},
    refused: {},
    names: { accepted: "a".repeat(48), refused: "a".repeat(49) },
  },
  {
    message: "metadata.name must be a DNS label without dots",
    at: "",
    accepted: {},
    refused: {},
    names: { accepted: "h100-east", refused: "h100.east" },
  },
  {
    message: "nodeSelector must select by something",
    at: "spec.nodeSelector",
    accepted: { nodeSelector: { matchLabels: { pool: "a" } } },
    refused: { nodeSelector: { matchLabels: {} } },
  },
  {
    message: "nodeSelector.matchExpressions[].values must be given for In",
    at: "spec.nodeSelector.matchExpressions[0]",
    accepted: expression({ key: "pool", operator: "In", values: ["a"] }),
    refused: expression({ key: "pool", operator: "Exists", values: ["a"] }),
  },
  {
    message: "vendor may not change",
    at: "spec.vendor",
    before: { vendor: "Fake" },
    accepted: { vendor: "Fake", priority: 1 },
    refused: { vendor: "NVIDIA" },
  },
  {
    message: "agent.resources.limits may name",
    at: "spec.agent.resources.limits",
    accepted: agent({ resources: { limits: { cpu: 1, "ephemeral-storage": "1Gi" } } }),
    refused: agent({ resources: { limits: { "nvidia.com/gpu": 1 } } }),
  },
  {
    message: "agent.resources.limits must have quantities",
    at: "spec.agent.resources.limits",
    accepted: agent({ resources: { limits: { memory: "0.5Gi" } } }),
    refused: agent({ resources: { limits: { memory: "lots" } } }),
  },
  {
    message: "agent.resources.requests may name",
    at: "spec.agent.resources.requests",
    accepted: agent({ resources: { requests: { memory: "64Mi" } } }),
    refused: agent({ resources: { requests: { hugepages: "1Gi" } } }),
  },
  {
    message: "agent.resources.requests must have quantities",
    at: "spec.agent.resources.requests",
    accepted: agent({ resources: { requests: { cpu: "10m" } } }),
    refused: agent({ resources: { requests: { cpu: "10 m" } } }),
  },
  {
    message: "agent.tolerations[].operator must be Exists",
    at: "spec.agent.tolerations[0]",
    accepted: oneToleration({ operator: "Exists" }),
    refused: oneToleration({ value: "true" }),
  },
  {
    message: "agent.tolerations[].value may not be given",
    at: "spec.agent.tolerations[0]",
    accepted: oneToleration({ key: "gpu", value: "true" }),
    refused: oneToleration({ key: "gpu", operator: "Exists", value: "true" }),
  },
  {
    message: "agent.updateStrategy.maxUnavailable may be given",
    at: "spec.agent.updateStrategy",
    accepted: agent({ updateStrategy: { type: "OnDelete" } }),
    refused: agent({ updateStrategy: { type: "OnDelete", maxUnavailable: 1 } }),
  },
  {
    message: "agent.updateStrategy.maxUnavailable must be",
    at: "spec.agent.updateStrategy.maxUnavailable",
    accepted: agent({ updateStrategy: { maxUnavailable: "25%" } }),
    refused: agent({ updateStrategy: { maxUnavailable: "0%" } }),
  },
  {
    message: "agent.env[].name must be letters",
    at: "spec.agent.env[0].name",
    accepted: agent({ env: [{ name: "NO_PROXY", value: "10.0.0.0/8" }] }),
    refused: agent({ env: [{ name: "NO-PROXY" }] }),
  },
  {
    message: "agent.env[].name may not begin",
    at: "spec.agent.env[0].name",
    accepted: agent({ env: [{ name: "MY_AXONIZE_X" }] }),
    refused: agent({ env: [{ name: "AXONIZE_NODE_NAME", value: "another" }] }),
  },
  {
    message: "agent.podLabels may not begin",
    at: "spec.agent.podLabels",
    accepted: agent({ podLabels: { "example.com/team": "infra" } }),
    refused: agent({ podLabels: { "axonize.io/gpu-pool": "other" } }),
  },
  {
    message: "agent.podLabels must be valid labels",
    at: "spec.agent.podLabels",
    accepted: agent({ podLabels: { team: "" } }),
    refused: agent({ podLabels: { team: "in fra" } }),
  },
  {
    message: "sampling.processPeriodMilliseconds (5000 unless given)",
    at: "spec.sampling",
    accepted: { sampling: { periodMilliseconds: 5_000 } },
    refused: { sampling: { periodMilliseconds: 5_001 } },
  },
  {
    message: "pricing.currency must be",
    at: "spec.pricing.currency",
    accepted: { pricing: { currency: "EUR" } },
    refused: { pricing: { currency: "eur" } },
  },
  {
    message: "pricing.perGpuHour must be a decimal",
    at: "spec.pricing.perGpuHour",
    accepted: { pricing: { perGpuHour: "2.50" } },
    refused: { pricing: { perGpuHour: "2,50" } },
  },
  {
    message: "pricing.products[].product must be",
    at: "spec.pricing.products[0].product",
    accepted: { pricing: { products: [{ product: "NVIDIA-H100-80GB-HBM3", perGpuHour: "3" }] } },
    refused: { pricing: { products: [{ product: "NVIDIA H100", perGpuHour: "3" }] } },
  },
  {
    message: "pricing.products[].perGpuHour must be a decimal",
    at: "spec.pricing.products[0].perGpuHour",
    accepted: { pricing: { products: [{ product: "H200", perGpuHour: "0.000001" }] } },
    refused: { pricing: { products: [{ product: "H200", perGpuHour: "-1" }] } },
  },
];

const profileOf = (fields: object): Spec => ({
  endpoint: "http://ingest:4318",
  secretName: "axonize-ingest",
  ...fields,
});

const profile: readonly Omit<RuleCase, "kind">[] = [
  {
    message: "secretName must be a DNS subdomain",
    at: "spec.secretName",
    accepted: profileOf({}),
    refused: profileOf({ secretName: "../other" }),
  },
  {
    message: "resourceAttributes may not contain",
    at: "spec.resourceAttributes",
    accepted: profileOf({ resourceAttributes: { "deployment.environment.name": "prod" } }),
    refused: profileOf({ resourceAttributes: { team: "a,service.name=b" } }),
  },
];

export const ruleCases: readonly RuleCase[] = [
  ...tenant.map((one) => ({ kind: "AxonizeTenant" as const, ...one })),
  ...pool.map((one) => ({ kind: "GpuPool" as const, ...one })),
  ...profile.map((one) => ({ kind: "InjectionProfile" as const, ...one })),
];
