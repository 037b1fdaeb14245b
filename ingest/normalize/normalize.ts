/**
 * From what a span said to canonical values: engine, TTFT with its basis, phases, tokens, model,
 * provider, operation. Pure, over slots and one result that are used again for every span.
 *
 * Unknown is NaN (numbers) or 0 (interned strings), never a guess: a model that the span does not
 * name is left to the reader, who sees the whole trace, because a row must not depend on which
 * spans happened to travel with it.
 */
import { aliases, operationWords, type Basis, type Field, type Unit } from "./aliases.ts";
import { engineOf, engineOfService, sglangStages, type StageField } from "./engines.ts";
import { durationNs, isoMs, numberOf, rustDurationNs, tokenCount } from "./quantities.ts";
import { isLabel, isNumber, isText, type Slots } from "./slots.ts";

/** The interned strings that normalising reads and adds to. */
export interface Words {
  text(id: number): string;
  constant(text: string): number;
  /** Changes when the numbers of strings do. */
  readonly generation: number;
}

/** What is known of a span beside its attributes. */
export interface SpanFacts {
  startMs: number;
  durationNs: number;
  /** Interned; for SGLang's stages and engines' request spans. */
  name: number;
  service: number;
  /** Engine that scope or resource betray; empty for none. */
  engine: string;
  /** Text of a slot's bounds in the body. */
  read(offset: number, length: number): string;
}

export const basisCodes: Readonly<Record<Basis, number>> = { client: 1, gateway: 2, engine: 3 };
export const modelSources = { none: 0, span: 1, instance: 3 } as const;

/** Canonical values of one span. */
export class Normalized {
  ttftNs = NaN;
  ttftBasis = 0;
  itlNs = NaN;
  queueNs = NaN;
  prefillNs = NaN;
  decodeNs = NaN;
  kvTransferNs = NaN;
  e2eNs = NaN;
  inputTokens = NaN;
  outputTokens = NaN;
  cachedTokens = NaN;
  reasoningTokens = NaN;
  engine = 0;
  model = 0;
  provider = 0;
  operation = 0;
  finish = 0;
  errorType = 0;
  gpuUuid = 0;
  gpuLevel = 0;
  /** Rows of the alias table whose text it is; -1 for none. */
  session = -1;
  user = -1;
}

/* The alias table as arrays, so that a span's loop touches numbers only. */
const fieldNames = [...new Set(aliases.map(({ field }) => field))];
const fieldOf = Uint8Array.from(aliases, ({ field }) => fieldNames.indexOf(field));
const unitOf: readonly Unit[] = aliases.map(({ unit }) => unit);
const engineOfAlias: readonly (string | undefined)[] = aliases.map(({ engine }) => engine);
const noAlias = aliases.length;
const best = new Uint16Array(fieldNames.length);
const indexOf = (field: Field): number => fieldNames.indexOf(field);
const at = {
  ttft: indexOf("ttft"),
  itl: indexOf("itl"),
  queue: indexOf("queue"),
  prefill: indexOf("prefill"),
  decode: indexOf("decode"),
  kvTransfer: indexOf("kvTransfer"),
  e2e: indexOf("e2e"),
  inputTokens: indexOf("inputTokens"),
  outputTokens: indexOf("outputTokens"),
  cachedTokens: indexOf("cachedTokens"),
  reasoningTokens: indexOf("reasoningTokens"),
  model: indexOf("model"),
  provider: indexOf("provider"),
  operation: indexOf("operation"),
  finish: indexOf("finish"),
  errorType: indexOf("errorType"),
  session: indexOf("session"),
  user: indexOf("user"),
  gpuUuid: indexOf("gpuUuid"),
  gpuLevel: indexOf("gpuLevel"),
};
/** Values of each field's best alias, as numbers; NaN where there is none. */
const values = new Float64Array(fieldNames.length);

/* What words of senders mean, looked up once per distinct word. */
let owner: Words | undefined;
let generation = -1;
const operationOfWord = new Map<number, number>();
const engineOfProvider = new Map<number, string>();

export function normalize(slots: Slots, facts: SpanFacts, words: Words, out: Normalized): void {
  // Another decoder numbers its words otherwise.
  if (owner !== words || generation !== words.generation) {
    owner = words;
    generation = words.generation;
    operationOfWord.clear();
    engineOfProvider.clear();
  }
  choose(slots, facts, words);
  const engineName = engineNameOf(slots, facts, words);
  const engine = engineName === "" ? undefined : engineOf(engineName);
  out.engine = engineName === "" ? 0 : words.constant(engineName);
  out.ttftNs = value(at.ttft);
  out.ttftBasis = Number.isNaN(out.ttftNs) ? 0 : basisOf(engine?.basis);
  out.queueNs = value(at.queue);
  out.prefillNs = value(at.prefill);
  out.decodeNs = value(at.decode);
  out.kvTransferNs = value(at.kvTransfer);
  out.e2eNs = value(at.e2e);
  out.inputTokens = value(at.inputTokens);
  out.outputTokens = value(at.outputTokens);
  out.cachedTokens = value(at.cachedTokens);
  out.reasoningTokens = value(at.reasoningTokens);
  if (engine?.prefillHasQueue === true) out.prefillNs = Math.max(0, out.prefillNs - out.queueNs);
  if (engineName === "sglang") stage(facts, words, out);
  out.itlNs = timePerToken(facts, out);
  out.model = label(at.model, slots);
  out.finish = label(at.finish, slots);
  out.errorType = label(at.errorType, slots);
  out.gpuUuid = label(at.gpuUuid, slots);
  out.gpuLevel = label(at.gpuLevel, slots);
  out.provider = providerOf(slots, words, out.engine);
  out.operation = operationOf(slots, facts, words, engine?.requestSpans);
  out.session = textAlias(at.session);
  out.user = textAlias(at.user);
}

/** For every field: the alias of the highest precedence whose value is sane. */
function choose(slots: Slots, facts: SpanFacts, words: Words): void {
  best.fill(noAlias);
  values.fill(NaN);
  for (let i = 0; i < slots.count; i += 1) {
    const alias = slots.touched[i] ?? 0;
    const field = fieldOf[alias] ?? 0;
    if (alias >= (best[field] ?? noAlias)) continue;
    const unit = unitOf[alias] ?? "none";
    if (unit === "none") continue;
    if (unit === "label") {
      if (slots.kind[alias] !== isLabel || slots.label[alias] === 0) continue;
    } else if (unit === "id") {
      if (slots.kind[alias] !== isText || slots.length[alias] === 0) continue;
    } else {
      const found = quantity(slots, alias, unit, facts, words);
      // A TTFT of 0 is a sender's "not set".
      if (Number.isNaN(found) || (found === 0 && field === at.ttft)) continue;
      values[field] = found;
    }
    best[field] = alias;
  }
}

function quantity(slots: Slots, alias: number, unit: Unit, facts: SpanFacts, words: Words): number {
  const kind = slots.kind[alias];
  let number = slots.number[alias] ?? NaN;
  if (kind === isText || kind === isLabel) {
    const text =
      kind === isLabel
        ? words.text(slots.label[alias] ?? 0)
        : facts.read(slots.offset[alias] ?? 0, slots.length[alias] ?? 0);
    if (unit === "rust") return rustDurationNs(text);
    if (unit === "iso") return sinceStart(isoMs(text), facts.startMs);
    number = numberOf(text);
  } else if (kind !== isNumber) return NaN;
  if (unit === "count") return tokenCount(number);
  if (unit === "ints" || unit === "iso") return NaN;
  return durationNs(number, unit);
}

function sinceStart(momentMs: number, startMs: number): number {
  return durationNs(momentMs - startMs, "ms");
}

function value(field: number): number {
  return values[field] ?? NaN;
}

function label(field: number, slots: Slots): number {
  const alias = best[field] ?? noAlias;
  return alias === noAlias ? 0 : (slots.label[alias] ?? 0);
}

function textAlias(field: number): number {
  const alias = best[field] ?? noAlias;
  return alias === noAlias ? -1 : alias;
}

/** Keys that one engine alone writes, then scope and resource, then a provider that is an engine. */
function engineNameOf(slots: Slots, facts: SpanFacts, words: Words): string {
  for (let i = 0; i < slots.count; i += 1) {
    const named = engineOfAlias[slots.touched[i] ?? 0];
    if (named !== undefined) return named;
  }
  if (facts.engine !== "") return facts.engine;
  const fromProvider = providerEngine(label(at.provider, slots), words);
  if (fromProvider !== "") return fromProvider;
  const ttft = best[at.ttft] ?? noAlias;
  const fromEngine = ttft !== noAlias && aliases[ttft]?.basis === "engine";
  return fromEngine ? engineOfService(words.text(facts.service)) : "";
}

function providerEngine(id: number, words: Words): string {
  if (id === 0) return "";
  const known = engineOfProvider.get(id);
  if (known !== undefined) return known;
  const name = engineOf(words.text(id).toLowerCase())?.name ?? "";
  engineOfProvider.set(id, name);
  return name;
}

/** A client's key stays the client's, whoever answered it; only keys without a home follow the engine. */
function basisOf(engineBasis: Basis | undefined): number {
  const alias = aliases[best[at.ttft] ?? 0];
  const homeless = alias?.key === "ttft_ms";
  return basisCodes[(homeless ? engineBasis : undefined) ?? alias?.basis ?? "client"];
}

function stage(facts: SpanFacts, words: Words, out: Normalized): void {
  const field: StageField | undefined = sglangStages.get(words.text(facts.name).trim());
  if (field === "queue") out.queueNs = facts.durationNs;
  else if (field === "prefill") out.prefillNs = facts.durationNs;
  else if (field === "decode") out.decodeNs = facts.durationNs;
  else if (field === "kvTransfer") out.kvTransferNs = facts.durationNs;
}

/** Said by the sender, else (end to end − TTFT) ÷ (output tokens − 1), else the inverse of its rate. */
function timePerToken(facts: SpanFacts, out: Normalized): number {
  const said = value(at.itl);
  const alias = aliases[best[at.itl] ?? 0];
  if (!Number.isNaN(said) && alias?.unit !== "perSecond") return said;
  const e2e = Number.isNaN(out.e2eNs) ? facts.durationNs : out.e2eNs;
  const generated = e2e - out.ttftNs;
  if (out.outputTokens > 1 && generated >= 0) return Math.round(generated / (out.outputTokens - 1));
  return said;
}

function providerOf(slots: Slots, words: Words, engine: number): number {
  const alias = best[at.provider] ?? noAlias;
  if (alias === noAlias) return engine;
  const id = slots.label[alias] ?? 0;
  if (aliases[alias]?.key !== "ai.model.provider") return id;
  // Vercel names the kind of model after a dot: `openai.chat`.
  const [provider = ""] = words.text(id).split(".");
  return words.constant(provider);
}

function operationOf(
  slots: Slots,
  facts: SpanFacts,
  words: Words,
  requestSpans: readonly string[] | undefined,
): number {
  const id = label(at.operation, slots);
  if (id !== 0) {
    const known = operationOfWord.get(id);
    if (known !== undefined) return known;
    const word = operationWords.get(words.text(id).toLowerCase());
    const meaning = word === undefined ? id : words.constant(word);
    operationOfWord.set(id, meaning);
    return meaning;
  }
  // An engine's request span names no operation: all it does is to complete text.
  const isRequest = requestSpans?.includes(words.text(facts.name)) === true;
  const hasEngineTtft = aliases[best[at.ttft] ?? noAlias]?.basis === "engine";
  return isRequest || hasEngineTtft ? words.constant("text_completion") : 0;
}
