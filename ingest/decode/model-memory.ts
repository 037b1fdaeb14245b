/**
 * Which model a call used whose own span does not name one. vLLM's request span is such a span: the
 * model is on the caller's span, its parent, which arrives in another request, before or after.
 *
 * A model is inherited from the parent span itself, never from some span of the trace. What the
 * parents of an instance's calls named is remembered for the instance: one model is what it serves,
 * two different ones mean that it cannot be told and nothing is inherited from it again. Bounded and
 * forgetful: a span whose parent is unknown keeps no model, and the reader inherits within the trace.
 */
import { modelSources, type Normalized } from "../normalize/normalize.ts";
import * as limits from "./limits.ts";
import type { Resource } from "./resources.ts";
import type { SpanScan } from "./span-scan.ts";

/** What an instance's calls turned out to use. 0: not known yet. */
export interface Instance {
  learnedModel: number;
}

/** An instance whose calls used more than one model. */
export const severalModels = -1;

export interface SpanKey {
  tenant: number;
  /** Trace and span id as little-endian words. */
  trace: readonly [number, number, number, number];
  span: readonly [number, number];
}

/** Where an inherited model came from. */
export interface Inherited {
  model: number;
  from: "trace" | "instance";
}

export class ModelMemory {
  private readonly models = new Slots<number>(limits.rememberedModels);
  private readonly waiting = new Slots<Instance>(limits.waitingCalls);

  /** Completes the model of a call that names none; answers where the model came from. */
  settle(
    span: { tenant: number; scan: SpanScan; view: DataView; resource: Resource },
    normal: Normalized,
  ): number {
    const { scan, resource } = span;
    if (normal.model !== 0) {
      this.named(keyOf(span, scan.spanId), normal.model);
      return modelSources.span;
    }
    // An instance serves its model in calls, not in its start-up or its tool spans.
    if (normal.operation === 0) return modelSources.none;
    if (resource.model !== 0) {
      normal.model = resource.model;
      return modelSources.instance;
    }
    if (normal.engine === 0 || scan.parentIdLength !== 8) return modelSources.none;
    const inherited = this.inherit(keyOf(span, scan.parentId), resource);
    normal.model = inherited?.model ?? 0;
    return inherited === undefined ? modelSources.none : modelSources[inherited.from];
  }

  /** A span named its model: its children may inherit it, and one that waited tells its instance. */
  named(key: SpanKey, model: number): void {
    this.models.set(key, model);
    const instance = this.waiting.take(key);
    if (instance !== undefined) learn(instance, model);
  }

  /** The model of a call that names none, from its parent, else from its instance. */
  inherit(parent: SpanKey, instance: Instance): Inherited | undefined {
    const model = this.models.get(parent);
    if (model !== undefined) {
      learn(instance, model);
      return { model, from: "trace" };
    }
    if (instance.learnedModel > 0) return { model: instance.learnedModel, from: "instance" };
    if (instance.learnedModel === 0) this.waiting.set(parent, instance);
    return undefined;
  }

  /** Interned strings were renumbered: the models' numbers mean nothing any more. */
  clear(): void {
    this.models.clear();
    this.waiting.clear();
  }
}

/** One object for all spans: the tables copy what they keep. */
const key = {
  tenant: 0,
  trace: [0, 0, 0, 0] as [number, number, number, number],
  span: [0, 0] as [number, number],
};

function keyOf(
  { tenant, scan, view }: { tenant: number; scan: SpanScan; view: DataView },
  spanId: number,
): SpanKey {
  key.tenant = tenant;
  for (let word = 0; word < 4; word += 1) {
    key.trace[word] = view.getUint32(scan.traceId + 4 * word, true);
  }
  key.span[0] = view.getUint32(spanId, true);
  key.span[1] = view.getUint32(spanId + 4, true);
  return key;
}

function learn(instance: Instance, model: number): void {
  if (instance.learnedModel === 0) instance.learnedModel = model;
  else if (instance.learnedModel !== model) instance.learnedModel = severalModels;
}

/** A direct-mapped table: one entry per slot, the newest wins. Keys are compared whole. */
class Slots<T> {
  private readonly mask: number;
  private readonly keys: Uint32Array;
  private values: (T | undefined)[];

  constructor(size: number) {
    this.mask = size - 1;
    this.keys = new Uint32Array(size * 7);
    this.values = Array.from({ length: size }, () => undefined);
  }

  set(key: SpanKey, value: T): void {
    const slot = this.slot(key);
    const { keys } = this;
    const at = slot * 7;
    keys[at] = key.tenant;
    keys[at + 1] = key.trace[0];
    keys[at + 2] = key.trace[1];
    keys[at + 3] = key.trace[2];
    keys[at + 4] = key.trace[3];
    keys[at + 5] = key.span[0];
    keys[at + 6] = key.span[1];
    this.values[slot] = value;
  }

  get(key: SpanKey): T | undefined {
    const slot = this.slot(key);
    return this.holds(slot, key) ? this.values[slot] : undefined;
  }

  take(key: SpanKey): T | undefined {
    const value = this.get(key);
    if (value !== undefined) this.values[this.slot(key)] = undefined;
    return value;
  }

  clear(): void {
    this.values.fill(undefined);
  }

  /** Span ids are random, so their words are hash enough. */
  private slot(key: SpanKey): number {
    return (key.span[0] ^ Math.imul(key.span[1], 0x9e3779b1)) & this.mask;
  }

  private holds(slot: number, key: SpanKey): boolean {
    const { keys } = this;
    const at = slot * 7;
    return (
      keys[at] === key.tenant &&
      keys[at + 1] === key.trace[0] &&
      keys[at + 2] === key.trace[1] &&
      keys[at + 3] === key.trace[2] &&
      keys[at + 4] === key.trace[3] &&
      keys[at + 5] === key.span[0] &&
      keys[at + 6] === key.span[1]
    );
  }
}
