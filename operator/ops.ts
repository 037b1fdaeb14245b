/**
 * What a cluster asks of the process itself, leader or not: `/metrics`, `/healthz` (the event loop turns) and
 * `/readyz` (caches are filled; what is degraded is told all the same). It never asks PostgreSQL: an
 * operator that is restarted because its store is away helps nobody.
 */
import { createServer, type Server, type ServerResponse } from "node:http";
import type { Listen } from "@axonize/core/runtime/config";
import { errorMessage, StartError } from "@axonize/core/runtime/error";
import type { Registry } from "@axonize/core/runtime/metrics";

export interface Health {
  /** Why it is not ready; empty: it is. */
  problems(): string[];
  /** What works in a worse way. */
  warnings(): string[];
  isLeading(): boolean;
  /** Moves the gauges that depend on now. */
  observe(): void;
}

export interface Ops {
  readonly address: { readonly host: string; readonly port: number };
  stop(): Promise<void>;
}

export async function startOps(
  /** Without a registry the metrics are elsewhere (`metrics-server.ts`). */
  deps: { registry?: Registry; health: Health },
  listen: Listen,
): Promise<Ops> {
  const server = createServer((request, response) => {
    answer(deps, request.url?.split("?")[0] ?? "/", response).catch((error: unknown) => {
      response.statusCode = 500;
      response.end(`${errorMessage(error)}\n`);
    });
  });
  await listenOn(server, listen);
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : listen.port;
  return {
    address: { host: listen.host, port },
    stop: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function answer(
  { registry, health }: { registry?: Registry; health: Health },
  path: string,
  response: ServerResponse,
): Promise<void> {
  if (path === "/metrics" && registry !== undefined) {
    health.observe();
    response.setHeader("content-type", registry.contentType);
    response.end(await registry.metrics());
  } else if (path === "/healthz") {
    response.end("ok\n");
  } else if (path === "/readyz") {
    const problems = health.problems();
    if (problems.length > 0) response.statusCode = 503;
    const role = health.isLeading() ? "leading" : "standing by";
    const lines = [
      problems.length === 0 ? `ready, ${role}` : "not ready",
      ...problems,
      ...health.warnings().map((warning) => `warning: ${warning}`),
    ];
    response.end(`${lines.join("\n")}\n`);
  } else {
    response.statusCode = 404;
    const metrics = registry === undefined ? "" : "/metrics, ";
    response.end(`There are ${metrics}/healthz and /readyz.\n`);
  }
}

async function listenOn(server: Server, { host, port }: Listen): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port }, () => {
        server.off("error", reject);
        resolve();
      });
    });
  } catch (error) {
    throw new StartError(
      `The operator's metrics and health cannot be served on ${host}:${port}: ${errorMessage(error)}. Set AXONIZE_OPERATOR_OPS_LISTEN to another address.`,
      { cause: error },
    );
  }
}
