/**
 * What tests of the runtime share: access to a server without credentials, a clock that runs a hundred
 * times as fast, polling with a deadline, and a registry's values.
 */
import { systemClock, type Clock } from "@axonize/core/runtime/clock";
import { silentLog } from "@axonize/core/runtime/log";
import { createRegistry, type Registry } from "@axonize/core/runtime/metrics";
import type { ClusterAccess } from "../access.ts";
import { createKubeMetrics, type KubeMetrics } from "../metrics.ts";
import { createTransport, type Transport } from "../transport.ts";

export const openAccess = (url: string): ClusterAccess => ({
  url,
  namespace: "default",
  credentials: async () => ({ headers: {}, tls: {} }),
});

/** Minutes of silence and back-off pass in a blink. */
export const hurried: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * 100,
  sleep: async (ms, signal) => await systemClock.sleep(ms / 100, signal),
};

export interface Kit {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: typeof silentLog;
  readonly random: () => number;
  readonly metrics: KubeMetrics;
  readonly registry: Registry;
}

export function kitFor(url: string, clock: Clock = systemClock): Kit {
  const registry = createRegistry();
  const metrics = createKubeMetrics(registry);
  const transport = createTransport(
    { access: openAccess(url), clock, metrics },
    { userAgent: "axonize-operator/test" },
  );
  return { transport, clock, log: silentLog, random: () => 0.5, metrics, registry };
}

/** Polls; generous, for the machine may be loaded. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string,
  deadlineMs = 30_000,
): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`never: ${what}`);
    await systemClock.sleep(5);
  }
}

/** Sum of a metric's series that have these labels; undefined: there is none. */
export async function valueOf(
  registry: Registry,
  name: string,
  labels: Record<string, string> = {},
): Promise<number | undefined> {
  const metric = await registry.getSingleMetric(name)?.get();
  const matching = metric?.values.filter((value) =>
    Object.entries(labels).every(
      // prom-client types labels by each metric's own names.
      ([label, wanted]) => (value.labels as Record<string, unknown>)[label] === wanted,
    ),
  );
  if (matching === undefined || matching.length === 0) return undefined;
  return matching.reduce((sum, { value }) => sum + value, 0);
}
