/**
 * This machine: whether it has a driver, and the agent that reads its GPUs inside of this process where it
 * has. Without one nothing is loaded and nothing runs.
 */
import { existsSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Clock } from "@axonize/core/runtime/clock";
import { StartError } from "@axonize/core/runtime/error";
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

/** Throws a StartError where a library is named that is not there: its GPUs were wanted. */
export function machineOf(config: StandaloneConfig): Machine {
  const nvmlLibrary = config.AXONIZE_NVML_LIBRARY;
  const driver = config.AXONIZE_AGENT === "off" ? undefined : driverPath(nvmlLibrary);
  if (driver !== undefined && !existsSync(driver)) {
    throw new StartError(
      `There is no GPU driver's library at ${driver}, which AXONIZE_NVML_LIBRARY names. Give the path of a libnvidia-ml.so.1 (the false driver is made by \`make -C agent/testing/fake-nvml\`), or leave the variable out to use the system's.`,
    );
  }
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
