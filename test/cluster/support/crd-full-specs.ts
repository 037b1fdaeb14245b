/**
 * Specs in which every field is given: `test/cluster/crds.test.ts` tries each field's bounds on them.
 */
import type { RuleCase, Spec } from "./crd-cases.ts";

export const fullSpecs: Readonly<Record<RuleCase["kind"], Spec>> = {
  AxonizeTenant: {
    tenantID: "team-vision",
    displayName: "Vision",
    adminState: "Active",
    deletionPolicy: "Retain",
    adoptionPolicy: "IfUnowned",
    namespaces: [{ name: "vision", injection: "OptOut", environment: "prod" }],
    apiKeys: [
      {
        name: "ingest",
        scopes: ["Ingest"],
        distribution: "AllNamespaces",
        secretName: "axonize-ingest",
        rotation: {
          periodSeconds: 7_776_000,
          overlapSeconds: 604_800,
          revokeWhen: "OverlapElapsed",
        },
      },
    ],
    quotas: {
      spansPerSecond: 2000,
      burstSpans: 4000,
      ingestBytesPerDay: "200Gi",
      onExceeded: "Sample",
    },
    retention: { traceDays: 30, payloadDays: 7 },
    privacy: { capturePayloads: "None" },
    sampling: { tracesPerMillion: 1_000_000 },
    injection: {
      mode: "OptIn",
      containers: "All",
      delivery: "Env",
      endpoint: "http://ingest:4318",
      resourceAttributes: { team: "vision" },
    },
  },
  GpuPool: {
    nodeSelector: {
      matchLabels: { pool: "a" },
      matchExpressions: [{ key: "zone", operator: "In", values: ["a"] }],
    },
    priority: 0,
    vendor: "Fake",
    agent: {
      image: "registry.example.com/agent:1",
      imagePullPolicy: "IfNotPresent",
      resources: { limits: { cpu: "200m" }, requests: { cpu: "50m" } },
      tolerations: [
        { key: "gpu", operator: "Equal", value: "x", effect: "NoExecute", tolerationSeconds: 5 },
      ],
      priorityClassName: "system-node-critical",
      updateStrategy: { type: "RollingUpdate", maxUnavailable: "10%" },
      hostAccess: "HostPID",
      runtimeClassName: "nvidia",
      env: [{ name: "HTTP_PROXY", value: "proxy" }],
      podLabels: { team: "infra" },
    },
    sampling: {
      periodMilliseconds: 100,
      processPeriodMilliseconds: 60_000,
      metricSets: ["Power"],
      overheadBudgetMillicores: 50,
    },
    pricing: {
      currency: "USD",
      perGpuHour: "2.50",
      products: [{ product: "H100", perGpuHour: "3" }],
      effectiveFrom: "2026-12-01T00:00:00Z",
    },
  },
  InjectionProfile: {
    endpoint: "http://ingest:4318",
    secretName: "axonize-ingest",
    mode: "OptIn",
    containers: "All",
    delivery: "Env",
    resourceAttributes: { team: "vision" },
  },
};
