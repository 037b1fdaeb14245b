/**
 * What the node tells whoever asks it: `/metrics` for Prometheus (the devices under dcgm-exporter's names,
 * the agent's own beside them) and `/healthz`. No key: it tells of devices and of the names of pods.
 */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { errorMessage, StartError } from "@axonize/core/runtime/error";
import type { Registry } from "@axonize/core/runtime/metrics";
import { dcgmText } from "./dcgm.ts";
import type { DeviceView } from "./device-view.ts";
import { metricsConnections, metricsRequestMs } from "./limits.ts";

export interface MetricsServer extends AsyncDisposable {
  readonly port: number;
}

export async function startMetricsServer(
  deps: { readonly registry: Registry; readonly view: () => DeviceView },
  listen: { readonly host: string; readonly port: number },
): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    answer(deps, request.url ?? "/", response).catch((error: unknown) => {
      response.statusCode = 500;
      response.end(`${errorMessage(error)}\n`);
    });
  });
  server.maxConnections = metricsConnections;
  server.requestTimeout = metricsRequestMs;
  server.headersTimeout = metricsRequestMs;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const where = `${listen.host}:${listen.port}`;
      reject(
        new StartError(
          `The agent cannot serve its metrics on ${where}: ${error.message}. ` +
            "Set AXONIZE_AGENT_METRICS_LISTEN to a free host:port (dcgm-exporter uses 9400, too).",
          { cause: error },
        ),
      );
    });
    server.listen(listen.port, listen.host, resolve);
  });
  return {
    // Safe: it listens on a port, not on a path.
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function answer(
  { registry, view }: { readonly registry: Registry; readonly view: () => DeviceView },
  url: string,
  response: ServerResponse,
): Promise<void> {
  if (url === "/metrics") {
    const own = await registry.metrics();
    response.setHeader("content-type", registry.contentType);
    response.end(`${dcgmText(view())}${own}`);
    return;
  }
  if (url === "/healthz") {
    response.end("ok\n");
    return;
  }
  response.statusCode = 404;
  response.end("There are /metrics and /healthz.\n");
}
