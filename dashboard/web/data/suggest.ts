/**
 * What the filter field may offer at the caret: keys, then values of a key. Pure.
 */
import { filterKeys, rangeKeys, type FilterKey } from "./filter.ts";

export interface CaretToken {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** The blank-delimited token that the caret stands in (quotes keep blanks together). */
export function tokenAt(text: string, caret: number): CaretToken {
  let start = 0;
  let quoted = false;
  for (let i = 0; i < caret; i += 1) {
    if (text[i] === '"') quoted = !quoted;
    else if (!quoted && /\s/.test(text[i] ?? "")) start = i + 1;
  }
  let end = caret;
  while (end < text.length && (quoted || !/\s/.test(text[end] ?? ""))) {
    if (text[end] === '"') quoted = !quoted;
    end += 1;
  }
  return { start, end, text: text.slice(start, end) };
}

export type Wanted =
  | { readonly kind: "keys"; readonly options: readonly Option[] }
  | {
      readonly kind: "values";
      readonly key: FilterKey;
      readonly prefix: string;
      readonly minus: string;
    }
  | { readonly kind: "nothing" };

export interface Option {
  /** Replaces the token at the caret. */
  readonly insert: string;
  readonly label: string;
  readonly note: string;
  /** Whether a blank follows: a key alone waits for its value. */
  readonly complete: boolean;
}

const keyNotes: Readonly<Record<string, string>> = {
  model: "llama-3.1-70b, llama*",
  service: "service.name",
  status: "ok, error, unset (none reported)",
  engine: "vllm, sglang, …",
  operation: "chat, embeddings, …",
  gpu: "GPU-… or MIG-…",
  environment: "deployment environment",
  provider: "openai, …",
  pod: "Kubernetes pod",
  namespace: "Kubernetes namespace",
  node: "Kubernetes node",
  session: "session id",
  user: "user id",
};
const rangeNotes: Readonly<Record<string, string>> = {
  dur: "total duration, dur>500ms",
  ttft: "time to first token, ttft>2s",
  tokens: "input + output, tokens>8k",
  pertoken: "time per output token, pertoken>50ms",
  queue: "time in the engine's queue, queue>200ms",
  prefill: "time of prefill, prefill>1s",
  decode: "time of decode, decode>5s",
};

export function wantedAt(token: string): Wanted {
  const value = /^(-?)([a-zA-Z]+):(!?)(.*)$/.exec(token);
  if (value) {
    const key = filterKeys.find((known) => known === value[2]);
    if (key === undefined || key === "session" || key === "user") return { kind: "nothing" };
    return {
      kind: "values",
      key,
      prefix: (value[4] ?? "").replaceAll('"', ""),
      minus: value[1] ?? "",
    };
  }
  if (/[<>]/.test(token)) return { kind: "nothing" };
  const minus = token.startsWith("-") ? "-" : "";
  const typed = token.slice(minus.length).toLowerCase();
  const options: Option[] = filterKeys
    .filter((key) => key.startsWith(typed))
    .map((key) => ({
      insert: `${minus}${key}:`,
      label: `${minus}${key}:`,
      note: keyNotes[key] ?? "",
      complete: false,
    }));
  if (minus === "") {
    for (const key of rangeKeys) {
      if (key.startsWith(typed))
        options.push({
          insert: `${key}>`,
          label: `${key}>`,
          note: rangeNotes[key] ?? "",
          complete: false,
        });
    }
  }
  return { kind: "keys", options };
}

/** The text with the option in place of the token, and where the caret goes. */
export function applyOption(
  text: string,
  token: CaretToken,
  option: Option,
): { readonly text: string; readonly caret: number } {
  const tail = text.slice(token.end);
  const blank = option.complete && !tail.startsWith(" ") ? " " : "";
  const head = text.slice(0, token.start) + option.insert + blank;
  return { text: head + tail, caret: head.length };
}
