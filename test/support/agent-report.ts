/**
 * An agent's exporter against a test's ingest, and made-up devices, samples and identity for it.
 */
import { systemClock } from "@axonize/core/runtime/clock";
import { silentLog } from "@axonize/core/runtime/log";
import { createRegistry, type Registry } from "@axonize/core/runtime/metrics";
import {
  createExporter,
  type Exporter,
  type ExporterOptions,
} from "../../agent/export/exporter.ts";
import { defaultPoolConfig } from "../../agent/pool-config.ts";
import type { DeviceFacts, IdentityChange, Sample } from "../../agent/report.ts";
import { adminKey } from "../../ingest/testing/start-ingest.ts";

export interface TestExporter extends AsyncDisposable {
  exporter: Exporter;
  registry: Registry;
}

export async function startExporter(
  port: number,
  options: Partial<ExporterOptions> = {},
): Promise<TestExporter> {
  const registry = createRegistry();
  const exporter = await createExporter(
    { clock: systemClock, log: silentLog, registry, random: Math.random },
    {
      endpoint: `127.0.0.1:${port}`,
      node: "node-a",
      cluster: "",
      version: "test",
      credential: async () => await Promise.resolve(adminKey),
      spoolDirectory: undefined,
      config: { ...defaultPoolConfig, reportPeriodMs: 100 },
      ...options,
    },
  );
  return {
    exporter,
    registry,
    [Symbol.asyncDispose]: async () => await exporter[Symbol.asyncDispose](),
  };
}

export const gpu = (number: number): string =>
  `GPU-00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;

export const gpuFacts = (number: number): DeviceFacts => ({
  uuid: gpu(number),
  gpuUuid: gpu(number),
  kind: "whole",
  model: "NVIDIA H100 80GB HBM3",
  driverVersion: "580.82.07",
  index: number,
  migProfile: "",
});

export const gpuSample = (number: number, atMs: number, values: Sample["values"]): Sample => ({
  atMs,
  deviceUuid: gpu(number),
  gpuUuid: gpu(number),
  values,
});

/** Pod `pod` was given the device, from then on. */
export function allocationOf(
  deviceUuid: string,
  pod: string,
  fromMs: number,
  end?: { toMs: number; reason: string },
): IdentityChange {
  return {
    layer: "allocation",
    key: `team-a/${pod}/main/${deviceUuid}`,
    validFromMs: fromMs,
    validToMs: end?.toMs,
    closeReason: end?.reason,
    value: {
      namespace: "team-a",
      pod,
      container: "main",
      podUid: `uid-of-${pod}`,
      resourceName: "nvidia.com/gpu",
      resourceId: `${deviceUuid}@1`,
      resourceUuid: deviceUuid,
      replica: undefined,
      stale: false,
    },
  };
}

/** What ordinal `ordinal` means to the pod's process `ownPid`, which the host knows by another pid. */
export function bindingOf(
  pod: string,
  of: { ownPid: number; ordinal: number },
  said: Pick<
    Extract<IdentityChange, { layer: "ordinal" }>["value"],
    "level" | "resourceUuids" | "candidates" | "reason"
  >,
  fromMs: number,
): IdentityChange {
  const pid = 10_000 + of.ownPid;
  return {
    layer: "ordinal",
    key: `team-a/${pod}/main/${pid}/${of.ordinal}`,
    validFromMs: fromMs,
    validToMs: undefined,
    closeReason: undefined,
    value: {
      owner: { namespace: "team-a", pod, container: "main" },
      podUid: `uid-of-${pod}`,
      containerId: undefined,
      process: { bootId: "boot", pid, startTime: 1, ownPid: of.ownPid },
      ordinal: of.ordinal,
      resourceIds: said.resourceUuids.map((uuid) => `${uuid}@1`),
      warnings: [],
      evidence: [],
      ...said,
    },
  };
}
