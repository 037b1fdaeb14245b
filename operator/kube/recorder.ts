/**
 * Events (events.k8s.io/v1): what a user sees at the end of `kubectl describe`.
 *
 * They are told on transitions. The same (object, reason, note) is sent once in five minutes; repeats are
 * counted and go out as the event's series with the next sending. Sending happens aside, in order, bounded;
 * an event that cannot be sent is counted and gone: nothing waits for an event.
 */
import { createHash } from "node:crypto";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { isAlreadyExists, isNotFound } from "./api-error.ts";
import { openGate, type WriteGate } from "./client.ts";
import { microTimeOf } from "./conditions.ts";
import { apiVersionOf, collectionPath, events, objectPath } from "./kinds.ts";
import { eventRepeatMs, maxEventsRemembered, maxEventsWaiting, maxNoteLength } from "./limits.ts";
import type { KubeMetrics } from "./metrics.ts";
import type { Transport } from "./transport.ts";
import type { KubeObject, Recorder } from "./types.ts";

export interface RunningRecorder extends Recorder {
  /** Resolves when everything that was told is sent or gone. */
  idle(): Promise<void>;
}

interface Remembered {
  readonly name: string;
  readonly namespace: string;
  /** Times it was told, the first included. */
  count: number;
  sentMs: number;
  isSent: boolean;
}

type EventBody = Parameters<Recorder["event"]>[1];

export function createRecorder(
  deps: {
    transport: Transport;
    clock: Clock;
    log: Log;
    metrics: KubeMetrics;
    gate?: WriteGate;
  },
  options: { controller: string; instance: string },
): RunningRecorder {
  const { clock, log, metrics } = deps;
  const known = new Map<string, Remembered>();
  let waiting = 0;
  let line = Promise.resolve();
  for (const reason of ["full", "failed"]) metrics.eventsDropped.inc({ reason }, 0);

  const submit = (send: () => Promise<void>): void => {
    if (waiting >= maxEventsWaiting) {
      metrics.eventsDropped.inc({ reason: "full" });
      return;
    }
    waiting += 1;
    line = line.then(send).then(
      () => void (waiting -= 1),
      (error: unknown) => {
        waiting -= 1;
        // Events are a courtesy: nobody's work hangs on one.
        metrics.eventsDropped.inc({ reason: "failed" });
        log.warn({ event: "kube.event_failed", reason: errorMessage(error) });
      },
    );
  };
  return {
    event(regarding, event) {
      const key = keyOfEvent(regarding, event);
      const entry = known.get(key) ?? newEntry(regarding, key, clock);
      known.delete(key);
      known.set(key, entry);
      if (known.size > maxEventsRemembered) known.delete(known.keys().next().value ?? "");
      entry.count += 1;
      const nowMs = clock.monotonic();
      if (nowMs - entry.sentMs < eventRepeatMs) return;
      entry.sentMs = nowMs;
      const request = { regarding, event, entry, count: entry.count, atMs: clock.now() };
      submit(async () => await sendEvent(deps, options, request));
    },
    idle: async () => await line,
  };
}

const keyOfEvent = ({ kind, metadata }: KubeObject, { reason, note }: EventBody): string =>
  createHash("sha256")
    .update([kind, metadata.namespace, metadata.name, metadata.uid, reason, note].join("\n"))
    .digest("hex")
    .slice(0, 16);

function newEntry({ metadata }: KubeObject, key: string, clock: Clock): Remembered {
  // Two lives of one event must not meet under one name.
  const stamp = clock.now().toString(36);
  return {
    name: `${metadata.name.slice(0, 200)}.${key}.${stamp}`,
    // What belongs to no namespace is told of in `default`: `kubectl describe` looks there.
    namespace: metadata.namespace ?? "default",
    count: 0,
    sentMs: -Infinity,
    isSent: false,
  };
}

async function sendEvent(
  { transport, gate = openGate }: { transport: Transport; gate?: WriteGate },
  { controller, instance }: { controller: string; instance: string },
  request: {
    regarding: KubeObject;
    event: EventBody;
    entry: Remembered;
    count: number;
    atMs: number;
  },
): Promise<void> {
  const { regarding, event, entry, count, atMs } = request;
  const { name, namespace } = entry;
  const guard = (): void => gate.assertMayWrite();
  guard();
  if (entry.isSent) {
    const series = { count, lastObservedTime: microTimeOf(atMs) };
    try {
      await transport.json({
        method: "PATCH",
        path: objectPath({ kind: events, name, namespace }),
        contentType: "application/merge-patch+json",
        body: { series },
        guard,
      });
      return;
    } catch (error) {
      // The API server keeps events for an hour: this one begins anew.
      if (!isNotFound(error)) throw error;
    }
  }
  const { metadata } = regarding;
  const body = {
    apiVersion: apiVersionOf(events),
    kind: events.kind,
    metadata: { name, namespace },
    eventTime: microTimeOf(atMs),
    reportingController: `axonize.io/${controller}`,
    reportingInstance: instance.slice(0, 128),
    type: event.type,
    reason: event.reason,
    action: event.action,
    note: event.note.slice(0, maxNoteLength),
    regarding: {
      apiVersion: regarding.apiVersion,
      kind: regarding.kind,
      name: metadata.name,
      namespace: metadata.namespace,
      uid: metadata.uid,
      resourceVersion: metadata.resourceVersion,
    },
  };
  try {
    await transport.json({ method: "POST", path: collectionPath(events, namespace), body, guard });
  } catch (error) {
    // It arrived, and only the answer was lost.
    if (!isAlreadyExists(error)) throw error;
  }
  entry.isSent = true;
}
