/**
 * A span: a state machine from open to ended, which writes itself into the ring when it ends. Creating
 * the object is part of the hot path: fields are few and in one fixed order, ids are signed 32-bit words
 * (which V8 keeps without allocating), and what most spans never have lives in `rare`. Programs see the
 * interfaces of `span-types.ts`. Never pooled: who holds an ended span must not write into another.
 */
import { performance } from "node:perf_hooks";
import { createEpochClock } from "./clock.ts";
import { hex32, isValidContext, random32, word } from "./ids.ts";
import {
  ARENA_BYTES_MAX,
  ATTRIBUTES_MAX,
  EVENTS_MAX,
  GPUS_MAX,
  KEY_CHARS_MAX,
  LINKS_MAX,
  MESSAGE_BYTES_MAX,
  NAME_BYTES_MAX,
  TRACE_STATE_CHARS_MAX,
  VALUE_BYTES_MAX,
} from "./limits.ts";
import { Flag } from "./layout.ts";
import { Double } from "./ring.ts";
import { shared, type Parent } from "./shared.ts";
import type { Span, SpanOptions } from "./span-types.ts";
import { describeError, ordinalOf } from "./span-types.ts";
import { type AttributeValue, type SpanContext, SpanKind, SpanStatus } from "./types.ts";
import {
  encodeEvent,
  encodeLink,
  encodeTraceState,
  encodeValue,
  Encoded,
  textOf,
} from "./values.ts";

const epoch = createEpochClock(
  performance.timeOrigin,
  () => performance.now(),
  () => Date.now(),
);

/** What most spans never have. */
export interface Rare {
  message: string;
  /** Finished fields of OTLP's Span: events, links, trace state. */
  readonly extra: Uint8Array[];
  extraBytes: number;
  events: number;
  links: number;
  droppedAttributes: number;
  droppedEvents: number;
  /** Interned as one text: name and version of the instrumentation, see `scopeKey`. */
  scope: string;
  gpus: number[];
}

export class SpanImpl implements Span {
  name: string;
  kind: number;
  status = 0;
  /** Bits of Flag. */
  flags = 0;
  ended = false;
  trace0 = 0;
  trace1 = 0;
  trace2 = 0;
  trace3 = 0;
  span0: number;
  span1: number;
  parent0 = 0;
  parent1 = 0;
  /** UTF-16 units of keys and text values, and bytes of encoded values: what the span costs. */
  weight = 0;
  /** Key, value, key, value, … */
  attributes: unknown[] | undefined = undefined;
  rare: Rare | undefined = undefined;
  state = "";
  /** The ring that recorded when it began: a later `init` does not get what an earlier one began. */
  readonly ring = shared.ring;
  /** ms of `performance.now()` or, with ABSOLUTE, epoch ms. */
  startMs: number;

  constructor(name: string, parent: Parent | "none" | undefined, kind: number) {
    this.name = typeof name === "string" ? cutText(name, NAME_BYTES_MAX) : textOf(name);
    this.kind = kind;
    this.span0 = random32();
    this.span1 = random32();
    const above = parent ?? shared.context.getStore() ?? shared.foreignParent?.();
    if (isSpan(above)) {
      this.trace0 = above.trace0;
      this.trace1 = above.trace1;
      this.trace2 = above.trace2;
      this.trace3 = above.trace3;
      this.parent0 = above.span0;
      this.parent1 = above.span1;
      this.flags = Flag.PARENT;
      this.state = above.state;
    } else if (above === undefined || above === "none" || !this.#adopt(above)) {
      this.trace0 = random32();
      this.trace1 = random32();
      this.trace2 = random32();
      this.trace3 = random32();
    }
    this.startMs = performance.now();
  }

  /** Becomes a child of a span elsewhere. False where its ids make no sense. */
  #adopt(context: SpanContext): boolean {
    if (typeof context !== "object" || context === null) return false;
    const { traceId, spanId, traceState } = context;
    if (!isValidContext(traceId, spanId)) return false;
    this.trace0 = word(traceId, 0);
    this.trace1 = word(traceId, 1);
    this.trace2 = word(traceId, 2);
    this.trace3 = word(traceId, 3);
    this.parent0 = word(spanId, 0);
    this.parent1 = word(spanId, 1);
    this.flags = Flag.PARENT | Flag.REMOTE;
    const fits = typeof traceState === "string" && traceState.length <= TRACE_STATE_CHARS_MAX;
    this.state = fits ? traceState : "";
    return true;
  }

  get traceId(): string {
    return hex32(this.trace0) + hex32(this.trace1) + hex32(this.trace2) + hex32(this.trace3);
  }

  get spanId(): string {
    return hex32(this.span0) + hex32(this.span1);
  }

  get traceState(): string {
    return this.state;
  }

  get isRecording(): boolean {
    return !this.ended && this.ring !== undefined;
  }

  setAttribute(key: string, value: AttributeValue): this {
    if (this.ended || value === undefined || value === null) return this;
    const attributes = (this.attributes ??= []);
    const { length } = attributes;
    for (let i = 0; i < length; i += 2) {
      if (attributes[i] === key) {
        this.#replace(attributes, i + 1, value);
        return this;
      }
    }
    let cost = 0;
    if (typeof value === "string") cost = value.length;
    else if (typeof value !== "number" && typeof value !== "boolean") cost = ARENA_BYTES_MAX;
    cost = typeof key === "string" ? cost + key.length : ARENA_BYTES_MAX;
    if (cost < 256 && length < 2 * ATTRIBUTES_MAX && this.weight + cost <= ARENA_BYTES_MAX) {
      attributes.push(key, value);
      this.weight += cost;
    } else this.#setSlowly(attributes, key, value);
    return this;
  }

  /** Long texts, lists, objects, odd keys, spans that are full. */
  #setSlowly(attributes: unknown[], key: string, value: unknown): void {
    const name = (typeof key === "string" ? key : textOf(key)).slice(0, KEY_CHARS_MAX);
    const kept = keptForm(value);
    const cost = name.length + weightOf(kept);
    if (attributes.length >= 2 * ATTRIBUTES_MAX || this.weight + cost > ARENA_BYTES_MAX) {
      this.#dropAttribute();
      return;
    }
    attributes.push(name, kept);
    this.weight += cost;
  }

  #replace(attributes: unknown[], index: number, value: unknown): void {
    const kept = keptForm(value);
    const weight = this.weight - weightOf(attributes[index]) + weightOf(kept);
    if (weight > ARENA_BYTES_MAX) {
      this.#dropAttribute();
      return;
    }
    this.weight = weight;
    attributes[index] = kept;
  }

  #dropAttribute(): void {
    this.rarely().droppedAttributes += 1;
    shared.truncated += 1;
  }

  setAttributes(attributes: Readonly<Record<string, AttributeValue>>): this {
    try {
      for (const [key, value] of Object.entries(attributes ?? {})) this.setAttribute(key, value);
    } catch {
      // A getter of the program's threw: what came before it stays.
      this.#dropAttribute();
    }
    return this;
  }

  /** Sets an attribute unless the program did. */
  protected default(key: string, value: unknown): void {
    const attributes = (this.attributes ??= []);
    for (let i = 0; i < attributes.length; i += 2) if (attributes[i] === key) return;
    this.#setSlowly(attributes, key, value);
  }

  setGpus(devices: string | number | readonly (string | number)[]): this {
    if (this.ended) return this;
    for (const device of Array.isArray(devices) ? devices : [devices]) {
      const ordinal = ordinalOf(device);
      if (ordinal < 0 || ordinal >= GPUS_MAX) continue;
      const { gpus } = this.rarely();
      if (!gpus.includes(ordinal)) gpus.push(ordinal);
    }
    return this;
  }

  setStatus(status: SpanStatus, description?: string): this {
    if (this.ended || !(status >= 0 && status <= 2)) return this;
    this.status = status;
    if (description !== undefined || this.rare !== undefined) {
      this.rarely().message =
        description === undefined ? "" : cutText(textOf(description), MESSAGE_BYTES_MAX);
    }
    return this;
  }

  recordException(error: unknown): this {
    const { type, message, stack } = describeError(error);
    return this.addEvent("exception", {
      "exception.type": type,
      "exception.message": message,
      "exception.stacktrace": stack,
    });
  }

  addEvent(name: string, attributes?: Readonly<Record<string, AttributeValue>>): this {
    if (this.ended) return this;
    epoch.refresh();
    this.addEventAt(name, epoch.nanos(performance.now()), attributes);
    return this;
  }

  addEventAt(
    name: string,
    nanos: readonly [high: number, low: number],
    attributes: Readonly<Record<string, unknown>> | undefined,
  ): void {
    if (this.ended) return;
    const rare = this.rarely();
    const fits = rare.events < EVENTS_MAX;
    if (fits && this.#addExtra(rare, encodeEvent(textOf(name), nanos, attributes))) {
      rare.events += 1;
    } else {
      rare.droppedEvents += 1;
      shared.truncated += 1;
    }
  }

  addLink(context: SpanContext, attributes?: Readonly<Record<string, AttributeValue>>): this {
    if (this.ended || !isValidContext(context?.traceId, context?.spanId)) return this;
    const rare = this.rarely();
    const state = textOf(context.traceState ?? "").slice(0, TRACE_STATE_CHARS_MAX);
    const link = encodeLink(context.traceId, context.spanId, state, attributes);
    if (rare.links < LINKS_MAX && this.#addExtra(rare, link)) rare.links += 1;
    return this;
  }

  /** What most spans never have, made now. */
  rarely(): Rare {
    this.rare ??= {
      message: "",
      extra: [],
      extraBytes: 0,
      events: 0,
      links: 0,
      droppedAttributes: 0,
      droppedEvents: 0,
      scope: "",
      gpus: [],
    };
    return this.rare;
  }

  #addExtra(rare: Rare, bytes: Uint8Array): boolean {
    if (rare.extraBytes + this.weight + bytes.length > ARENA_BYTES_MAX) return false;
    rare.extra.push(bytes);
    rare.extraBytes += bytes.length;
    return true;
  }

  end(): void {
    if (!this.ended) this.finish(performance.now());
  }

  /** Ends at a time of the clock of `startMs`. */
  finish(endMs: number): void {
    if (this.ended) return;
    const { rare } = this;
    if (rare !== undefined && rare.gpus.length > 0) {
      this.default(
        "axonize.gpu.ordinals",
        rare.gpus.toSorted((a, b) => a - b),
      );
    }
    if (this.state !== "") this.#addExtra(this.rarely(), encodeTraceState(this.state));
    this.derive(endMs);
    this.ended = true;
    // Recorded only by the session in which it began.
    const { ring } = this;
    if (ring !== undefined && ring === shared.ring) ring.write(this, endMs);
  }

  /** Ends with an error that left the span, which makes it one whatever status was set. */
  fail(error: unknown): void {
    if (this.ended) return;
    const { type, message, isAbort } = describeError(error);
    if (!isAbort) {
      this.recordException(error);
      this.setStatus(SpanStatus.ERROR, message === "" ? type : `${type}: ${message}`);
      this.setAttribute("error.type", type);
    }
    this.end();
  }

  /** Adds what follows from what was measured. */
  protected derive(_endMs: number): void {}

  [Symbol.dispose](): void {
    this.end();
  }
}

/** `name` and `version` of an instrumentation scope, as one text. */
export const scopeKey = (name: string, version: string): string => `${name}\u0000${version}`;

/** A span of this process, maybe of another copy of this package, which shares `shared` with us. */
export function isSpan(value: unknown): value is SpanImpl {
  // Only our own spans have words.
  return typeof value === "object" && value !== null && (value as SpanImpl).span1 !== undefined;
}

/** What the span keeps of a value: itself where it cannot change, else its bytes as of now. */
function keptForm(value: unknown): unknown {
  if (typeof value === "string") return cutText(value, VALUE_BYTES_MAX);
  const constant = typeof value === "number" || typeof value === "boolean";
  return constant || value instanceof Double ? value : encodeValue(value);
}

function weightOf(kept: unknown): number {
  if (typeof kept === "string") return kept.length;
  return kept instanceof Encoded ? kept.bytes.length : 0;
}

/** At most `most` UTF-16 units; the ring cuts to bytes. */
function cutText(text: string, most: number): string {
  return text.length <= most ? text : text.slice(0, most);
}

/** Attributes, links and times that `span()` and its kin take. */
export function applyOptions(span: SpanImpl, options: SpanOptions): void {
  if (options.attributes !== undefined) span.setAttributes(options.attributes);
  for (const link of options.links ?? []) span.addLink(link);
}

/** Kind as given, INTERNAL for anything odd. */
export function kindOf(kind: number | undefined): number {
  return kind !== undefined && kind >= 0 && kind <= 5 ? kind : SpanKind.INTERNAL;
}
