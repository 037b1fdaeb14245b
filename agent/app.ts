/**
 * The agent's composition root: sampling, identity on top of it, and what the node shows of both, over a
 * reporter that somebody else made (the exporter in a cluster and in standalone alike).
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import type { Registry } from "@axonize/core/runtime/metrics";
import type { AgentConfig } from "./config.ts";
import { createIdentity } from "./join/identity.ts";
import { createAgentMetrics } from "./metrics.ts";
import { deviceView, type DeviceView } from "./metrics/device-view.ts";
import { createOtlpExport } from "./metrics/otlp.ts";
import { startMetricsServer } from "./metrics/server.ts";
import type { Reporter } from "./report.ts";
import { createRingForwarder } from "./ring/forwarder.ts";
import { createSamplingMetrics } from "./sampling/metrics.ts";
import { createSampler } from "./sampling/sampler.ts";
import { reportStatus } from "./status.ts";

export interface AgentDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
  readonly reporter: Reporter;
  /** The loaded driver library fits no more and a new one needs a new process. */
  readonly onHopeless: () => void;
}

export interface Agent extends AsyncDisposable {
  /** The devices as they are now, for whoever shows them. */
  view(): DeviceView;
  /** undefined: none is served. */
  readonly metricsPort: number | undefined;
}

export async function createAgent(deps: AgentDeps, config: AgentConfig): Promise<Agent> {
  const { clock, log, registry, reporter, onHopeless } = deps;
  await using opening = new AsyncDisposableStack();
  const metrics = createAgentMetrics(registry);
  const sampler = opening.use(
    createSampler(
      { clock, log, reporter, metrics: createSamplingMetrics(registry), onHopeless },
      { libraryPath: config.nvmlLibrary, procRoot: config.procRoot },
    ),
  );
  const { latest } = sampler;
  const identity = opening.use(
    await createIdentity(
      {
        clock,
        log,
        registry,
        reporter,
        feed: sampler,
        energyOf: (gpuUuid) => latest.device(gpuUuid).value("energyMillijoules"),
      },
      config,
    ),
  );
  const view = (): DeviceView =>
    deviceView(
      {
        seen: () => sampler.devices(),
        latest: (uuid) => latest.device(uuid),
        details: () => sampler.details(),
        lastXid: (uuid) => sampler.lastXid(uuid),
        holders: (uuid) => identity.holders(uuid),
      },
      config.node,
    );
  const server =
    config.metricsListen &&
    opening.use(await startMetricsServer({ registry, view }, config.metricsListen));
  if (config.otlpEndpoint !== undefined) {
    const sent = (outcome: "sent" | "failed"): void => metrics.otlpSends.inc({ outcome });
    const options = { endpoint: config.otlpEndpoint };
    opening.use(createOtlpExport({ clock, log, view, sent }, options));
  }
  const { podResourcesSocket, spanRings } = config;
  if (spanRings) opening.use(createRingForwarder({ clock, log, registry }, spanRings));
  opening.use(reportStatus({ clock, log, reporter, sampler, identity, podResourcesSocket }));
  const closing = opening.move();
  return {
    view,
    metricsPort: server?.port,
    [Symbol.asyncDispose]: async () => await closing.disposeAsync(),
  };
}
