/**
 * Where a call's time went: queue, prefill, decode and what is left, with shares. Pure.
 *
 * Phases are those of the principal call; the total is the request's. What no phase explains is
 * "other" (network, gateway, tools), never spread over the phases.
 */
import { duration, durationMs, say } from "../../data/format.ts";

export type WhyPhase = "queue" | "prefill" | "decode" | "other";

export interface WhyPart {
  readonly phase: WhyPhase;
  readonly ms: number;
  readonly share: number;
}

export interface PhaseTimes {
  readonly durationNs: number;
  readonly queueMs: number | null;
  readonly prefillMs: number | null;
  readonly decodeMs: number | null;
}

/** Empty when no phase is known. Parts sum to the whole; phases that claim more are scaled to fit. */
export function whyParts(call: PhaseTimes): readonly WhyPart[] {
  const totalMs = call.durationNs / 1e6;
  const known = [
    { phase: "queue" as const, ms: call.queueMs ?? 0 },
    { phase: "prefill" as const, ms: call.prefillMs ?? 0 },
    { phase: "decode" as const, ms: call.decodeMs ?? 0 },
  ].filter(({ ms }) => ms > 0);
  const sumMs = known.reduce((sum, { ms }) => sum + ms, 0);
  if (sumMs === 0 || totalMs <= 0) return [];
  const wholeMs = Math.max(totalMs, sumMs);
  const parts: WhyPart[] = known.map(({ phase, ms }) => ({ phase, ms, share: ms / wholeMs }));
  const otherMs = wholeMs - sumMs;
  // Below a thousandth it is rounding between two clocks.
  return otherMs > wholeMs * 0.001
    ? [...parts, { phase: "other", ms: otherMs, share: otherMs / wholeMs }]
    : parts;
}

/** The sentence beside the bar: what dominates. */
export function whySentence(parts: readonly WhyPart[]): string {
  const largest = parts.reduce<WhyPart | undefined>(
    (best, part) => (best && best.share >= part.share ? best : part),
    undefined,
  );
  if (!largest || largest.share < 0.4) return "";
  const words: Readonly<Record<WhyPhase, string>> = {
    queue: "It mostly waited in the engine's queue.",
    prefill: "Reading the prompt took most of it.",
    decode: "Producing the answer took most of it.",
    other: "Most of it passed outside the engine.",
  };
  return words[largest.phase];
}

export interface PhaselessCall {
  /** Whether the trace has a model call at all. */
  readonly isCall: boolean;
  /** Whether its caller's span alone tells of it. */
  readonly byCaller: boolean;
  readonly engine: string;
}

const tracing: Readonly<Record<string, string>> = {
  vllm: "vLLM",
  sglang: "SGLang",
  dynamo: "Dynamo",
};

/** Why there is nothing to tell apart, and who could tell. */
export function whyNoPhases({ isCall, byCaller, engine }: PhaselessCall): string {
  if (!isCall) return "No model call in this trace, so there are no phases to tell apart.";
  if (!byCaller) {
    return "This source does not report queue, prefill and decode. vLLM, SGLang and Dynamo do when their tracing is on.";
  }
  const server = tracing[engine];
  const teller =
    server === undefined
      ? "A server of yours (vLLM, SGLang, Dynamo) tells them with its tracing on"
      : `The ${server} server tells them with its tracing on`;
  return `Only the caller told of this call, and sees no queue, prefill or decode. ${teller} and the caller's trace context.`;
}

/** Names the call that is ranked where the trace, whose total stands beside, took longer than it. */
export function rankedCall(totalNs: number, callMs: number): string {
  const call = say(durationMs(callMs));
  return call === say(duration(totalNs)) ? "" : `its model call of ${call}: `;
}
