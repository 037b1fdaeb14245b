/**
 * First steps: where to send, what has arrived, and a live stream of new requests.
 */
import type { Express } from "express";
import { startEventsPath } from "@axonize/core/contract/routes";
import type { Access, TenantAccess } from "@axonize/core/runtime/access";
import type { Clock } from "@axonize/core/runtime/clock";
import { AxonizeError, errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { authenticate, authorize } from "../caller.ts";
import { seesAllDevices } from "../gpus/sight.ts";
import * as limits from "../limits.ts";
import type { Login } from "../login/login.ts";
import type { Metrics } from "../metrics.ts";
import { signalOf, type Handlers } from "../mount.ts";
import { readFleetUse } from "../queries/devices.sql.ts";
import type { Queries } from "../queries/query.ts";
import { readFirstSpan, readNewTraces } from "../queries/start.sql.ts";
import { rfc3339FromNs } from "../time-text.ts";

/** GPUs that reported within this time count as seen. */
const gpuSeenMs = 86_400_000;

export function createStartHandlers(
  deps: { queries: Queries },
  config: {
    mode: "standalone" | "cluster";
    keylessLoopback: boolean;
    otlpGrpcEndpoint: string;
    otlpHttpEndpoint: string;
  },
): Pick<Handlers, "getStart"> {
  return {
    getStart: async (_input, context) => {
      const tenant = context.tenant();
      const { signal, nowMs } = context;
      const [first, fleet] = await Promise.all([
        readFirstSpan(deps.queries, { tenant, signal, fromMs: 0, toMs: nowMs + 86_400_000 }),
        seesAllDevices(context, config.mode)
          ? readFleetUse(deps.queries, {
              devices: "all",
              signal,
              fromMs: nowMs - gpuSeenMs,
              toMs: nowMs + 60_000,
            })
          : null,
      ]);
      return {
        otlpGrpcEndpoint: config.otlpGrpcEndpoint,
        otlpHttpEndpoint: config.otlpHttpEndpoint,
        apiEndpoint: `${context.request.protocol}://${context.request.get("host") ?? "localhost"}`,
        keyNeeded: context.grant?.keyId !== undefined || context.grant?.admin === true,
        capture: tenant.capture,
        firstSpanAt: first === undefined ? null : rfc3339FromNs(first.startNs),
        firstTraceId: first?.traceId ?? null,
        gpuSeen: fleet !== null,
      };
    },
  };
}

/** Spans that start this long ago (or ahead, with skewed clocks) are still news when they arrive. */
const newsMs = 15 * 60_000;
/** A span is received before it can be read: look back this far, and tell each trace once. */
const overlapMs = 10_000;
/** Told traces that are remembered: 15 minutes of 20 per second. */
const toldTraces = 18_000;

/** Server-sent events: one `span` event per newly visible request, with its TraceRow. */
export function mountStartEvents(
  app: Express,
  deps: {
    queries: Queries;
    access: Access;
    login?: Login | undefined;
    clock: Clock;
    log: Log;
    metrics: Metrics;
    /** Aborts when the process stops. */
    signal: AbortSignal;
  },
  config: { keylessLoopback: boolean },
): void {
  let open = 0;
  const identify = (request: Parameters<typeof authenticate>[0]): TenantAccess | undefined =>
    authorize(authenticate(request, { ...deps, keylessLoopback: config.keylessLoopback }), "query")
      .tenant;

  app.get(startEventsPath, async (request, response) => {
    response.locals["route"] = "startEvents";
    identify(request);
    if (open >= limits.eventStreams) {
      deps.metrics.refused.inc({ reason: "eventStreams" });
      throw new AxonizeError("too-many-requests", "Too many live views are open just now.", {
        retryAfterSeconds: 10,
      });
    }
    open += 1;
    deps.metrics.eventStreams.inc();
    const signal = AbortSignal.any([signalOf(response), deps.signal]);
    response.status(200).set({
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    });
    response.write("retry: 2000\n\n");
    try {
      await follow({
        ...deps,
        signal,
        // Asked anew each time: a revoked key ends the stream.
        identify: () => identify(request),
        write: (text) => response.write(text),
      });
    } finally {
      open -= 1;
      deps.metrics.eventStreams.dec();
      response.end();
    }
  });
}

async function follow(stream: {
  queries: Queries;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
  identify: () => TenantAccess | undefined;
  write: (text: string) => void;
}): Promise<void> {
  const { clock, signal } = stream;
  const told = new Set<string>();
  let sinceMs = clock.now();
  while (!signal.aborted) {
    try {
      const tenant = stream.identify();
      if (tenant === undefined) return;
      const nowMs = clock.now();
      const scope = { tenant, signal, fromMs: nowMs - newsMs, toMs: nowMs + newsMs };
      const news = await readNewTraces(stream.queries, scope, sinceMs - overlapMs);
      for (const { row, receivedMs } of news) {
        sinceMs = Math.max(sinceMs, receivedMs);
        if (told.has(row.traceId)) continue;
        if (told.size >= toldTraces) told.clear();
        told.add(row.traceId);
        stream.write(`event: span\nid: ${row.traceId}\ndata: ${JSON.stringify(row)}\n\n`);
      }
      if (news.length === 0) stream.write(": alive\n\n");
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof AxonizeError && error.status < 500) return; // the key was revoked
      // A store that is away comes back; the stream stays open and says nothing meanwhile.
      stream.log.debug({ event: "events.poll", reason: errorMessage(error) });
    }
    try {
      await clock.sleep(limits.eventPollMs, signal);
    } catch {
      return; // aborted: the only way sleep rejects
    }
  }
}
