/**
 * Times and counts of a work queue under the names of client-go's.
 */
import type { Priority, QueueDeps } from "./queue.ts";

export function createMeter({ clock, metrics }: QueueDeps, name: string) {
  const labels = { name, controller: name };
  const queuedMs = new Map<string, number>();
  const startedMs = new Map<string, number>();
  const since = (times: Map<string, number>, key: string): number => {
    const seconds = (clock.monotonic() - (times.get(key) ?? clock.monotonic())) / 1000;
    times.delete(key);
    return seconds;
  };
  return {
    added: () => metrics?.queueAdds.inc(labels),
    retried: () => metrics?.queueRetries.inc(labels),
    queued: (key: string) => queuedMs.set(key, clock.monotonic()),
    started(key: string) {
      metrics?.queueSeconds.observe(labels, since(queuedMs, key));
      startedMs.set(key, clock.monotonic());
    },
    finished: (key: string) => metrics?.workSeconds.observe(labels, since(startedMs, key)),
    depth(ready: { size(priority: Priority): number }) {
      for (const priority of ["change", "resync"] as const) {
        metrics?.queueDepth.set({ ...labels, priority }, ready.size(priority));
      }
    },
    observe() {
      const seconds = [...startedMs.values()].map((ms) => (clock.monotonic() - ms) / 1000);
      const sum = seconds.reduce((total, each) => total + each, 0);
      metrics?.unfinishedSeconds.set(labels, sum);
      metrics?.longestSeconds.set(labels, Math.max(0, ...seconds));
    },
  };
}
