/**
 * Colours for canvases: reads the tokens once per theme. Components use CSS; only what is painted
 * pixel by pixel asks here.
 */
import { theme } from "../data/preferences.ts";

export interface Palette {
  readonly bg: string;
  readonly surface: string;
  readonly raised: string;
  readonly line: string;
  readonly lineStrong: string;
  readonly text: string;
  readonly muted: string;
  readonly faint: string;
  readonly accent: string;
  readonly ok: string;
  readonly warn: string;
  readonly crit: string;
  readonly critTint: string;
  readonly selected: string;
  readonly hatch: string;
  readonly span: string;
  readonly onPhase: string;
  readonly use: readonly string[];
  readonly heat: readonly string[];
  readonly category: readonly string[];
  readonly phase: Readonly<Record<PhaseName, string>>;
  readonly font: string;
}
export type PhaseName = "queue" | "prefill" | "decode" | "tool" | "retrieval" | "network" | "other";

let cached: { readonly key: string; readonly palette: Palette } | undefined;

export function palette(): Palette {
  const key = theme.get();
  if (cached?.key === key) return cached.palette;
  const style = getComputedStyle(document.documentElement);
  const token = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  const steps = (name: string, n: number): readonly string[] =>
    Array.from({ length: n }, (_, i) => token(`${name}-${i + 1}`));
  const next: Palette = {
    bg: token("bg"),
    surface: token("surface"),
    raised: token("raised"),
    line: token("line"),
    lineStrong: token("line-strong"),
    text: token("text"),
    muted: token("muted"),
    faint: token("faint"),
    accent: token("accent"),
    ok: token("ok"),
    warn: token("warn"),
    crit: token("crit"),
    critTint: token("crit-tint"),
    selected: token("selected"),
    hatch: token("hatch"),
    span: token("span"),
    onPhase: token("on-phase"),
    use: steps("use", 9),
    heat: steps("heat", 9),
    category: steps("cat", 10),
    phase: {
      queue: token("phase-queue"),
      prefill: token("phase-prefill"),
      decode: token("phase-decode"),
      tool: token("phase-tool"),
      retrieval: token("phase-retrieval"),
      network: token("phase-network"),
      other: token("phase-other"),
    },
    font: token("font"),
  };
  cached = { key, palette: next };
  return next;
}

/** Step 0–8 of a ramp for a ratio 0–1. */
export function rampStep(ratio: number): number {
  return Math.max(0, Math.min(8, Math.floor(ratio * 9)));
}
