/**
 * Standalone's configuration: its own variables and those of ingest, dashboard and agent, all with
 * defaults, so that `npm start` needs none.
 */
import * as z from "zod";
import { ClickHouseUrl, Listen, PostgresUrl } from "@axonize/core/runtime/config";
import { AgentEnv } from "../agent/config.ts";

export const StandaloneConfig = z.object({
  AXONIZE_DATA_DIR: z
    .string()
    .default(".axonize")
    .describe("Folder of all data: stores, admin key, log. Relative to the working folder."),
  AXONIZE_OTLP_GRPC_LISTEN: Listen.prefault("127.0.0.1:4317").describe(
    "Where OTLP over gRPC is received. Beyond loopback, a key is needed.",
  ),
  AXONIZE_OTLP_HTTP_LISTEN: Listen.prefault("127.0.0.1:4318").describe(
    "Where OTLP over HTTP (protobuf and JSON) is received. Beyond loopback, a key is needed.",
  ),
  AXONIZE_HTTP_LISTEN: Listen.prefault("127.0.0.1:3000").describe(
    "Where the dashboard and its API are served. Beyond loopback, a key is needed.",
  ),
  AXONIZE_CLICKHOUSE_URL: ClickHouseUrl.optional()
    .meta({ secret: false })
    .describe("A ClickHouse server to use instead of the embedded engine."),
  AXONIZE_CLICKHOUSE_CLUSTER: z
    .string()
    .optional()
    .describe("Name of the cluster (ON CLUSTER) on which migrations create replicated tables."),
  AXONIZE_POSTGRES_URL: PostgresUrl.optional().describe(
    "A PostgreSQL server to use instead of the embedded one.",
  ),
  AXONIZE_STORE_WAIT_SECONDS: z.coerce
    .number()
    .int()
    .min(0)
    .max(3600)
    .default(30)
    .describe("How long a named server that does not answer yet is waited for, in seconds."),
  AXONIZE_REQUIRE_KEYS: z
    .stringbool()
    .default(false)
    .describe(
      "Demand a key on loopback, too: for machines whose other users must not read or write here.",
    ),
  AXONIZE_ADMIN_KEY: z
    .string()
    .min(8, "must have at least 8 characters")
    .optional()
    .meta({ secret: true })
    .describe(
      "Key of the admin routes. Default: made at the first start, in <data dir>/admin-key.",
    ),
  AXONIZE_AGENT: z
    .enum(["auto", "off"])
    .default("auto")
    .describe(
      "`auto` reads this machine's GPUs where it has NVIDIA's driver or AXONIZE_NVML_LIBRARY names one.",
    ),
  ...AgentEnv.pick({
    AXONIZE_NODE_NAME: true,
    AXONIZE_NVML_LIBRARY: true,
    AXONIZE_POD_RESOURCES_SOCKET: true,
    AXONIZE_AGENT_PROC_ROOT: true,
  }).shape,
  AXONIZE_LOG_LEVEL: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .default("info")
    .describe("Least level that is written to <data dir>/logs/axonize.log."),
});
export type StandaloneConfig = z.infer<typeof StandaloneConfig>;
