/**
 * `resource.Quantity` as whole bytes: `200Gi`, `1.5G`, `1e9`. What the CRD's rule lets through is read
 * here; fractions of a byte are rounded up. Pure.
 */

const powers: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** undefined: it is none. At most 2^53 - 1, which is more than a day brings. */
export function bytesOfQuantity(text: string): number | undefined {
  const match = /^\+?(\d+\.?\d*|\.\d+)(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,2}))?$/.exec(text);
  if (match === null) return undefined;
  const [, digits = "", suffix = "", exponent] = match;
  const factor = exponent === undefined ? powers[suffix] : 10 ** Number(exponent);
  if (factor === undefined) return undefined;
  return Math.min(Number.MAX_SAFE_INTEGER, Math.ceil(Number(digits) * factor));
}
