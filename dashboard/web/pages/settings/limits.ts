/**
 * Limits as people type them: `20G`, `5,000`, nothing for none. Pure.
 */
const factors: Readonly<Record<string, number>> = { "": 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 };

/** null is "no limit"; undefined is "not a number". */
export function parseLimit(text: string): number | null | undefined {
  const trimmed = text.trim().replace(/[,_\s]/g, "");
  if (trimmed === "") return null;
  const match = /^(\d+(?:\.\d+)?)([kmgt]?)b?$/i.exec(trimmed);
  const factor = factors[(match?.[2] ?? "").toLowerCase()];
  if (!match || factor === undefined) return undefined;
  const value = Math.round(Number(match[1]) * factor);
  return value >= 1 ? value : undefined;
}

/** The shortest text that parses back to the same number. */
export function printLimit(value: number | null): string {
  if (value === null) return "";
  for (const [letter, factor] of Object.entries(factors).toReversed()) {
    if (letter !== "" && value >= factor && value % (factor / 1e3) === 0)
      return `${value / factor}${letter.toUpperCase()}`;
  }
  return String(value);
}
