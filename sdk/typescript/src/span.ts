/**
 * A span: a state machine from open to ended, which writes itself into the ring when it ends. Fields
 * are plain and in one fixed order, because creating the object is part of the hot path; programs see
 * the interfaces of `span-types.ts`. Never pooled: who holds an ended span must not write into another.
 */
import { createEpochClock } from "./clock.ts";
import { hex32, isValidContext, random32, word } from "./ids.ts";
import {
  ARENA_BYTES_MAX,
  ATTRIBUTES_MAX,
  EVENTS_MAX,
  GPUS_MAX,
  KEY_CHARS_MAX,
  LINKS_MAX,
  NAME_BYTES_MAX,
  MESSAGE_BYTES_MAX,
  TRACE_STATE_CHARS_MAX,
  VALUE_BYTES_MAX,
} from "./limits.ts";
import { describeError, ordinalOf, type SpanOptions } from "./span-types.ts";
import type { Span } from "./span-types.ts";
import { Double } from "./ring.ts";
import { shared, type Parent } from "./shared.ts";
import { type AttributeValue, type SpanContext, SpanKind, SpanStatus } from "./types.ts";
import {
  encodeEvent,
  encodeLink,
  encodeTraceState,
  encodeValue,
  type Encoded,
  textOf,
} from "./values.ts";

const epoch = createEpochClock(
  performance.timeOrigin,
  () => performance.now(),
  () => Date.now(),
);

const noBytes: readonly Uint8Array[] = [];

export class SpanImpl implements Span {
  name: string;
  kind: number;
  status = 0;
  message = "";
  trace0 = 0;
  trace1 = 0;
  trace2 = 0;
  trace3 = 0;
  span0: number;
  span1: number;
  parent0 = 0;
  parent1 = 0;
  hasParent = false;
  remote = false;
  /** Times are epoch ms instead of ms of `performance.now()`. */
  absolute = false;
  ended = false;
  startMs: number;
  endMs = 0;
  readonly keys: string[] = [];
  readonly values: unknown[] = [];
  /** UTF-16 units of keys and text values, and bytes of encoded values: what the span costs. */
  weight = 0;
  /** Finished fields of OTLP's Span. */
  extra: readonly Uint8Array[] = noBytes;
  extraBytes = 0;
  events = 0;
  links = 0;
  droppedAttributes = 0;
  droppedEvents = 0;
  state = "";
  scope = "";
  gpus: number[] | undefined = undefined;
  /** The ring that recorded when it began: a later `init` does not get what an earlier one began. */
  readonly ring = shared.ring;

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
      this.hasParent = true;
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
    this.hasParent = true;
    this.remote = true;
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
    const { keys } = this;
    for (let i = 0; i < keys.length; i++) {
      if (keys[i] === key) {
        this.#replace(i, value);
        return this;
      }
    }
    if (typeof value === "string" && typeof key === "string") {
      const cost = key.length + value.length;
      if (cost < 256 && keys.length < ATTRIBUTES_MAX && this.weight + cost <= ARENA_BYTES_MAX) {
        keys.push(key);
        this.values.push(value);
        this.weight += cost;
        return this;
      }
    } else if (
      (typeof value === "number" || typeof value === "boolean") &&
      typeof key === "string" &&
      key.length < 256 &&
      keys.length < ATTRIBUTES_MAX
    ) {
      keys.push(key);
      this.values.push(value);
      this.weight += key.length;
      return this;
    }
    this.#setSlowly(key, value);
    return this;
  }

  /** Long texts, lists, objects, odd keys, spans that are full. */
  #setSlowly(key: string, value: unknown): void {
    const name = (typeof key === "string" ? key : textOf(key)).slice(0, KEY_CHARS_MAX);
    const kept = keptForm(value);
    const cost = name.length + weightOf(kept);
    if (this.keys.length >= ATTRIBUTES_MAX || this.weight + cost > ARENA_BYTES_MAX) {
      this.droppedAttributes += 1;
      shared.truncated += 1;
      return;
    }
    this.keys.push(name);
    this.values.push(kept);
    this.weight += cost;
  }

  #replace(index: number, value: unknown): void {
    const kept = keptForm(value);
    const weight = this.weight - weightOf(this.values[index]) + weightOf(kept);
    if (weight > ARENA_BYTES_MAX) {
      this.droppedAttributes += 1;
      shared.truncated += 1;
      return;
    }
    this.weight = weight;
    this.values[index] = kept;
  }

  setAttributes(attributes: Readonly<Record<string, AttributeValue>>): this {
    try {
      for (const [key, value] of Object.entries(attributes ?? {})) this.setAttribute(key, value);
    } catch {
      // A getter of the program's threw: what came before it stays.
      this.droppedAttributes += 1;
    }
    return this;
  }

  /** Sets an attribute unless the program did. */
  protected default(key: string, value: unknown): void {
    if (!this.keys.includes(key)) this.#setSlowly(key, value);
  }

  setGpus(devices: string | number | readonly (string | number)[]): this {
    if (this.ended) return this;
    for (const device of Array.isArray(devices) ? devices : [devices]) {
      const ordinal = ordinalOf(device);
      if (ordinal < 0 || ordinal >= GPUS_MAX) continue;
      this.gpus ??= [];
      if (!this.gpus.includes(ordinal)) this.gpus.push(ordinal);
    }
    return this;
  }

  setStatus(status: SpanStatus, description?: string): this {
    if (this.ended || !(status >= 0 && status <= 2)) return this;
    this.status = status;
    this.message = description === undefined ? "" : cutText(textOf(description), MESSAGE_BYTES_MAX);
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
    epoch.refresh();
    return this.addEventAt(name, epoch.nanos(performance.now()), attributes);
  }

  addEventAt(
    name: string,
    nanos: readonly [high: number, low: number],
    attributes: Readonly<Record<string, unknown>> | undefined,
  ): this {
    if (this.ended) return this;
    const kept =
      this.events < EVENTS_MAX && this.#addExtra(encodeEvent(textOf(name), nanos, attributes));
    if (kept) this.events += 1;
    else {
      this.droppedEvents += 1;
      shared.truncated += 1;
    }
    return this;
  }

  addLink(context: SpanContext, attributes?: Readonly<Record<string, AttributeValue>>): this {
    if (this.ended || this.links >= LINKS_MAX) return this;
    if (!isValidContext(context?.traceId, context?.spanId)) return this;
    const state = (context.traceState ?? "").slice(0, TRACE_STATE_CHARS_MAX);
    if (this.#addExtra(encodeLink(context.traceId, context.spanId, state, attributes))) {
      this.links += 1;
    }
    return this;
  }

  #addExtra(bytes: Uint8Array): boolean {
    if (this.extraBytes + this.weight + bytes.length > ARENA_BYTES_MAX) return false;
    this.extra = [...this.extra, bytes];
    this.extraBytes += bytes.length;
    return true;
  }

  end(): void {
    if (this.ended) return;
    if (this.endMs === 0) this.endMs = performance.now();
    if (this.gpus !== undefined) {
      this.default(
        "axonize.gpu.ordinals",
        this.gpus.sort((a, b) => a - b),
      );
    }
    if (this.state !== "") {
      this.#addExtra(encodeTraceState(this.state));
    }
    this.derive();
    this.ended = true;
    // Recorded only by the session in which it began.
    if (this.ring !== undefined && this.ring === shared.ring) this.ring.write(this);
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
  protected derive(): void {}

  [Symbol.dispose](): void {
    this.end();
  }
}

/** A span of this process, maybe of another copy of this package, which shares `shared` with us. */
export function isSpan(value: unknown): value is SpanImpl {
  return (
    value instanceof SpanImpl || (typeof value === "object" && value !== null && "span1" in value)
  );
}

/** What the span keeps of a value: itself where it cannot change, else its bytes as of now. */
function keptForm(value: unknown): unknown {
  if (typeof value === "string") return cutText(value, VALUE_BYTES_MAX);
  const constant = typeof value === "number" || typeof value === "boolean";
  return constant || value instanceof Double ? value : encodeValue(value);
}

function weightOf(kept: unknown): number {
  if (typeof kept === "string") return kept.length;
  // Whatever is an object here is a Double or Encoded: keptForm made it.
  return typeof kept === "object" && kept !== null && "bytes" in kept
    ? (kept as Encoded).bytes.length
    : 0;
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
