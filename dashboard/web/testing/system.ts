/**
 * Made-up answers about the product itself: first steps, health, tenants, keys, usage.
 */
import type { Start, System } from "@axonize/core/contract/system";
import type { Key, Tenant, Usage } from "@axonize/core/contract/tenant";
import type { Call } from "./calls.ts";
import { createRandom } from "./random.ts";
import type { Scenario } from "./server.ts";

export function makeStart(first: Call | undefined, gpuSeen: boolean): Start {
  return {
    otlpGrpcEndpoint: "127.0.0.1:4317",
    otlpHttpEndpoint: "http://127.0.0.1:4318",
    apiEndpoint: "http://127.0.0.1:3000",
    keyNeeded: false,
    capture: "Full",
    firstSpanAt: first?.startTime ?? null,
    firstTraceId: first?.traceId ?? null,
    gpuSeen,
  };
}

/** Who must give a key is a tenant and sees no figures of the installation. */
export function systemOf(scenario: Scenario, nowMs: number, last: Call | undefined): System {
  const system = makeSystem(nowMs, last, scenario === "empty");
  return scenario === "locked" ? tenantsView(system) : system;
}

/** What a tenant's key is answered: the stores and its own newest span, nothing of the installation. */
function tenantsView(system: System): System {
  const { lastSpanAt } = system.ingest;
  return {
    ...system,
    scope: "tenant",
    stores: system.stores.map((store) => ({ ...store, bytes: null })),
    components: [],
    ingest: { spansPerSecond: 0, bytesPerSecond: 0, lagMs: null, lastSpanAt, rejects: [] },
    tables: [],
    agents: [],
    unjoined: [],
    errors: [],
  };
}

function makeSystem(nowMs: number, last: Call | undefined, empty: boolean): System {
  const iso = (agoMs: number): string => new Date(nowMs - agoMs).toISOString();
  return {
    time: iso(0),
    version: "0.1.0",
    mode: "standalone",
    scope: "installation",
    stores: [
      {
        name: "clickhouse",
        ok: true,
        version: "26.5.1 (embedded)",
        latencyMs: 1.4,
        bytes: 3.9e9,
        detail: "",
      },
      { name: "postgres", ok: true, version: "18.1", latencyMs: 0.3, bytes: 42e6, detail: "" },
    ],
    components: [
      {
        component: "ingest",
        instance: "standalone",
        version: "0.1.0",
        updatedAt: iso(900),
        stale: false,
        status: {
          axonize_ingest_open_bytes: 1_240_000,
          axonize_ingest_spans_total: 5_120_044,
          axonize_ingest_inserts_total: 8_120,
        },
      },
      {
        component: "dashboard",
        instance: "standalone",
        version: "0.1.0",
        updatedAt: iso(900),
        stale: false,
        status: { axonize_api_requests_total: 9_120 },
      },
    ],
    ingest: {
      spansPerSecond: empty ? 0 : 412.6,
      bytesPerSecond: empty ? 0 : 388_000,
      lagMs: empty ? null : 84,
      lastSpanAt: empty ? null : new Date(Math.max(last?.startMs ?? 0, nowMs - 900)).toISOString(),
      rejects: empty
        ? []
        : [
            { reason: "invalid_trace_id", count: 41, advice: "" },
            {
              reason: "wrong-path-traces",
              count: 12,
              advice:
                "The path looks like the one for traces and is another: send OTLP traces to POST /v1/traces, spelled exactly so, without a slash at its end.",
            },
            { reason: "too-large", count: 2, advice: "" },
          ],
    },
    tables: [
      { name: "spans", rows: 5_120_044, bytes: 1.1e9, parts: 14 },
      { name: "span_payloads", rows: 5_120_044, bytes: 2.6e9, parts: 18 },
      { name: "trace_index", rows: 812_004, bytes: 38e6, parts: 6 },
      { name: "facets", rows: 9_120, bytes: 0.4e6, parts: 3 },
      { name: "gpu_samples", rows: 1_204_000, bytes: 22e6, parts: 9 },
    ].map((table) => (empty ? { ...table, rows: 0, bytes: 0, parts: 0 } : table)),
    agents: empty ? [] : makeAgents(nowMs),
    unjoined: empty
      ? []
      : [
          { reason: "no_kubelet", seconds: 5_120 },
          { reason: "allocation_unknown", seconds: 312 },
        ],
    errors: empty
      ? []
      : [
          {
            time: iso(14 * 60e3),
            component: "ingest",
            code: "store.unavailable",
            message:
              "ClickHouse did not answer within 5 s; 3 requests were refused with a retry hint.",
          },
        ],
  };
}

export function makeTenants(nowMs: number): { readonly tenants: Tenant[]; readonly keys: Key[] } {
  const iso = (agoDays: number): string => new Date(nowMs - agoDays * 86_400e3).toISOString();
  return {
    tenants: [
      {
        id: "default",
        name: "Default",
        capture: "Full",
        limits: { spansPerSecond: null, bytesPerDay: null },
        retentionDays: 30,
        owner: "standalone",
        createdAt: iso(41),
      },
      {
        id: "team-vision",
        name: "Team Vision",
        capture: "None",
        limits: { spansPerSecond: 5_000, bytesPerDay: 20e9 },
        retentionDays: 90,
        owner: "api",
        createdAt: iso(20),
      },
      {
        id: "search",
        name: "Search",
        capture: "Redacted",
        limits: { spansPerSecond: 20_000, bytesPerDay: null },
        retentionDays: 7,
        owner: "operator",
        createdAt: iso(12),
      },
    ],
    keys: [
      {
        prefix: "3fT9k2",
        name: "production gateway",
        scopes: ["Ingest"],
        createdAt: iso(20),
        lastUsedAt: iso(0.0001),
        expiresAt: null,
        revokedAt: null,
      },
      {
        prefix: "9xQ1mm",
        name: "grafana",
        scopes: ["Query"],
        createdAt: iso(14),
        lastUsedAt: iso(0.2),
        expiresAt: null,
        revokedAt: null,
      },
      {
        prefix: "aa81Zc",
        name: "laptop ana",
        scopes: ["Ingest", "Query"],
        createdAt: iso(9),
        lastUsedAt: null,
        expiresAt: null,
        revokedAt: iso(2),
      },
    ],
  };
}

export function makeUsage(tenantId: string, nowMs: number): Usage {
  const random = createRandom(5);
  const hours = Array.from({ length: 24 * 14 }, (_, i) => {
    const busy = 0.6 + 0.4 * Math.sin((i / 24) * 2 * Math.PI);
    const spans = Math.round(42_000 * busy * random.between(0.8, 1.2));
    return {
      hour: new Date(Math.floor(nowMs / 3600e3) * 3600e3 - (24 * 14 - i) * 3600e3).toISOString(),
      spans,
      bytes: spans * 940,
      inputTokens: spans * 310,
      outputTokens: spans * 62,
      gpuSeconds: spans * 0.11,
    };
  });
  const total = (key: "spans" | "bytes" | "inputTokens" | "outputTokens" | "gpuSeconds"): number =>
    hours.reduce((sum, h) => sum + h[key], 0);
  return {
    tenantId,
    from: hours[0]?.hour ?? "",
    to: new Date(nowMs).toISOString(),
    spans: total("spans"),
    bytes: total("bytes"),
    inputTokens: total("inputTokens"),
    outputTokens: total("outputTokens"),
    gpuSeconds: total("gpuSeconds"),
    gpuSecondsBasis: "spanDuration",
    hours,
  };
}

function makeAgents(nowMs: number): System["agents"] {
  const nodes = [...Array.from({ length: 8 }, (_, i) => `gpu-node-${i + 1}`), "batch-1", "dev-1"];
  return nodes.map((node, i) => ({
    node,
    version: i === 9 ? "0.0.9" : "0.1.0",
    lastReport: new Date(nowMs - (i === 8 ? 410_000 : 900 + i * 130)).toISOString(),
    stale: i === 8,
    driverVersion: i === 9 ? "" : "570.124.06",
    trouble: i === 9 ? "libnvidia-ml.so.1 was replaced while it ran (error 18)" : "",
    periodMs: i === 2 ? 170 : 100,
    wantedPeriodMs: 100,
    cpuRatio: 0.012 + i * 0.003,
    offsetMs: i === 4 ? 38 : 0.4,
    offsetErrorMs: 0.6,
    drops: i === 8 ? [{ reason: "spool_full", count: 12_400 }] : [],
    findings:
      i === 9
        ? [
            {
              check: "kubelet",
              message: "the pod-resources socket does not answer: permission denied",
              mend: "mount /var/lib/kubelet/pod-resources into the agent",
            },
          ]
        : [],
  }));
}
