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

/** Names the call that is ranked where the trace, whose total stands beside, took longer than it. */
export function rankedCall(totalNs: number, callMs: number): string {
  const call = say(durationMs(callMs));
  return call === say(duration(totalNs)) ? "" : `its model call of ${call}: `;
}
