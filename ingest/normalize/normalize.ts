/**
 * From what a span said to canonical values: engine, TTFT with its basis, phases, tokens, model,
 * provider, operation. Pure, over one `Said` that is used again for every span and completed here.
 *
 * A model that the span does not name is left to the reader, who sees the whole trace, because a row
 * must not depend on which spans happened to travel with it.
 */
import { operationWords, type Basis } from "./aliases.ts";
import { engineOf, engineOfService, sglangStages, type StageField } from "./engines.ts";
import { fields, type Said } from "./said.ts";

/** The interned strings that normalising reads and adds to. */
export interface Words {
  text(id: number): string;
  constant(text: string): number;
}

/** What is known of a span beside its attributes. */
export interface SpanFacts {
  durationNs: number;
  /** Interned; for SGLang's stages and engines' request spans. */
  name: number;
  service: number;
  /** Engine that scope or resource betray; empty for none. */
  engine: string;
}

export const basisCodes: Readonly<Record<Basis, number>> = { client: 1, gateway: 2, engine: 3 };
export const modelSources = { none: 0, span: 1, instance: 3 } as const;

export interface Normalizer {
  /** Completes `said`: its values and labels become canonical. */
  normalize(said: Said, facts: SpanFacts): void;
  /** Interned strings were renumbered. */
  clear(): void;
}

/** What words of senders mean is looked up once per distinct word. */
export function createNormalizer(words: Words): Normalizer {
  let operationOfWord: (number | undefined)[] = [];
  let engineOfWord: (string | undefined)[] = [];
  let engineOfServiceName: (string | undefined)[] = [];
  const memo = (
    known: (string | undefined)[],
    id: number,
    find: (text: string) => string,
  ): string => (known[id] ??= find(words.text(id)));

  /** Keys that one engine alone writes, then scope and resource, then a provider that is an engine. */
  const engineNameOf = (said: Said, facts: SpanFacts): string => {
    if (said.evidence !== undefined) return said.evidence;
    if (facts.engine !== "") return facts.engine;
    const provider = said.labels[fields.provider] ?? 0;
    const fromProvider = provider === 0 ? "" : memo(engineOfWord, provider, engineOfProvider);
    if (fromProvider !== "") return fromProvider;
    return hasEngineTtft(said) ? memo(engineOfServiceName, facts.service, engineOfService) : "";
  };

  const operationOf = (
    said: Said,
    facts: SpanFacts,
    requestSpans: readonly string[] | undefined,
  ): number => {
    const id = said.labels[fields.operation] ?? 0;
    if (id !== 0) {
      const known = operationOfWord[id];
      if (known !== undefined) return known;
      const word = operationWords.get(words.text(id).toLowerCase());
      const meaning = word === undefined ? id : words.constant(word);
      operationOfWord[id] = meaning;
      return meaning;
    }
    // An engine's request span names no operation: all it does is to complete text.
    const isRequest = requestSpans?.includes(words.text(facts.name)) === true;
    return isRequest || hasEngineTtft(said) ? words.constant("text_completion") : 0;
  };

  return {
    normalize: (said, facts) => {
      const { values, labels } = said;
      const engineName = engineNameOf(said, facts);
      const engine = engineName === "" ? undefined : engineOf(engineName);
      said.engine = engineName === "" ? 0 : words.constant(engineName);
      said.ttftBasis = Number.isNaN(value(said, fields.ttft)) ? 0 : basisOf(said, engine?.basis);
      if (engine?.prefillHasQueue === true) {
        values[fields.prefill] = Math.max(
          0,
          value(said, fields.prefill) - value(said, fields.queue),
        );
      }
      if (engineName === "sglang")
        stage(said, sglangStages.get(words.text(facts.name).trim()), facts);
      values[fields.itl] = timePerToken(said, facts);
      labels[fields.provider] = providerOf(said, words);
      labels[fields.operation] = operationOf(said, facts, engine?.requestSpans);
    },
    clear: () => {
      operationOfWord = [];
      engineOfWord = [];
      engineOfServiceName = [];
    },
  };
}

function value(said: Said, field: number): number {
  return said.values[field] ?? NaN;
}

function engineOfProvider(provider: string): string {
  return engineOf(provider.toLowerCase())?.name ?? "";
}

function hasEngineTtft(said: Said): boolean {
  return said.source(fields.ttft)?.basis === "engine";
}

/** A client's key stays the client's, whoever answered it; only keys without a home follow the engine. */
function basisOf(said: Said, engineBasis: Basis | undefined): number {
  const alias = said.source(fields.ttft);
  const homeless = alias?.key === "ttft_ms";
  return basisCodes[(homeless ? engineBasis : undefined) ?? alias?.basis ?? "client"];
}

function stage(said: Said, field: StageField | undefined, facts: SpanFacts): void {
  if (field !== undefined) said.values[fields[field]] = facts.durationNs;
}

/** Said by the sender, else (end to end − TTFT) ÷ (output tokens − 1), else the inverse of its rate. */
function timePerToken(said: Said, facts: SpanFacts): number {
  const itl = value(said, fields.itl);
  if (!Number.isNaN(itl) && said.source(fields.itl)?.unit !== "perSecond") {
    return itl;
  }
  const e2e = value(said, fields.e2e);
  const generated = (Number.isNaN(e2e) ? facts.durationNs : e2e) - value(said, fields.ttft);
  const outputTokens = value(said, fields.outputTokens);
  if (outputTokens > 1 && generated >= 0) return Math.round(generated / (outputTokens - 1));
  return itl;
}

function providerOf(said: Said, words: Words): number {
  const id = said.labels[fields.provider] ?? 0;
  if (id === 0) return said.engine;
  if (said.source(fields.provider)?.key !== "ai.model.provider") return id;
  // Vercel names the kind of model after a dot: `openai.chat`.
  const [provider = ""] = words.text(id).split(".");
  return words.constant(provider);
}
