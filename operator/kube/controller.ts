/**
 * A controller: workers that take keys from a queue and hand them to a reconciler.
 *
 * A reconcile has 60 s, then its signal aborts; one that ignores it keeps its key, so that no second run of
 * the key begins, but not its worker. Whatever a reconciler throws ends in a metric, a log line and the
 * queue's backoff, never in the process. A key whose last reconcile wrote something waits until the caches
 * have it: it would decide by what it has just changed.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { isApiError, isConflict, TerminalError } from "./api-error.ts";
import {
  abandonMs,
  leastRequeueMs,
  reconcileMs,
  staleRetryMs,
  unavailableRetryMs,
} from "./limits.ts";
import { initControllerMetrics, type KubeMetrics, type ReconcileOutcome } from "./metrics.ts";
import type { QueueItem, WorkQueue } from "./queue.ts";
import { runInScope } from "./scope.ts";
import type { Reconciler, ReconcileResult } from "./types.ts";
import type { Watermarks } from "./watermarks.ts";

export interface ControllerDeps {
  readonly queue: WorkQueue;
  readonly watermarks: Watermarks;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: KubeMetrics;
}

export interface Controller {
  /** Works until the queue is closed and what was begun is done. `signal` ends what runs. */
  run(options: { readonly epoch: number; readonly signal: AbortSignal }): Promise<void>;
}

export function createController(
  deps: ControllerDeps,
  reconciler: Reconciler,
  options: { workers: number },
): Controller {
  initControllerMetrics(deps.metrics, reconciler.name, options.workers);
  return {
    async run(during) {
      const work = async (): Promise<void> => {
        for (;;) {
          const item = await deps.queue.take();
          if (item === undefined) return;
          await process(deps, reconciler, item, during);
        }
      };
      await Promise.all(Array.from({ length: options.workers }, work));
    },
  };
}

interface During {
  readonly epoch: number;
  readonly signal: AbortSignal;
}

/** Never rejects. Resolves when the worker is free, which is when the reconcile ended or was left alone. */
async function process(
  deps: ControllerDeps,
  reconciler: Reconciler,
  item: QueueItem,
  during: During,
): Promise<void> {
  const { queue, metrics, watermarks, clock, log } = deps;
  const controller = reconciler.name;
  if (!watermarks.isFresh(item.key)) {
    metrics.staleReads.inc({ controller });
    queue.add(item.key, { priority: item.priority, afterMs: staleRetryMs });
    queue.done(item.key);
    return;
  }
  metrics.activeWorkers.inc({ controller });
  const over = new AbortController();
  const finished = reconcileOnce(deps, reconciler, item, during).finally(() => {
    over.abort();
    queue.done(item.key);
    metrics.activeWorkers.dec({ controller });
  });
  const patience = clock.sleep(reconcileMs + abandonMs, over.signal).then(
    () => log.error({ event: "kube.reconcile_abandoned", controller, object: item.key }),
    () => undefined, // it ended in time
  );
  await Promise.race([finished, patience]);
}

async function reconcileOnce(
  deps: ControllerDeps,
  reconciler: Reconciler,
  item: QueueItem,
  during: During,
): Promise<void> {
  const { clock, log, metrics, watermarks } = deps;
  const controller = reconciler.name;
  const startedMs = clock.monotonic();
  const limit = startLimit(deps, controller, during.signal);
  const scope = {
    signal: limit.signal,
    wrote: watermarks.note.bind(undefined, item.key),
  };
  const context = { signal: limit.signal, epoch: during.epoch, priority: item.priority };
  let outcome: ReconcileOutcome;
  try {
    const result = await runInScope(
      scope,
      async () => await reconciler.reconcile(item.key, context),
    );
    outcome = settle(deps, item, result);
  } catch (error) {
    // The process stops or has lost its lease: no failure of this key.
    if (during.signal.aborted) return;
    outcome = fail(deps, controller, item, error);
  } finally {
    limit.stop();
  }
  const ms = clock.monotonic() - startedMs;
  metrics.reconciles.inc({ controller, result: outcome });
  metrics.reconcileSeconds.observe({ controller }, ms / 1000);
  log.debug({ event: "kube.reconcile", controller, object: item.key, outcome, ms: Math.round(ms) });
}

/** Aborts with the process, or when the time of one reconcile is up. */
function startLimit(
  { clock, metrics }: ControllerDeps,
  controller: string,
  outer: AbortSignal,
): { signal: AbortSignal; stop(): void } {
  const inner = new AbortController();
  const timer = new AbortController();
  const abort = (): void => inner.abort(outer.reason);
  if (outer.aborted) abort();
  outer.addEventListener("abort", abort, { once: true });
  const expire = (): void => {
    metrics.timeouts.inc({ controller });
    inner.abort(new Error(`the reconcile took more than ${reconcileMs / 1000} s`));
  };
  // The wait is cut short when the reconcile ends in time.
  clock.sleep(reconcileMs, timer.signal).then(expire, () => undefined);
  return {
    signal: inner.signal,
    stop: () => {
      timer.abort();
      outer.removeEventListener("abort", abort);
    },
  };
}

function settle(
  { queue }: ControllerDeps,
  item: QueueItem,
  result: ReconcileResult,
): ReconcileOutcome {
  if (result === undefined) {
    queue.forget(item.key);
    return "success";
  }
  const { requeueAfterMs } = result;
  // NaN would come again at once, for ever.
  if (!Number.isFinite(requeueAfterMs)) throw new TypeError("requeueAfterMs is not a number");
  queue.forget(item.key);
  queue.add(item.key, { priority: "resync", afterMs: Math.max(requeueAfterMs, leastRequeueMs) });
  return "requeue_after";
}

function fail(
  { queue, metrics, log }: ControllerDeps,
  controller: string,
  item: QueueItem,
  error: unknown,
): ReconcileOutcome {
  if (isConflict(error)) {
    // Somebody wrote in between: what they wrote is on its way into the cache.
    queue.retry(item);
    return "requeue";
  }
  metrics.reconcileErrors.inc({ controller });
  const told = { event: "kube.reconcile_failed", controller, object: item.key };
  if (error instanceof TerminalError) {
    metrics.terminalErrors.inc({ controller });
    queue.forget(item.key);
    log.error({ ...told, terminal: true, reason: error.message });
    return "error";
  }
  const isBug = isProgrammerError(error);
  if (isBug) metrics.panics.inc({ controller });
  const isAway = isUnavailable(error);
  queue.retry(item, {
    ...(isAway ? { mostMs: unavailableRetryMs } : {}),
    ...(isApiError(error) && error.retryAfterMs !== undefined
      ? { leastMs: error.retryAfterMs }
      : {}),
  });
  const reason = errorMessage(error);
  if (isAway) log.warn({ ...told, reason });
  else log.error({ ...told, reason, ...(isBug ? { err: error } : {}) });
  return "error";
}

function isProgrammerError(error: unknown): boolean {
  if (!(error instanceof Error)) return true;
  return (
    error instanceof TypeError ||
    error instanceof RangeError ||
    error instanceof ReferenceError ||
    error.message.startsWith("assertion failed")
  );
}

/** PostgreSQL or the API server is away or refuses for its own reasons: its return changes no object. */
export function isUnavailable(error: unknown): boolean {
  if (isApiError(error)) return error.status === 0 || error.status === 429 || error.status >= 500;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  // Node's sockets, and PostgreSQL's classes 08 (connection), 53 (resources), 57P (shutdown), 25006 (a
  // standby that only reads), 25P03 (it heard nothing of the transaction for too long).
  return /^(E[A-Z]{3,}|08\w{3}|53\w{3}|57P\w{2}|25006|25P03)$/.test(code);
}
