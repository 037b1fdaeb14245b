/**
 * Seeded random numbers (sfc32) with the few distributions that load has.
 *
 * The same seed gives the same numbers on every machine; nothing here is fit for secrets.
 */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Whole number, both ends included. */
  int(min: number, max: number): number;
  chance(probability: number): boolean;
  pick<T>(items: readonly [T, ...T[]]): T;
  exponential(mean: number): number;
  /** Log-normal by its median; sigma 0.5 is a usual latency, 1 a wild one. */
  logNormal(median: number, sigma: number): number;
  /** Lower-case hex digits. */
  hex(digits: number): string;
  /** The shape of a UUID, version 4. */
  uuid(): string;
}

export function createRandom(seed: number): Random {
  const uint32 = sfc32(seed);
  const next = (): number => uint32() / 4_294_967_296;
  const normal = (): number =>
    Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  const hex = (digits: number): string => {
    let text = "";
    while (text.length < digits) text += uint32().toString(16).padStart(8, "0");
    return text.slice(0, digits);
  };
  return {
    next,
    int: (min, max) => min + Math.floor(next() * (max - min + 1)),
    chance: (probability) => next() < probability,
    pick: (items) => items[Math.floor(next() * items.length)] ?? items[0],
    exponential: (mean) => -Math.log(1 - next()) * mean,
    logNormal: (median, sigma) => median * Math.exp(sigma * normal()),
    hex,
    uuid: () => `${hex(8)}-${hex(4)}-4${hex(3)}-${"89ab"[uint32() & 3] ?? "8"}${hex(3)}-${hex(12)}`,
  };
}

function sfc32(seed: number): () => number {
  let a = 0x9e3779b9;
  let b = 0x243f6a88;
  let c = seed | 0;
  let counter = 1;
  const step = (): number => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  };
  // The first numbers of near seeds are alike; these mix them apart.
  for (let warmUp = 0; warmUp < 15; warmUp++) step();
  return step;
}
