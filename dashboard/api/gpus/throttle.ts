/**
 * NVML's clocks-event reasons (a bit mask) in words, and as stretches of time. Pure.
 *
 * Bits that slow nobody down are left out: idle (0x1), clocks that an administrator set (0x2), and
 * those of a display (0x100). Names: nvml.h, nvmlClocksEventReason*.
 */
import { rfc3339FromMs } from "../time-text.ts";

const words: readonly (readonly [bit: number, word: string])[] = [
  [0x8, "hardware slowdown"],
  [0x40, "thermal slowdown (hardware)"],
  [0x20, "thermal slowdown (software)"],
  [0x80, "power brake"],
  [0x4, "power cap"],
  [0x10, "waits for its sync group"],
];
const all = words.reduce((mask, [bit]) => mask | bit, 0);

export function throttleReasons(mask: number): string[] {
  return words.filter(([bit]) => (mask & bit) !== 0).map(([, word]) => word);
}

/** Neighbouring steps with the same reasons are one stretch. `null`: nothing was sampled. */
export function throttleStretches(
  startMs: readonly number[],
  stepMs: number,
  masks: readonly (number | null)[],
): { from: string; to: string; reasons: string[] }[] {
  const out: { fromMs: number; toMs: number; mask: number }[] = [];
  for (const [at, mask] of masks.entries()) {
    const slowed = (mask ?? 0) & all;
    const fromMs = startMs[at] ?? 0;
    if (slowed === 0) continue;
    const last = out.at(-1);
    if (last?.toMs === fromMs && last.mask === slowed) last.toMs = fromMs + stepMs;
    else out.push({ fromMs, toMs: fromMs + stepMs, mask: slowed });
  }
  return out.map(({ fromMs, toMs, mask }) => ({
    from: rfc3339FromMs(fromMs),
    to: rfc3339FromMs(toMs),
    reasons: throttleReasons(mask),
  }));
}
