/**
 * What every kind of generated trace is made with: a scene holds the trace id, the user, the random
 * numbers and the spans so far; `open` and `close` add spans to it.
 */
import type { Cluster } from "./cluster.ts";
import type { Incident } from "./incident.ts";
import type { Attributes, DemoSpan, Kind, Process } from "./otlp.ts";
import type { Random } from "./random.ts";

export interface World {
  readonly cluster: Cluster;
  readonly incident: Incident;
}

export interface Person {
  readonly user: string;
  readonly session: string;
  /** Turns in this session so far; prompts grow with it. */
  readonly turn: number;
}

export interface Scene {
  readonly world: World;
  readonly rng: Random;
  readonly person: Person;
  readonly traceId: string;
  readonly spans: DemoSpan[];
}

export function createScene(world: World, rng: Random, person: Person): Scene {
  return { world, rng, person, traceId: rng.hex(32), spans: [] };
}

export function open(
  scene: Scene,
  process: Process,
  parent: DemoSpan | undefined,
  name: string,
  kind: Kind,
  startMs: number,
  attributes: Attributes = {},
): DemoSpan {
  const span: DemoSpan = {
    process,
    traceId: scene.traceId,
    spanId: scene.rng.hex(16),
    parentSpanId: parent?.spanId ?? "",
    name,
    kind,
    startMs,
    endMs: startMs,
    attributes,
    status: "unset",
    statusMessage: "",
    events: [],
    links: [],
  };
  scene.spans.push(span);
  return span;
}

/** Sets the end and further attributes; returns the end, which is where the next thing starts. */
export function close(span: DemoSpan, endMs: number, attributes: Attributes = {}): number {
  span.endMs = endMs;
  Object.assign(span.attributes, attributes);
  return endMs;
}

/** A span with nothing inside. Returns its end. */
export function leaf(
  scene: Scene,
  process: Process,
  parent: DemoSpan,
  name: string,
  kind: Kind,
  startMs: number,
  durationMs: number,
  attributes: Attributes = {},
): number {
  return close(open(scene, process, parent, name, kind, startMs, attributes), startMs + durationMs);
}

export function fail(span: DemoSpan, type: string, message: string): void {
  span.status = "error";
  span.statusMessage = message;
  span.attributes["error.type"] = type;
  span.events.push({
    timeMs: span.endMs,
    name: "exception",
    attributes: { "exception.type": type, "exception.message": message },
  });
}

/** The session and user as instrumentations name them. */
export function personAttributes(person: Person): Attributes {
  return { "user.id": person.user, "session.id": person.session };
}
