/**
 * Configuration of the process that serves the embedded stores to a cluster. Addresses and passwords
 * have no defaults that would open anything: the chart names them all.
 */
import * as z from "zod";
import { Listen } from "@axonize/core/runtime/config";

/** The generated ones have 32 characters; what a person sets may be shorter, but not guessable. */
const Password = z
  .string()
  .min(16, "must have at least 16 characters")
  .regex(/^[A-Za-z0-9_.~-]+$/, "may have letters, digits and _ . ~ - (it stands in a URL)")
  .meta({ secret: true });

export const StoresConfig = z.object({
  AXONIZE_DATA_DIR: z
    .string()
    .default("/var/lib/axonize/data")
    .describe("Folder of both stores' data."),
  AXONIZE_STORES_CLICKHOUSE_LISTEN: Listen.prefault("127.0.0.1:8123").describe(
    "Where ClickHouse's HTTP interface is served.",
  ),
  AXONIZE_STORES_POSTGRES_LISTEN: Listen.prefault("127.0.0.1:5432").describe(
    "Where PostgreSQL is served.",
  ),
  AXONIZE_STORES_OPS_LISTEN: Listen.prefault("127.0.0.1:8080").describe(
    "Where `/healthz` and `/readyz` (both stores answer) are served.",
  ),
  AXONIZE_STORES_CLICKHOUSE_PASSWORD: Password.describe("Password of ClickHouse's user `axonize`."),
  AXONIZE_STORES_POSTGRES_PASSWORD: Password.describe(
    "Password of PostgreSQL's user `app`, who owns the database `axonize`.",
  ),
  AXONIZE_LOG_LEVEL: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .default("info")
    .describe("Least level that is logged, as JSON lines on standard output."),
});
export type StoresConfig = z.infer<typeof StoresConfig>;
