/**
 * Numbers out of what senders write: units, Rust's Debug durations, ISO moments, and what is too
 * odd to be true. Everything answers NaN for "unknown".
 */
import type { Unit } from "./aliases.ts";

/** No phase of a call lasts longer; beyond it a unit was mistaken. 30 days in ns. */
export const mostNs = 30 * 24 * 3600 * 1e9;
const mostTokens = 2 ** 32 - 1;

/** A phase in ns. */
export function durationNs(value: number, unit: Unit): number {
  if (!(value >= 0)) return NaN;
  const ns =
    unit === "ms"
      ? value * 1e6
      : unit === "perSecond"
        ? value > 0
          ? 1e9 / value
          : NaN
        : value * 1e9;
  return ns <= mostNs ? Math.round(ns) : NaN;
}

export function tokenCount(value: number): number {
  return value >= 0 && value <= mostTokens ? Math.round(value) : NaN;
}

/** "1.23s", "45.6ms", "789µs", "12ns"; or a bare number of seconds. In ns. */
export function rustDurationNs(text: string): number {
  const match = /^\s*"?(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(ns|µs|μs|us|ms|s)?"?\s*$/i.exec(text);
  if (match === null) return NaN;
  const scale = scales[(match[2] ?? "s").toLowerCase()] ?? 1e9;
  const ns = Number(match[1]) * scale;
  return ns <= mostNs ? Math.round(ns) : NaN;
}
const scales: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
};

/** A moment in epoch ms; senders may have put it in quotes once more (Langfuse). */
export function isoMs(text: string): number {
  const bare = text.trim().replace(/^"+|"+$/g, "");
  return /^\d{4}-\d\d-\d\d[T ]/.test(bare) ? Date.parse(bare) : NaN;
}

/** A number that came as text. */
export function numberOf(text: string): number {
  const bare = text.trim();
  return bare === "" || bare.length > 32 ? NaN : Number(bare);
}
