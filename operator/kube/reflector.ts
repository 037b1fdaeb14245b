/**
 * List, then watch from there, for ever: mirrors one kind into a sink.
 *
 * The version moves with every event and bookmark, and a watch that ends, breaks or falls silent goes on
 * from it. `410 Gone`, as an answer or as an event, is the one case for a new list; any other error keeps
 * the version and waits, 0.8 s to 30 s, or as long as the server says. A server that ends watches at once
 * meets a token bucket. Nothing here ends but by the signal, which is looked at after every wait.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { ApiError, isApiError, isExpired } from "./api-error.ts";
import { listPages, metadataOne } from "./client.ts";
import { apiVersionOf, collectionPath } from "./kinds.ts";
import { reconnects, reflectorBackoffMs, watchSeconds, watchSilenceMs } from "./limits.ts";
import type { KubeMetrics } from "./metrics.ts";
import { createRateBucket } from "./rate-bucket.ts";
import { statusError, type Transport } from "./transport.ts";
import type { KubeObject, ListOptions, ResourceKind } from "./types.ts";
import { compareVersions } from "./versions.ts";
import { watchLines } from "./watch-stream.ts";

export interface ReflectorSink {
  /** All there is; what was known before and is not among it is gone. */
  replace(items: readonly KubeObject[], resourceVersion: string): void;
  changed(object: KubeObject): void;
  deleted(object: KubeObject): void;
  /** Everything up to this version was told. */
  reached(resourceVersion: string): void;
  /** undefined: all is well. */
  trouble(reason: string | undefined): void;
}

export interface ReflectorDeps {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  /** 0–1. */
  readonly random: () => number;
  readonly metrics: KubeMetrics;
}

export interface ReflectorOptions extends ListOptions {
  readonly kind: ResourceKind;
  readonly sink: ReflectorSink;
}

export interface Reflector {
  /** Runs until the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** Lists anew, as after a 410. */
  relist(): void;
}

interface State {
  version: string | undefined;
  failures: number;
  /** Ends the watch that is open. */
  current: AbortController | undefined;
}

export function createReflector(deps: ReflectorDeps, options: ReflectorOptions): Reflector {
  const { clock, metrics, log } = deps;
  const kind = options.kind.plural;
  const state: State = { version: undefined, failures: 0, current: undefined };
  const bucket = createRateBucket({ clock }, reconnects);

  const failed = async (error: unknown, isList: boolean, signal: AbortSignal): Promise<void> => {
    const reason = errorMessage(error);
    metrics[isList ? "listFailures" : "watchFailures"].inc({ kind });
    options.sink.trouble(reason);
    state.failures += 1;
    const { least, most } = reflectorBackoffMs;
    const backoffMs = Math.min(least * 2 ** Math.min(state.failures - 1, 10), most);
    const askedMs = isApiError(error) ? (error.retryAfterMs ?? 0) : 0;
    const waitMs = Math.max(backoffMs * (0.75 + deps.random() / 2), askedMs);
    log.warn({ event: "kube.reflector", kind, op: isList ? "list" : "watch", reason, waitMs });
    await clock.sleep(waitMs, signal);
  };

  /** One list or one watch. */
  const step = async (signal: AbortSignal): Promise<void> => {
    const isList = state.version === undefined;
    try {
      await bucket.take(signal);
      if (isList) await list(deps, options, state, signal);
      else await watch(deps, options, state, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (isExpired(error) && !isList) {
        log.info({ event: "kube.expired", kind, version: state.version });
        state.version = undefined;
        return;
      }
      await failed(error, isList, signal);
    }
  };
  return {
    async run(signal) {
      while (!signal.aborted) {
        try {
          await step(signal);
        } catch (error) {
          // Only the wait of a failure throws past `step`, and only when the signal aborts.
          if (!signal.aborted) log.error({ event: "kube.reflector", kind, err: error });
        }
      }
    },
    relist() {
      state.version = undefined;
      state.current?.abort(new Error("a new list was asked for"));
    },
  };
}

async function list(
  deps: ReflectorDeps,
  options: ReflectorOptions,
  state: State,
  signal: AbortSignal,
): Promise<void> {
  const { sink, kind } = options;
  const collect = async (unpaged: boolean): Promise<[KubeObject[], string]> => {
    const items: KubeObject[] = [];
    let version = "";
    for await (const page of listPages(deps.transport, kind, { ...options, unpaged }, signal)) {
      for (const item of page.items) items.push(stripped(item));
      version = page.resourceVersion;
      signal.throwIfAborted();
    }
    return [items, version];
  };
  deps.metrics.lists.inc({ kind: kind.plural });
  const [items, version] = await collect(false).catch(async (error: unknown) => {
    // The list's own snapshot was compacted between two pages: all at once, then.
    if (isExpired(error)) return await collect(true);
    throw error;
  });
  signal.throwIfAborted();
  state.version = version;
  state.failures = 0;
  sink.replace(items, version);
  sink.trouble(undefined);
}

async function watch(
  deps: ReflectorDeps,
  options: ReflectorOptions,
  state: State,
  signal: AbortSignal,
): Promise<void> {
  const { sink, kind } = options;
  const spread = ({ least, most }: { least: number; most: number }): number =>
    Math.round(least + deps.random() * (most - least));
  const type = { apiVersion: apiVersionOf(kind), kind: kind.kind };
  deps.metrics.watches.inc({ kind: kind.plural });
  const current = new AbortController();
  state.current = current;
  const stop = (): void => current.abort(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  try {
    const body = await deps.transport.stream({
      method: "GET",
      path: collectionPath(kind, options.namespace),
      query: {
        watch: "true",
        allowWatchBookmarks: "true",
        resourceVersion: state.version,
        timeoutSeconds: String(spread(watchSeconds)),
        labelSelector: options.labelSelector,
        fieldSelector: options.fieldSelector,
      },
      ...(options.metadataOnly === true ? { accept: metadataOne } : {}),
      signal: current.signal,
    });
    sink.trouble(undefined);
    for await (const line of watchLines(deps, body, spread(watchSilenceMs))) {
      if (current.signal.aborted) return;
      if (line.type === "ERROR") throw statusError(line.object.code ?? 500, line.object);
      if (line.type === "DELETED") sink.deleted(stripped({ ...line.object, ...type }));
      else if (line.type !== "BOOKMARK") sink.changed(stripped({ ...line.object, ...type }));
      const version = line.object.metadata.resourceVersion;
      if (version !== undefined) {
        if (compareVersions(version, state.version ?? version) < 0) throw restored(version);
        state.version = version;
        sink.reached(version);
      }
      // Only a word counts: a server that takes watches and ends them is no better.
      state.failures = 0;
    }
  } catch (error) {
    // Asked to list anew: no failure.
    if (!current.signal.aborted || signal.aborted) throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    state.current = undefined;
  }
}

/** Versions never go back but when somebody restored etcd: what is cached is of another history. */
const restored = (version: string): ApiError =>
  new ApiError(`the server's version went back to ${version}`, { status: 410, reason: "Expired" });

/** Half of an object's bytes is who wrote which field; nobody here asks. */
function stripped(object: KubeObject): KubeObject {
  const metadata = { ...object.metadata } as Record<string, unknown>; // to drop what the type lacks
  delete metadata["managedFields"];
  return { ...object, metadata: metadata as unknown as KubeObject["metadata"] };
}
