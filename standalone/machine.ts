/**
 * This machine: whether it has a driver, and the agent that reads its GPUs inside of this process where it
 * has. Without one nothing is loaded and nothing runs.
 */
import { hostname } from "node:os";
import { join } from "node:path";
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import type { Registry } from "@axonize/core/runtime/metrics";
import { createFindPeer, createInsideAgent, driverPath } from "../agent/inside/app.ts";
import type { Address } from "./banner.ts";
import type { StandaloneConfig } from "./config.ts";
import { addressOf } from "./ports.ts";

export interface Machine {
  /** The driver's library; undefined: there is none, or it is not wanted. */
  readonly driver: string | undefined;
  /** For ingest: who is behind a loopback connection. */
  findPeer(deps: { clock: Clock }): ReturnType<typeof createFindPeer> | undefined;
  startAgent(
    deps: { clock: Clock; log: Log; registry: Registry },
    options: { version: string; dataDir: string; grpcAddress: Address; processSecret: string },
  ): Promise<AsyncDisposable | undefined>;
}

export function machineOf(config: StandaloneConfig): Machine {
  const nvmlLibrary = config.AXONIZE_NVML_LIBRARY;
  const driver = config.AXONIZE_AGENT === "off" ? undefined : driverPath(nvmlLibrary);
  const node = config.AXONIZE_NODE_NAME ?? hostname();
  const procRoot = config.AXONIZE_AGENT_PROC_ROOT;
  return {
    driver,
    findPeer: (deps) =>
      driver === undefined ? undefined : createFindPeer(deps, { node, procRoot }),
    startAgent: async (deps, { version, dataDir, grpcAddress, processSecret }) =>
      driver === undefined
        ? undefined
        : await createInsideAgent(deps, {
            node,
            version,
            procRoot,
            nvmlLibrary,
            endpoint: addressOf(overLoopback(grpcAddress)),
            secret: processSecret,
            podResourcesSocket: config.AXONIZE_POD_RESOURCES_SOCKET,
            stateDir: join(dataDir, "agent"),
          }),
  };
}

/** A listener on all addresses is reached over loopback. */
const overLoopback = ({ host, port }: Address): Address => ({
  host: /^(0\.0\.0\.0|::)$/.test(host) ? "127.0.0.1" : host,
  port,
});
