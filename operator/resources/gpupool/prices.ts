/**
 * From a pool's pricing to rows of `prices`: pure. Rows are only appended, and none of them changes what a
 * GPU cost up to now: a price that is given for the past holds from now on, except a product's first one,
 * before which there was none. A change that was announced and is taken back is covered by a row of the
 * same date.
 */
import type { GpuPoolSpec } from "../crds/gpu-pool.ts";

export interface PriceRow {
  /** Of the label `nvidia.com/gpu.product`; empty: every product without a price of its own. */
  readonly product: string;
  readonly currency: string;
  /** Billionths of the currency for an hour; undefined: none from then on. */
  readonly perGpuHourNanos: number | undefined;
  readonly fromMs: number;
}

/** In the order in which they were appended. */
export type PriceHistory = readonly PriceRow[];

/** The row that holds at t: of those that have begun the latest, of equals the last appended. */
export function priceAt(rows: PriceHistory, product: string, t: number): PriceRow | undefined {
  let found: PriceRow | undefined;
  for (const row of rows) {
    if (row.product !== product || row.fromMs > t) continue;
    if (found === undefined || row.fromMs >= found.fromMs) found = row;
  }
  return found;
}

/** What to append, in this order; nothing where the rows say it already. */
export function planPrices(
  rows: PriceHistory,
  pricing: GpuPoolSpec["pricing"],
  nowMs: number,
): PriceRow[] {
  const wanted = new Map<string, number>();
  if (pricing.perGpuHour !== undefined) wanted.set("", nanosOf(pricing.perGpuHour));
  for (const { product, perGpuHour } of pricing.products ?? []) {
    wanted.set(product, nanosOf(perGpuHour));
  }
  const asked = pricing.effectiveFrom === undefined ? NaN : Date.parse(pricing.effectiveFrom);
  const products = new Set([...wanted.keys(), ...rows.map(({ product }) => product)]);
  return [...products].sort().flatMap((product) => {
    const mine = rows.filter((row) => row.product === product);
    const price = { currency: pricing.currency, perGpuHourNanos: wanted.get(product) };
    return planProduct(mine, { product, ...price }, { askedMs: asked, nowMs });
  });
}

function planProduct(
  rows: PriceHistory,
  wanted: Omit<PriceRow, "fromMs">,
  times: { readonly askedMs: number; readonly nowMs: number },
): PriceRow[] {
  const { askedMs, nowMs } = times;
  const asked = Number.isNaN(askedMs) ? nowMs : askedMs;
  const isFirst = rows.length === 0;
  if (isFirst && wanted.perGpuHourNanos === undefined) return [];
  // Withdrawing a price has no date of its own.
  const fromMs =
    wanted.perGpuHourNanos === undefined ? nowMs : isFirst ? asked : Math.max(asked, nowMs);
  const none = { ...wanted, perGpuHourNanos: undefined };
  const until = priceAt(rows, wanted.product, nowMs) ?? none;
  // Every date from which something was to hold, in order: what holds then is said anew where it differs.
  const announced = rows.map((row) => row.fromMs).filter((at) => at > nowMs);
  const appended: PriceRow[] = [];
  for (const at of [...new Set([...announced, fromMs])].sort((a, b) => a - b)) {
    const then = at >= fromMs ? wanted : until;
    if (isSame(priceAt([...rows, ...appended], wanted.product, at), then)) continue;
    appended.push({ ...then, fromMs: at });
  }
  return appended;
}

function isSame(row: PriceRow | undefined, wanted: Omit<PriceRow, "fromMs">): boolean {
  if (row?.perGpuHourNanos === undefined) return wanted.perGpuHourNanos === undefined;
  return row.perGpuHourNanos === wanted.perGpuHourNanos && row.currency === wanted.currency;
}

/** "2.5" → 2,500,000,000. At most six digits on either side: exact in a double. */
export function nanosOf(decimal: string): number {
  const [whole = "0", fraction = ""] = decimal.split(".");
  return Number(whole) * 1e9 + Number(fraction.padEnd(9, "0"));
}
