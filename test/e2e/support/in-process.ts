/**
 * Ingest and the dashboard's API in this process over the test run's stores, on free ports: the whole
 * path of a span without the ten seconds that a start takes.
 */
import { randomUUID } from "node:crypto";
import { createAccess } from "@axonize/core/runtime/access";
import { systemClock } from "@axonize/core/runtime/clock";
import { silentLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { createDashboard } from "../../../dashboard/api/app.ts";
import { createIngest } from "../../../ingest/app.ts";
import { useStores } from "../../support/stores.ts";

export interface InProcess extends AsyncDisposable {
  api: string;
  otlpHttp: string;
  /** host:port */
  otlpGrpc: string;
  /** Lets an agent's stream in. */
  agentSecret: string;
}

export async function openAxonize(): Promise<InProcess> {
  await using opening = new AsyncDisposableStack();
  const { clickhouse, sql } = await useStores();
  const registry = createRegistry();
  const base = { clickhouse, sql, clock: systemClock, log: silentLog, registry };
  const access = opening.use(
    await createAccess(base, { adminKey: undefined, loopbackTenant: "default" }),
  );
  const deps = { ...base, access };
  const agentSecret = randomUUID();
  const listen = { host: "127.0.0.1", port: 0 };
  const ingest = opening.use(
    await createIngest(deps, {
      grpcListen: listen,
      httpListen: listen,
      keylessLoopback: true,
      version: "0.0.0",
      instance: "test",
      agents: { processSecret: agentSecret },
    }),
  );
  const otlpGrpc = `127.0.0.1:${ingest.grpcAddress.port}`;
  const otlpHttp = `http://127.0.0.1:${ingest.httpAddress.port}`;
  const dashboard = opening.use(
    await createDashboard(deps, {
      listen,
      mode: "standalone",
      keylessLoopback: true,
      otlpGrpcEndpoint: otlpGrpc,
      otlpHttpEndpoint: otlpHttp,
      webRoot: undefined,
      version: "0.0.0",
      validateResponses: true,
    }),
  );
  const running = opening.move();
  return {
    api: `http://127.0.0.1:${dashboard.address.port}`,
    otlpHttp,
    otlpGrpc,
    agentSecret,
    [Symbol.asyncDispose]: async () => await running.disposeAsync(),
  };
}
