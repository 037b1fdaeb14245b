/**
 * Configuration of the dashboard as a process of its own (standalone has its own schema).
 */
import * as z from "zod";
import { ClickHouseUrl, Listen, PostgresUrl } from "@axonize/core/runtime/config";
import { loginEnv } from "./login/config.ts";

export const DashboardConfig = z.object({
  AXONIZE_HTTP_LISTEN: Listen.prefault("127.0.0.1:3000").describe(
    "Where the dashboard and its API are served.",
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
    .describe("Key of the admin routes; without it they are closed."),
  AXONIZE_OTLP_GRPC_ENDPOINT: z
    .string()
    .default("localhost:4317")
    .describe("What the Start page tells people to send OTLP over gRPC to."),
  AXONIZE_OTLP_HTTP_ENDPOINT: z
    .string()
    .default("http://localhost:4318")
    .describe("What the Start page tells people to send OTLP over HTTP to."),
  ...loginEnv,
  AXONIZE_LOG_LEVEL: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .default("info")
    .describe("Least level that is logged, as JSON lines on standard output."),
});
export type DashboardConfig = z.infer<typeof DashboardConfig>;

/** What the stores are opened with. */
export const serversFrom = (config: DashboardConfig) => ({
  application: "axonize-dashboard",
  clickhouseUrl: config.AXONIZE_CLICKHOUSE_URL,
  clickhouseCluster: config.AXONIZE_CLICKHOUSE_CLUSTER,
  postgresUrl: config.AXONIZE_POSTGRES_URL,
  waitMs: config.AXONIZE_STORE_WAIT_SECONDS * 1000,
});
