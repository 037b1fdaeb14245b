/**
 * Ingest's configuration: what the composition root takes (`IngestConfig`), and the environment of
 * the process that runs ingest alone (`IngestEnv`). Standalone builds the first from its own.
 */
import * as z from "zod";
import { ClickHouseUrl, Listen, PostgresUrl } from "@axonize/core/runtime/config";
import type { TokenReviewOptions } from "./agents/token-review.ts";
import { budgetBytes, clusterStop } from "./limits.ts";

export interface IngestConfig {
  grpcListen: Listen;
  httpListen: Listen;
  /** Loopback peers without a key stand for the loopback tenant. */
  keylessLoopback: boolean;
  version: string;
  /** Names this process in `component_status`; the same again after a restart. */
  instance: string;
  agents?: {
    /** Several tenants share the cluster: a pod binds only spans of its namespace's tenant. */
    checksTenants?: boolean;
    /** Names this Kubernetes cluster; empty where there is one. */
    cluster?: string;
    /** Lets the agent of this very process in. */
    processSecret?: string;
    /** Absent outside of Kubernetes. */
    tokenReview?: TokenReviewOptions;
  };
  /** Behind a load balancer, where clients have somewhere else to go. Absent: it stops at once. */
  stop?: {
    /** How long clients are still served while they are told to go elsewhere. */
    lameDuckMs: number;
    /** How long what is in flight may take after that. */
    drainMs: number;
  };
  /** ClickHouse's cluster (ON CLUSTER), where it is one. */
  clickhouseCluster?: string;
  /** Bytes of bodies, builders and blocks together (`limits.ts`). */
  memoryBytes?: number;
}

export const IngestEnv = z.object({
  AXONIZE_OTLP_GRPC_LISTEN: Listen.prefault("0.0.0.0:4317").describe(
    "Where OTLP over gRPC is received.",
  ),
  AXONIZE_OTLP_HTTP_LISTEN: Listen.prefault("0.0.0.0:4318").describe(
    "Where OTLP over HTTP (protobuf and JSON) is received.",
  ),
  AXONIZE_INGEST_OPS_LISTEN: Listen.prefault("0.0.0.0:9464").describe(
    "Where `/metrics`, `/healthz` and `/readyz` of ingest are served.",
  ),
  AXONIZE_CLICKHOUSE_URL: ClickHouseUrl.describe(
    "The ClickHouse server; its tables are made at the start.",
  ),
  AXONIZE_CLICKHOUSE_CLUSTER: z
    .string()
    .optional()
    .describe("Name of the cluster (ON CLUSTER) on which migrations create replicated tables."),
  AXONIZE_POSTGRES_URL: PostgresUrl.describe(
    "The PostgreSQL server; its tables are made at the start.",
  ),
  AXONIZE_STORE_WAIT_SECONDS: z.coerce
    .number()
    .int()
    .min(0)
    .max(3600)
    .default(300)
    .describe("How long a store that does not answer yet is waited for at the start, in seconds."),
  AXONIZE_ADMIN_KEY: z
    .string()
    .min(8, "must have at least 8 characters")
    .optional()
    .meta({ secret: true })
    .describe("The admin key; with it GPU metrics may be sent."),
  AXONIZE_INGEST_MEMORY_BYTES: z.coerce
    .number()
    .int()
    .min(16 * 1024 * 1024)
    .default(budgetBytes)
    .describe(
      "Most bytes of unacknowledged telemetry held at once; beyond it senders are told to wait.",
    ),
  AXONIZE_INSTANCE: z
    .string()
    .max(128)
    .optional()
    .describe("Name of this process on the System page. Default: host name and gRPC port."),
  AXONIZE_CLUSTER: z
    .string()
    .max(128)
    .default("")
    .describe("Name of this Kubernetes cluster, where several write to the same stores."),
  AXONIZE_KUBERNETES_URL: z
    .url({ protocol: /^https$/, error: "must be https://host:port" })
    .optional()
    .describe("API server that reviews the agents' tokens. Unset: no agent's token is taken."),
  AXONIZE_KUBERNETES_TOKEN_FILE: z
    .string()
    .default("/var/run/secrets/kubernetes.io/serviceaccount/token")
    .describe("Our own ServiceAccount token; it may create TokenReviews."),
  AXONIZE_KUBERNETES_CA_FILE: z
    .string()
    .default("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
    .describe("Authority of the API server's certificate."),
  AXONIZE_AGENT_SERVICE_ACCOUNTS: z
    .string()
    .default("axonize-agents:axonize-agent")
    .describe("ServiceAccounts of agents, as namespace:name, separated by commas."),
  AXONIZE_LOG_LEVEL: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .default("info")
    .describe("Least level that is logged."),
});
export type IngestEnv = z.infer<typeof IngestEnv>;

/** The cluster's process asks every sender for a key, loopback or not. */
export function configFrom(
  env: IngestEnv,
  process: { version: string; host: string },
): IngestConfig {
  return {
    grpcListen: env.AXONIZE_OTLP_GRPC_LISTEN,
    httpListen: env.AXONIZE_OTLP_HTTP_LISTEN,
    keylessLoopback: false,
    version: process.version,
    instance: env.AXONIZE_INSTANCE ?? `${process.host}:${env.AXONIZE_OTLP_GRPC_LISTEN.port}`,
    agents: {
      checksTenants: true,
      cluster: env.AXONIZE_CLUSTER,
      ...(env.AXONIZE_KUBERNETES_URL === undefined
        ? {}
        : {
            tokenReview: {
              apiServer: env.AXONIZE_KUBERNETES_URL,
              tokenFile: env.AXONIZE_KUBERNETES_TOKEN_FILE,
              authorityFile: env.AXONIZE_KUBERNETES_CA_FILE,
              serviceAccounts: env.AXONIZE_AGENT_SERVICE_ACCOUNTS.split(",").map((name) =>
                name.trim(),
              ),
            },
          }),
    },
    stop: clusterStop,
    memoryBytes: env.AXONIZE_INGEST_MEMORY_BYTES,
    ...(env.AXONIZE_CLICKHOUSE_CLUSTER === undefined
      ? {}
      : { clickhouseCluster: env.AXONIZE_CLICKHOUSE_CLUSTER }),
  };
}
