/**
 * `/metrics` over TLS for those who may read it (`metrics-access.ts`), where the configuration says so. The
 * certificate is this process's own and proves nothing but that nobody listens in, as controller-runtime's
 * default does; the token that a scraper sends is what is checked.
 */
import { createServer } from "node:https";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { Clock } from "@axonize/core/runtime/clock";
import type { Listen } from "@axonize/core/runtime/config";
import { errorMessage, StartError } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { Registry } from "@axonize/core/runtime/metrics";
import { createMetricsAccess, type Verdict } from "./metrics-access.ts";
import type { Transport } from "./kube/transport.ts";
import { createAuthority, issue } from "./x509/x509.ts";

export interface MetricsServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** No process lives so long. */
const certificateMs = 5 * 365 * 86_400_000;
/** A Prometheus keeps one or two; whoever opens more without a token waits outside. */
const mostConnections = 32;
const requestMs = 10_000;

const words: Readonly<Record<Exclude<Verdict, 200>, string>> = {
  401: "The metrics need a bearer token of this cluster.",
  403: "This account may not get the path /metrics: bind it to the ClusterRole axonize-metrics-reader.",
  429: "Too many unknown tokens; try again in a second.",
  503: "The API server does not answer whether this token may read the metrics.",
};

export async function startMetricsServer(
  deps: {
    registry: Registry;
    /** Moves the gauges that depend on now. */
    observe: () => void;
    transport: Transport;
    clock: Clock;
    log: Log;
  },
  listen: Listen,
): Promise<MetricsServer> {
  const { registry, log } = deps;
  const access = createMetricsAccess(deps);
  const validity = { now: deps.clock.now(), forMs: certificateMs };
  const leaf = { commonName: "axonize-operator-metrics", usages: ["server"] } as const;
  const { cert, key } = issue(
    createAuthority("axonize-operator-metrics", validity),
    leaf,
    validity,
  );
  const server = createServer({ cert, key, minVersion: "TLSv1.2" }, (request, response) => {
    const answer = async (): Promise<void> => {
      if (request.url?.split("?")[0] !== "/metrics") {
        response.writeHead(404).end("There is /metrics.\n");
        return;
      }
      const verdict = await access(request.headers.authorization);
      if (verdict !== 200) {
        response.writeHead(verdict, { "content-type": "text/plain" }).end(`${words[verdict]}\n`);
        return;
      }
      deps.observe();
      const text = await registry.metrics();
      response.writeHead(200, { "content-type": registry.contentType }).end(text);
    };
    answer().catch((error: unknown) => {
      log.error({ event: "metrics.request", err: error });
      response.destroy();
    });
  });
  server.maxConnections = mostConnections;
  server.requestTimeout = requestMs;
  server.headersTimeout = requestMs;
  try {
    server.listen(listen.port, listen.host);
    await once(server, "listening");
  } catch (error) {
    throw new StartError(
      `The operator's metrics cannot be served on ${listen.host}:${listen.port}: ${errorMessage(error)}. Set AXONIZE_OPERATOR_METRICS_LISTEN to another address.`,
      { cause: error },
    );
  }
  return {
    // A server on a port has such an address.
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
