/**
 * The producer's side of the ring: turns a finished span into one record in shared memory. This is
 * the hot path. It never waits: a span that does not fit is dropped and counted.
 *
 * Names and keys are sent once, as definitions, and then by number; a program that makes up names
 * fills the table, and its further names are written out each time.
 */
import {
  INTERN_CHARS_MAX,
  KEYS_MAX,
  MESSAGE_BYTES_MAX,
  NAME_BYTES_MAX,
  NAMES_MAX,
  VALUE_BYTES_MAX,
} from "./limits.ts";
import {
  Control,
  CONTROL_BYTES,
  Head,
  HEAD_BYTES,
  NONE,
  padded,
  RecordType,
  ValueType,
} from "./layout.ts";
import type { Rare, SpanImpl } from "./span.ts";
import { Encoded, encodeValue } from "./values.ts";

/** A number that is a double even where it has no fraction. */
export class Double {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

export class RingWriter {
  readonly memory: SharedArrayBuffer;
  readonly #control: Int32Array;
  readonly #words: Uint32Array;
  readonly #doubles: Float64Array;
  readonly #bytes: Buffer;
  readonly #size: number;
  readonly #wakeEvery: number;
  readonly #wake: () => void;
  readonly #names = new Map<string, number>();
  readonly #keys = new Map<string, number>();
  #toDefine: string[] = [];
  #nextNumber = 1;
  #head = 0;
  #tail = 0;
  #recorded = 0;
  #dropped = 0;
  #untilWake = 1;
  #bytesUntilWake = 0;
  #at = 0;

  /** `wake` is called for the first span and then for every `wakeEvery`, or a quarter of the ring. `size` is a power of two. */
  constructor(size: number, wakeEvery: number, wake: () => void) {
    this.memory = new SharedArrayBuffer(CONTROL_BYTES + size);
    this.#control = new Int32Array(this.memory, 0, CONTROL_BYTES / 4);
    this.#words = new Uint32Array(this.memory, CONTROL_BYTES);
    this.#doubles = new Float64Array(this.memory, CONTROL_BYTES);
    this.#bytes = Buffer.from(this.memory, CONTROL_BYTES);
    this.#size = size;
    this.#wakeEvery = wakeEvery;
    this.#wake = wake;
  }

  get recorded(): number {
    return this.#recorded;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** Spans that the exporter sent or gave up, of those recorded. */
  get settled(): number {
    return Atomics.load(this.#control, Control.SETTLED) >>> 0;
  }

  control(word: number): number {
    return Atomics.load(this.#control, word) >>> 0;
  }

  /** Blocks this thread until control word `word` is not `value`, at most `ms`. */
  wait(word: number, value: number, ms: number): void {
    Atomics.wait(this.#control, word, value | 0, ms);
  }

  /** Copies a finished span into the ring. Never throws; false where it was dropped. */
  write(span: SpanImpl, endMs: number): boolean {
    const { rare } = span;
    if (rare !== undefined && rare.scope !== "" && !this.#names.has(rare.scope)) {
      this.#number(rare.scope, this.#names);
      this.#define();
    }
    // The largest that it can become: three bytes a UTF-16 unit, padding, keys written out.
    let most = HEAD_BYTES + 3 * (span.name.length + span.weight) + 32;
    if (span.attributes !== undefined) most += 16 * span.attributes.length;
    if (rare !== undefined) most += 3 * rare.message.length + rare.extraBytes + 16;
    const at = this.#reserve(most);
    if (at < 0) {
      this.#dropped += 1;
      Atomics.store(this.#control, Control.DROPPED, this.#dropped);
      return false;
    }
    const end = this.#fill(span, endMs, at);
    this.#words[(at >>> 2) + Head.SIZE] = end - at;
    this.#recorded = (this.#recorded + 1) >>> 0;
    this.#publish(end - at);
    if (this.#toDefine.length > 0) this.#define();
    this.#bytesUntilWake -= end - at;
    if (--this.#untilWake <= 0 || this.#bytesUntilWake < 0) {
      this.#untilWake = this.#wakeEvery;
      this.#bytesUntilWake = this.#size >>> 2;
      this.#wake();
    }
    return true;
  }

  #fill(span: SpanImpl, endMs: number, at: number): number {
    const words = this.#words;
    const word = at >>> 2;
    const { attributes, rare } = span;
    words[word + Head.TYPE] =
      RecordType.SPAN | (span.kind << 8) | (span.status << 16) | (span.flags << 24);
    words[word + Head.SCOPE] = 0;
    words[word + Head.TRACE] = span.trace0;
    words[word + Head.TRACE + 1] = span.trace1;
    words[word + Head.TRACE + 2] = span.trace2;
    words[word + Head.TRACE + 3] = span.trace3;
    words[word + Head.SPAN] = span.span0;
    words[word + Head.SPAN + 1] = span.span1;
    words[word + Head.PARENT] = span.parent0;
    words[word + Head.PARENT + 1] = span.parent1;
    this.#doubles[(word + Head.START) >>> 1] = span.startMs;
    this.#doubles[(word + Head.END) >>> 1] = endMs;
    this.#at = at + HEAD_BYTES;
    const name = this.#number(span.name, this.#names);
    words[word + Head.NAME] = name;
    words[word + Head.NAME_SIZE] = name === NONE ? this.#text(span.name, NAME_BYTES_MAX) : 0;
    words[word + Head.MESSAGE_SIZE] =
      rare === undefined || rare.message === "" ? 0 : this.#text(rare.message, MESSAGE_BYTES_MAX);
    const count = attributes === undefined ? 0 : attributes.length;
    words[word + Head.ATTRIBUTES] = count >>> 1;
    if (attributes !== undefined) {
      // Keys are strings: the span made them so.
      for (let i = 0; i < count; i += 2) {
        this.#attribute(attributes[i] as string, attributes[i + 1]);
      }
    }
    words[word + Head.EXTRA] = 0;
    words[word + Head.DROPPED_ATTRIBUTES] = 0;
    words[word + Head.DROPPED_EVENTS] = 0;
    if (rare !== undefined) this.#rare(rare, word);
    return this.#at;
  }

  #rare(rare: Rare, word: number): void {
    const words = this.#words;
    words[word + Head.SCOPE] = this.#names.get(rare.scope) ?? 0;
    words[word + Head.DROPPED_ATTRIBUTES] = rare.droppedAttributes;
    words[word + Head.DROPPED_EVENTS] = rare.droppedEvents;
    let extra = 0;
    for (const part of rare.extra) {
      this.#bytes.set(part, this.#at + extra);
      extra += part.length;
    }
    words[word + Head.EXTRA] = extra;
    this.#at += padded(extra);
  }

  #attribute(key: string, value: unknown): void {
    const word = this.#at >>> 2;
    const number = this.#number(key, this.#keys);
    this.#words[word] = number;
    this.#at += 8;
    if (number === NONE) {
      const size = this.#at >>> 2;
      this.#at += 8;
      this.#words[size] = this.#text(key, NAME_BYTES_MAX);
    }
    this.#words[word + 1] = this.#value(value);
  }

  /** Writes the value's bytes; its type and size. */
  #value(value: unknown): number {
    if (typeof value === "string") {
      return ValueType.TEXT | (this.#text(value, VALUE_BYTES_MAX) << 4);
    }
    if (typeof value === "number") {
      const whole = Number.isSafeInteger(value) && !Object.is(value, -0);
      return this.#number64(value, whole ? ValueType.INT : ValueType.DOUBLE);
    }
    if (typeof value === "boolean") return value ? ValueType.TRUE : ValueType.FALSE;
    if (value instanceof Double) return this.#number64(value.value, ValueType.DOUBLE);
    // Everything else was encoded when it was set.
    const { bytes } = value instanceof Encoded ? value : encodeValue("");
    this.#bytes.set(bytes, this.#at);
    this.#at += padded(bytes.length);
    return ValueType.ENCODED | (bytes.length << 4);
  }

  #number64(value: number, type: number): number {
    this.#doubles[this.#at >>> 3] = value;
    this.#at += 8;
    return type;
  }

  /** Writes text; its size in bytes. Short ASCII without a call into native code. */
  #text(text: string, most: number): number {
    const bytes = this.#bytes;
    const at = this.#at;
    const { length } = text;
    let size = 0;
    if (length <= 48) {
      for (; size < length; size++) {
        const unit = text.charCodeAt(size);
        if (unit > 0x7f) break;
        bytes[at + size] = unit;
      }
    }
    if (size !== length) {
      size = bytes.write(text, at, Math.min(most, length * 3), "utf8");
    }
    this.#at = at + padded(size);
    return size;
  }

  /** The number of a known string; NONE the first time (it is defined after the record) and ever after
   * where the table is full. */
  #number(text: string, table: Map<string, number>): number {
    const known = table.get(text);
    if (known !== undefined) return known;
    const most = table === this.#keys ? KEYS_MAX : NAMES_MAX;
    if (table.size < most && text.length <= INTERN_CHARS_MAX) {
      table.set(text, NONE);
      this.#toDefine.push(text);
    }
    return NONE;
  }

  #define(): void {
    const waiting = this.#toDefine;
    this.#toDefine = [];
    for (const text of waiting) {
      const at = this.#reserve(16 + text.length * 3 + 8);
      if (at < 0) {
        // No room: forgotten, and tried again with the next span that uses it.
        this.#names.delete(text);
        this.#keys.delete(text);
        continue;
      }
      const word = at >>> 2;
      this.#at = at + 16;
      const size = this.#text(text, text.length * 3);
      const number = this.#nextNumber++;
      this.#words[word + Head.SIZE] = this.#at - at;
      this.#words[word + Head.TYPE] = RecordType.DEFINITION;
      this.#words[word + Head.NAME] = number;
      this.#words[word + Head.SCOPE] = size;
      this.#publish(this.#at - at);
      if (this.#names.has(text)) this.#names.set(text, number);
      if (this.#keys.has(text)) this.#keys.set(text, number);
    }
  }

  /** Offset of `size` free bytes in a row, or -1. Publishes a skip over the end where needed. */
  #reserve(size: number): number {
    const position = this.#head & (this.#size - 1);
    const toEnd = this.#size - position;
    const wanted = padded(toEnd < size ? toEnd + size : size);
    if (this.#size - ((this.#head - this.#tail) >>> 0) < wanted) {
      this.#tail = Atomics.load(this.#control, Control.TAIL) >>> 0;
      if (this.#size - ((this.#head - this.#tail) >>> 0) < wanted) return -1;
    }
    if (toEnd >= size) return position;
    this.#words[position >>> 2] = toEnd;
    this.#words[(position >>> 2) + 1] = RecordType.SKIP;
    this.#publish(toEnd);
    return 0;
  }

  #publish(size: number): void {
    this.#head = (this.#head + size) >>> 0;
    Atomics.store(this.#control, Control.HEAD, this.#head | 0);
  }
}
