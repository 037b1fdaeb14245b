/**
 * The agent inside another process (standalone): the same sampling, identity, spool and stream, over
 * loopback to the ingest beside it, with a secret that this process made.
 *
 * It also finds the process behind a loopback connection, which is how spans of a host without Kubernetes
 * are joined. Without a driver nothing of it runs; `driverPath` says so beforehand and loads nothing.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import type { Registry } from "@axonize/core/runtime/metrics";
import { createAgent } from "../app.ts";
import { createExporter } from "../export/exporter.ts";
import { defaultPoolConfig } from "../pool-config.ts";
import { createPeerResolver } from "../proc/peer.ts";

export interface InsideAgentDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
}

export interface InsideAgentOptions {
  readonly node: string;
  readonly version: string;
  /** Of the ingest beside us. */
  readonly endpoint: string;
  readonly secret: string;
  readonly nvmlLibrary: string | undefined;
  readonly podResourcesSocket: string;
  readonly procRoot: string;
  /** Folder of the spool and of identity's open intervals. */
  readonly stateDir: string;
}

export async function createInsideAgent(
  deps: InsideAgentDeps,
  options: InsideAgentOptions,
): Promise<AsyncDisposable> {
  const { log } = deps;
  const { node, version, endpoint, secret, stateDir } = options;
  await using opening = new AsyncDisposableStack();
  const reporter = opening.use(
    await createExporter(
      { ...deps, random: Math.random },
      {
        endpoint,
        node,
        version,
        cluster: "",
        credential: async () => await Promise.resolve(secret),
        spoolDirectory: join(stateDir, "spool"),
        config: defaultPoolConfig,
      },
    ),
  );
  const onHopeless = (): void =>
    log.error(
      { event: "agent.hopeless" },
      "the driver's library was replaced; GPUs are read again after a restart",
    );
  opening.use(
    await createAgent(
      { ...deps, reporter, onHopeless },
      {
        node,
        version,
        cluster: "",
        stateDir,
        nvmlLibrary: options.nvmlLibrary,
        podResourcesSocket: options.podResourcesSocket,
        procRoot: options.procRoot,
        metricsListen: undefined,
        otlpEndpoint: undefined,
        spanRings: undefined,
        kube: undefined,
        resourceNames: [],
      },
    ),
  );
  const closing = opening.move();
  return { [Symbol.asyncDispose]: async () => await closing.disposeAsync() };
}

/** Finds who sends over loopback, as ingest asks for it. */
export function createFindPeer(
  deps: { clock: Clock },
  options: { node: string; procRoot: string },
): (
  ownPort: number,
  peerPort: number,
) => Promise<{ node: string; pid: number; podUid: string; containerId: string } | undefined> {
  const resolve = createPeerResolver(deps, { procRoot: options.procRoot });
  return async (ownPort, peerPort) => {
    const peer = await resolve(ownPort, peerPort);
    if (peer === undefined) return undefined;
    const { pid, podUid = "", containerId = "" } = peer;
    return { node: options.node, pid, podUid, containerId };
  };
}

/** Where distributions, container runtimes, the GPU Operator and WSL put the driver's library. */
const libraryPlaces = [
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/lib64",
  "/usr/lib",
  "/run/nvidia/driver/usr/lib/x86_64-linux-gnu",
  "/run/nvidia/driver/usr/lib/aarch64-linux-gnu",
  "/usr/local/nvidia/lib64",
  "/usr/lib/wsl/lib",
];

/** The library that would be loaded, or undefined: this machine has no driver. */
export function driverPath(named: string | undefined): string | undefined {
  if (named !== undefined) return named;
  return libraryPlaces
    .map((place) => join(place, "libnvidia-ml.so.1"))
    .find((path) => existsSync(path));
}
