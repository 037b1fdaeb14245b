/**
 * docs/metrics.md: every Prometheus metric that a process of ours serves at `/metrics`.
 */
import { createRegistry, type Registry } from "@axonize/core/runtime/metrics";
import { createMetrics } from "../../dashboard/api/metrics.ts";
import { createExportMetrics } from "../../agent/export/metrics.ts";
import { createAgentMetrics as createOwnAgentMetrics } from "../../agent/metrics.ts";
import { createIdentityMetrics } from "../../agent/join/metrics.ts";
import { createRingMetrics } from "../../agent/ring/metrics.ts";
import { createSamplingMetrics } from "../../agent/sampling/metrics.ts";
import { createAgentMetrics } from "../../ingest/agents/metrics.ts";
import { createAttributeMetrics } from "../../ingest/attribute/metrics.ts";
import { createIngestMetrics } from "../../ingest/metrics.ts";
import { createGpuPoolMetrics } from "../../operator/controllers/gpupool/metrics.ts";
import { createTenantMetrics } from "../../operator/controllers/tenant/metrics.ts";
import { createInjectionMetrics } from "../../operator/injection/metrics.ts";
import { createKubeMetrics } from "../../operator/kube/metrics.ts";
import { createOperatorMetrics } from "../../operator/metrics.ts";
import { table } from "./api-markdown.ts";

const services: readonly { title: string; declare: (registry: Registry) => unknown }[] = [
  {
    title: "Ingest",
    declare: (registry) => [
      createIngestMetrics(registry),
      createAgentMetrics(registry),
      createAttributeMetrics(registry),
    ],
  },
  {
    title: "Agent",
    declare: (registry) => [
      createSamplingMetrics(registry),
      createIdentityMetrics(registry),
      createExportMetrics(registry),
      createRingMetrics(registry),
      createOwnAgentMetrics(registry),
    ],
  },
  { title: "Dashboard", declare: createMetrics },
  {
    title: "Operator",
    declare: (registry) => [
      createOperatorMetrics(registry),
      createTenantMetrics(registry),
      createGpuPoolMetrics(registry),
      createInjectionMetrics(registry),
      createKubeMetrics(registry),
    ],
  },
];

export async function metricsMarkdown(): Promise<string> {
  const parts = [
    "# Metrics\n",
    "Generated from each service's `metrics.ts`; do not edit. Prometheus text format at `/metrics`.\n",
  ];
  for (const { title, declare } of services) {
    const registry = createRegistry();
    declare(registry);
    const metrics = await registry.getMetricsAsJSON();
    parts.push(
      `## ${title}\n`,
      table(
        ["metric", "type", "labels", "what"],
        metrics.map(({ name, type, help }) => [
          `\`${name}\``,
          String(type),
          labelsOf(registry, name),
          help,
        ]),
      ),
    );
  }
  return parts.join("\n");
}

function labelsOf(registry: Registry, name: string): string {
  // prom-client keeps the declared names on the metric, but not in its public type.
  const metric = registry.getSingleMetric(name) as unknown as { labelNames?: string[] };
  return (metric.labelNames ?? []).map((label) => `\`${label}\``).join(", ");
}
