/**
 * The runtime's metrics under the names of controller-runtime and client-go: dashboards and alerts for
 * them exist. Every label set that is known beforehand stands at 0 from the start, so that a rate over a
 * first error is not lost.
 */
import { Counter, Gauge, Histogram, type Registry } from "@axonize/core/runtime/metrics";

export type ReconcileOutcome = "success" | "error" | "requeue" | "requeue_after";
const outcomes: readonly ReconcileOutcome[] = ["success", "error", "requeue", "requeue_after"];

/** controller-runtime's buckets. */
const reconcileSeconds = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1,
  1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
];
/** client-go's: 10 ns × 10ⁿ there; below a millisecond nothing here is worth a bucket. */
const queueSeconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 600];
const restSeconds = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];

export type KubeMetrics = ReturnType<typeof createKubeMetrics>;

export function createKubeMetrics(registry: Registry) {
  const common = { registers: [registry] };
  const controller = { ...common, labelNames: ["controller"] as const };
  return {
    registry,
    ...reconcileMetrics(registry, controller),
    ...queueMetrics(registry),
    ...clientMetrics(registry),
    ...cacheMetrics(registry),
    leaderMaster: new Gauge({
      ...common,
      name: "leader_election_master_status",
      help: "1 while this process holds the lease.",
      labelNames: ["name"] as const,
    }),
    leaderSlowpath: new Counter({
      ...common,
      name: "leader_election_slowpath_total",
      help: "Renewals that had to read the Lease first.",
      labelNames: ["name"] as const,
    }),
  };
}

function reconcileMetrics(
  registry: Registry,
  controller: { registers: Registry[]; labelNames: readonly ["controller"] },
) {
  const name = (suffix: string): string => `controller_runtime_${suffix}`;
  return {
    reconciles: new Counter({
      registers: [registry],
      name: name("reconcile_total"),
      help: "Reconciles by result.",
      labelNames: ["controller", "result"] as const,
    }),
    reconcileErrors: new Counter({
      ...controller,
      name: name("reconcile_errors_total"),
      help: "Reconciles that failed, terminal ones included.",
    }),
    terminalErrors: new Counter({
      ...controller,
      name: name("terminal_reconcile_errors_total"),
      help: "Reconciles that failed in a way no retry heals.",
    }),
    panics: new Counter({
      ...controller,
      name: name("reconcile_panics_total"),
      help: "Reconciles that failed with a bug (TypeError, assertion), not an operating error.",
    }),
    timeouts: new Counter({
      ...controller,
      name: name("reconcile_timeouts_total"),
      help: "Reconciles whose time was up.",
    }),
    reconcileSeconds: new Histogram({
      ...controller,
      name: name("reconcile_time_seconds"),
      help: "Time of a reconcile.",
      buckets: reconcileSeconds,
    }),
    maxConcurrent: new Gauge({
      ...controller,
      name: name("max_concurrent_reconciles"),
      help: "Workers of the controller.",
    }),
    activeWorkers: new Gauge({
      ...controller,
      name: name("active_workers"),
      help: "Workers that reconcile right now.",
    }),
    staleReads: new Counter({
      ...controller,
      name: "axonize_operator_stale_reads_total",
      help: "Reconciles put off because the cache had not yet what the last one wrote.",
    }),
  };
}

function queueMetrics(registry: Registry) {
  const labels = { registers: [registry], labelNames: ["name", "controller"] as const };
  return {
    queueDepth: new Gauge({
      registers: [registry],
      name: "workqueue_depth",
      help: "Keys that wait.",
      labelNames: ["name", "controller", "priority"] as const,
    }),
    queueAdds: new Counter({
      ...labels,
      name: "workqueue_adds_total",
      help: "Keys that were asked for, duplicates not counted.",
    }),
    queueSeconds: new Histogram({
      ...labels,
      name: "workqueue_queue_duration_seconds",
      help: "Time that a key waited.",
      buckets: queueSeconds,
    }),
    workSeconds: new Histogram({
      ...labels,
      name: "workqueue_work_duration_seconds",
      help: "Time that a key was worked on.",
      buckets: queueSeconds,
    }),
    unfinishedSeconds: new Gauge({
      ...labels,
      name: "workqueue_unfinished_work_seconds",
      help: "Sum of the times of reconciles that are not finished.",
    }),
    longestSeconds: new Gauge({
      ...labels,
      name: "workqueue_longest_running_processor_seconds",
      help: "Time of the longest reconcile that is not finished.",
    }),
    queueRetries: new Counter({
      ...labels,
      name: "workqueue_retries_total",
      help: "Keys put back after a failure.",
    }),
  };
}

function clientMetrics(registry: Registry) {
  const common = { registers: [registry] };
  return {
    requests: new Counter({
      ...common,
      name: "rest_client_requests_total",
      help: "Requests to the API server; code <error> without an answer.",
      labelNames: ["code", "method", "host"] as const,
    }),
    requestSeconds: new Histogram({
      ...common,
      name: "rest_client_request_duration_seconds",
      help: "Time to the answer's head.",
      labelNames: ["verb", "host"] as const,
      buckets: restSeconds,
    }),
    throttled: new Counter({
      ...common,
      name: "axonize_operator_client_throttled_total",
      help: "Requests that waited for the client's own rate or the server's Retry-After.",
    }),
    statusWrites: new Counter({
      ...common,
      name: "axonize_operator_status_update_operations_total",
      help: "Status writes; unchanged ones are not sent.",
      labelNames: ["controller", "result"] as const,
    }),
    statusErrors: new Counter({
      ...common,
      name: "axonize_operator_status_update_errors_total",
      help: "Status writes that the API server refused.",
      labelNames: ["controller"] as const,
    }),
    eventsDropped: new Counter({
      ...common,
      name: "axonize_operator_events_dropped_total",
      help: "Events that were not sent.",
      labelNames: ["reason"] as const,
    }),
  };
}

function cacheMetrics(registry: Registry) {
  const common = { registers: [registry] };
  return {
    watchFailures: new Counter({
      ...common,
      name: "axonize_operator_watch_operations_failed_total",
      help: "Watches that ended with an error, by kind.",
      labelNames: ["kind"] as const,
    }),
    listFailures: new Counter({
      ...common,
      name: "axonize_operator_list_operations_failed_total",
      help: "Lists that failed, by kind.",
      labelNames: ["kind"] as const,
    }),
    lists: new Counter({
      ...common,
      name: "axonize_operator_list_operations_total",
      help: "Full lists for a cache, by kind.",
      labelNames: ["kind"] as const,
    }),
    watches: new Counter({
      ...common,
      name: "axonize_operator_watch_operations_total",
      help: "Watches opened, by kind.",
      labelNames: ["kind"] as const,
    }),
    divergence: new Counter({
      ...common,
      name: "axonize_operator_cache_divergence_total",
      help: "Objects in which a cache was not what the server has. Must stay 0.",
      labelNames: ["kind"] as const,
    }),
    cachedObjects: new Gauge({
      ...common,
      name: "axonize_operator_cached_objects",
      help: "Objects in a cache, by kind.",
      labelNames: ["kind"] as const,
    }),
    handlerErrors: new Counter({
      ...common,
      name: "axonize_operator_event_handler_errors_total",
      help: "Event handlers that threw, by kind.",
      labelNames: ["kind"] as const,
    }),
  };
}

/** Sets what a controller will count to 0. */
export function initControllerMetrics(
  metrics: KubeMetrics,
  controller: string,
  workers: number,
): void {
  const labels = { controller };
  for (const result of outcomes) metrics.reconciles.inc({ ...labels, result }, 0);
  for (const counter of [
    metrics.reconcileErrors,
    metrics.terminalErrors,
    metrics.panics,
    metrics.timeouts,
    metrics.staleReads,
    metrics.statusErrors,
  ]) {
    counter.inc(labels, 0);
  }
  for (const result of ["written", "unchanged"]) metrics.statusWrites.inc({ ...labels, result }, 0);
  metrics.reconcileSeconds.zero(labels);
  metrics.maxConcurrent.set(labels, workers);
  metrics.activeWorkers.set(labels, 0);
  const queue = { name: controller, controller };
  for (const priority of ["change", "resync"]) metrics.queueDepth.set({ ...queue, priority }, 0);
  metrics.queueAdds.inc(queue, 0);
  metrics.queueRetries.inc(queue, 0);
  metrics.unfinishedSeconds.set(queue, 0);
  metrics.longestSeconds.set(queue, 0);
  metrics.queueSeconds.zero(queue);
  metrics.workSeconds.zero(queue);
}

/** The same for a cache. */
export function initCacheMetrics(metrics: KubeMetrics, kind: string): void {
  for (const counter of [
    metrics.watchFailures,
    metrics.listFailures,
    metrics.lists,
    metrics.watches,
    metrics.divergence,
    metrics.handlerErrors,
  ]) {
    counter.inc({ kind }, 0);
  }
  metrics.cachedObjects.set({ kind }, 0);
}
