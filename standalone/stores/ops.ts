/**
 * What the kubelet asks: `/healthz` (the process runs) and `/readyz` (both stores answer, and it does
 * not stop). Without a key: it tells nothing of the data.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Sql } from "@axonize/core/runtime/postgres";
import { readyBudgetMs } from "./limits.ts";

interface Stores {
  clickhouse: ClickHouseClient;
  sql: Sql;
}

export async function startOps(stores: Stores, listen: { host: string; port: number }) {
  let draining = false;
  const server = createServer((request, response) => {
    const path = request.url ?? "/";
    if (path === "/healthz") {
      response.end("ok\n");
      return;
    }
    if (path !== "/readyz") {
      response.statusCode = 404;
      response.end("There are /healthz and /readyz.\n");
      return;
    }
    const ready = draining ? Promise.reject(new Error("stopping")) : askBoth(stores);
    ready.then(
      () => response.end("ready\n"),
      (error: unknown) => {
        response.statusCode = 503;
        response.end(`${errorMessage(error)}\n`);
      },
    );
  });
  server.listen(listen.port, listen.host);
  await once(server, "listening");
  // A server that listens on host and port has an AddressInfo; text is for pipes.
  const address = server.address() as AddressInfo;
  return {
    address: { host: address.address, port: address.port },
    /** From now on the answer is "not ready". */
    drain: () => {
      draining = true;
    },
    stop: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function askBoth(stores: Stores): Promise<void> {
  const late = AbortSignal.timeout(readyBudgetMs);
  const timeout = once(late, "abort").then(() => {
    throw new Error("a store does not answer in time");
  });
  await Promise.race([
    Promise.all([
      stores.clickhouse
        .query({ query: "SELECT 1", format: "JSONEachRow", abort_signal: late })
        .then(async (answer) => await answer.text()),
      stores.sql`SELECT 1`,
    ]),
    timeout,
  ]);
}
