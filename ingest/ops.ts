/**
 * What a cluster asks of the process itself: `/metrics` for Prometheus, `/healthz` (it runs) and
 * `/readyz` (both stores answer, and it does not stop). On a port of its own, without a key: it tells nothing of tenants.
 */
import { createServer, type ServerResponse } from "node:http";
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Registry } from "@axonize/core/runtime/metrics";
import type { Sql } from "@axonize/core/runtime/postgres";
import { listenOn } from "./receive/listen.ts";

interface OpsDeps {
  registry: Registry;
  clickhouse: ClickHouseClient;
  sql: Sql;
}

const readyBudgetMs = 2_000;

export async function startOps(deps: OpsDeps, listen: { host: string; port: number }) {
  let draining = false;
  const isDraining = (): boolean => draining;
  const server = createServer((request, response) => {
    answer({ ...deps, isDraining }, request.url ?? "/", response).catch((error: unknown) => {
      response.statusCode = 500;
      response.end(`${errorMessage(error)}\n`);
    });
  });
  const address = await listenOn(server, {
    listen,
    purpose: "Ingest's metrics and health",
    variable: "AXONIZE_INGEST_OPS_LISTEN",
  });
  return {
    address,
    /** From now on it is not ready, so that the Service sends nobody here any more. */
    drain: () => {
      draining = true;
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function answer(
  deps: OpsDeps & { isDraining: () => boolean },
  url: string,
  response: ServerResponse,
): Promise<void> {
  if (url === "/metrics") {
    response.setHeader("content-type", deps.registry.contentType);
    response.end(await deps.registry.metrics());
    return;
  }
  if (url === "/healthz") {
    response.end("ok\n");
    return;
  }
  if (url !== "/readyz") {
    response.statusCode = 404;
    response.end("There are /metrics, /healthz and /readyz.\n");
    return;
  }
  if (deps.isDraining()) {
    response.statusCode = 503;
    response.end("This process stops.\n");
    return;
  }
  const late = new Promise<never>((_, reject) => {
    AbortSignal.timeout(readyBudgetMs).addEventListener("abort", () =>
      reject(new Error("a store does not answer in time")),
    );
  });
  try {
    await Promise.race([
      Promise.all([deps.clickhouse.query({ query: "SELECT 1" }), deps.sql`SELECT 1`]),
      late,
    ]);
    response.end("ready\n");
  } catch (error) {
    // Not ready is an answer, not a failure.
    response.statusCode = 503;
    response.end(`${errorMessage(error)}\n`);
  }
}
