/**
 * The filter language of the top bar: `model:llama* status:error dur>500ms checkout`.
 *
 * Pure: text → terms → parameters of the API, and back. A term that is not understood is a problem
 * with its place in the text, shown to the person; it is never dropped in silence.
 */

export const filterKeys = [
  "service",
  "environment",
  "model",
  "provider",
  "engine",
  "operation",
  "status",
  "gpu",
  "pod",
  "namespace",
  "node",
  "session",
  "user",
] as const;
export type FilterKey = (typeof filterKeys)[number];

export const rangeKeys = [
  "dur",
  "ttft",
  "tokens",
  "pertoken",
  "queue",
  "prefill",
  "decode",
] as const;
export type RangeKey = (typeof rangeKeys)[number];

export type Term =
  | { readonly kind: "is"; readonly key: FilterKey; readonly value: string; readonly not: boolean }
  | {
      readonly kind: "range";
      readonly key: RangeKey;
      readonly op: "<" | ">";
      readonly value: number;
    }
  | { readonly kind: "text"; readonly text: string };

export interface FilterProblem {
  readonly at: number;
  readonly length: number;
  readonly message: string;
}
export interface ParsedFilter {
  readonly terms: readonly Term[];
  readonly problems: readonly FilterProblem[];
}
export type FilterParams = Readonly<Record<string, string | readonly string[]>>;

const aliases: Readonly<Record<string, FilterKey>> = {
  env: "environment",
  ns: "namespace",
  svc: "service",
  op: "operation",
};
const rangeAliases: Readonly<Record<string, RangeKey>> = {
  duration: "dur",
  total: "dur",
  tok: "tokens",
  tpot: "pertoken",
  itl: "pertoken",
};
const rangeParams: Readonly<Record<RangeKey, readonly [string, string]>> = {
  dur: ["minDurationMs", "maxDurationMs"],
  ttft: ["minTtftMs", "maxTtftMs"],
  tokens: ["minTokens", "maxTokens"],
  pertoken: ["minPerTokenMs", "maxPerTokenMs"],
  queue: ["minQueueMs", "maxQueueMs"],
  prefill: ["minPrefillMs", "maxPrefillMs"],
  decode: ["minDecodeMs", "maxDecodeMs"],
};
const unitMs: Readonly<Record<string, number>> = {
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1e3,
  m: 60e3,
  h: 3600e3,
};

export function parseFilter(text: string): ParsedFilter {
  const terms: Term[] = [];
  const problems: FilterProblem[] = [];
  for (const token of tokenize(text)) {
    const term = parseTerm(token.text);
    if (typeof term === "string") {
      problems.push({ at: token.at, length: token.text.length, message: term });
    } else {
      terms.push(term);
    }
  }
  return { terms, problems };
}

export function printFilter(terms: readonly Term[]): string {
  return terms.map(printTerm).join(" ");
}

/** Parameters of TraceFilter. Words become `q`; several values of one key mean any of them. */
export function filterParams(terms: readonly Term[]): FilterParams {
  const out: Record<string, string | string[]> = {};
  const words: string[] = [];
  for (const term of terms) {
    if (term.kind === "text") words.push(term.text);
    else if (term.kind === "range") {
      const [min, max] = rangeParams[term.key];
      out[term.op === ">" ? min : max] = String(term.value);
    } else if (term.key === "status") {
      out["status"] = term.value;
    } else {
      const value = term.not ? `!${term.value}` : term.value;
      const before = out[term.key];
      out[term.key] = Array.isArray(before) ? [...before, value] : [value];
    }
  }
  if (words.length > 0) out["q"] = words.join(" ");
  return out;
}

/** Keys whose values the API lists, so that `llama*` can be looked up. Sessions and users are too many. */
const listedKeys: ReadonlySet<string> = new Set(
  filterKeys.filter((key) => key !== "session" && key !== "user"),
);

export interface Wildcard {
  readonly key: FilterKey;
  readonly prefix: string;
}

/** The distinct `key:prefix*` of a filter. */
export function wildcards(terms: readonly Term[]): readonly Wildcard[] {
  const found = terms.flatMap((term) =>
    isWildcard(term) ? [{ key: term.key, prefix: term.value.slice(0, -1) }] : [],
  );
  return found.filter(
    (a, i) => found.findIndex((b) => b.key === a.key && b.prefix === a.prefix) === i,
  );
}

/** Each `key:prefix*` as the values that begin so; one that begins nothing stays and matches nothing. */
export function expandWildcards(
  terms: readonly Term[],
  values: (wildcard: Wildcard) => readonly string[],
): readonly Term[] {
  return terms.flatMap((term): readonly Term[] => {
    if (!isWildcard(term)) return [term];
    const found = values({ key: term.key, prefix: term.value.slice(0, -1) });
    return found.length === 0 ? [term] : found.map((value) => ({ ...term, value }));
  });
}

function isWildcard(term: Term): term is Extract<Term, { kind: "is" }> {
  return (
    term.kind === "is" && term.key !== "status" && term.value.length > 1 && term.value.endsWith("*")
  );
}

/** Adds `key:value`, or takes it away when it is there. An `is` replaces its own negation. */
export function toggleTerm(text: string, key: FilterKey, value: string, not: boolean): string {
  const { terms } = parseFilter(text);
  const same = (term: Term): boolean =>
    term.kind === "is" && term.key === key && term.value === value && term.not === not;
  if (terms.some(same)) return printFilter(terms.filter((term) => !same(term)));
  const single = key === "status";
  const rest = terms.filter(
    (term) => !(term.kind === "is" && term.key === key && (single || term.value === value)),
  );
  return printFilter([...rest, { kind: "is", key, value, not }]);
}

/** Sets the bounds of one measure, replacing what was there. */
export function withBounds(text: string, key: RangeKey, low: number, high: number): string {
  const rest = parseFilter(text).terms.filter(
    (term) => !(term.kind === "range" && term.key === key),
  );
  return printFilter([
    ...rest,
    { kind: "range", key, op: ">", value: low },
    { kind: "range", key, op: "<", value: high },
  ]);
}

export function hasTerm(
  parsed: ParsedFilter,
  key: FilterKey,
  value: string,
): "is" | "not" | "none" {
  for (const term of parsed.terms) {
    if (term.kind === "is" && term.key === key && term.value === value)
      return term.not ? "not" : "is";
  }
  return "none";
}

interface Token {
  readonly at: number;
  readonly text: string;
}

/** Splits at blanks outside double quotes; a backslash escapes inside quotes. */
function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = [];
  const pattern = /(?:[^\s"]|"(?:[^"\\]|\\.)*(?:"|$))+/g;
  for (const match of text.matchAll(pattern)) tokens.push({ at: match.index, text: match[0] });
  return tokens;
}

function parseTerm(token: string): Term | string {
  const range = /^([a-zA-Z]+)(<=|>=|<|>)(.*)$/.exec(token);
  if (range) return parseBound(range[1] ?? "", range[2] ?? "", range[3] ?? "");
  const is = /^(-?)([a-zA-Z]+):(.*)$/s.exec(token);
  if (!is) return { kind: "text", text: unquote(token) };
  const name = (is[2] ?? "").toLowerCase();
  const key = aliases[name] ?? filterKeys.find((known) => known === name);
  if (key === undefined) return `There is no filter "${name}". Known: ${filterKeys.join(", ")}.`;
  return parseIs(key, is[3] ?? "", is[1] === "-");
}

function parseIs(key: FilterKey, raw: string, minus: boolean): Term | string {
  const negated = minus || raw.startsWith("!");
  const value = unquote(raw.startsWith("!") ? raw.slice(1) : raw);
  if (value === "") return `"${key}:" needs a value.`;
  if (key === "status") {
    if (negated) return "status cannot be excluded; write the one you want.";
    const known = ["ok", "error", "unset"].includes(value.toLowerCase());
    return known
      ? { kind: "is", key, value: value.toLowerCase(), not: false }
      : "status is ok, error or unset.";
  }
  if (value.endsWith("*") && !listedKeys.has(key))
    return `${key} needs its whole value, without *.`;
  return { kind: "is", key, value, not: negated };
}

function parseBound(nameText: string, op: string, raw: string): Term | string {
  const name = nameText.toLowerCase();
  const key = rangeAliases[name] ?? rangeKeys.find((known) => known === name);
  if (key === undefined) return `"${name}" cannot be compared. Known: ${rangeKeys.join(", ")}.`;
  const match = /^(\d+(?:\.\d+)?(?:e[+-]?\d+)?)(us|µs|ms|s|m|h|k)?$/i.exec(raw);
  if (!match)
    return `"${raw}" is not ${key === "tokens" ? "a number" : "a duration such as 500ms or 2s"}.`;
  const unit = (match[2] ?? "").toLowerCase();
  const factor =
    key === "tokens" ? (unit === "k" ? 1e3 : unit === "" ? 1 : undefined) : unitMs[unit || "ms"];
  if (factor === undefined) return `"${unit}" is not a unit of ${key}.`;
  return {
    kind: "range",
    key,
    op: op.startsWith("<") ? "<" : ">",
    value: Number(match[1]) * factor,
  };
}

function printTerm(term: Term): string {
  if (term.kind === "text")
    return looksLikeTerm(term.text) ? quoteAlways(term.text) : quote(term.text);
  if (term.kind === "range") {
    return `${term.key}${term.op}${term.key === "tokens" ? term.value : printMs(term.value)}`;
  }
  return `${term.not ? "-" : ""}${term.key}:${term.value.startsWith("!") ? quoteAlways(term.value) : quote(term.value)}`;
}

/** The unit that prints without losing a digit: 1500 → 1.5s, 250 → 250ms. */
function printMs(ms: number): string {
  return ms >= 1000 && (ms / 1000) * 1000 === ms ? `${ms / 1000}s` : `${ms}ms`;
}

function looksLikeTerm(text: string): boolean {
  return /^(-?[a-zA-Z]+:|[a-zA-Z]+(<|>))/.test(text);
}

function quote(text: string): string {
  return text === "" || /[\s"\\]/.test(text) ? quoteAlways(text) : text;
}
function quoteAlways(text: string): string {
  return `"${text.replace(/["\\]/g, (c) => `\\${c}`)}"`;
}
function unquote(text: string): string {
  return text.replace(/"((?:[^"\\]|\\.)*)(?:"|$)/g, (_, inner: string) =>
    inner.replace(/\\(.)/g, "$1"),
  );
}
