/** Prices: what is appended says what the spec says from now on, and never anything else about the past. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { nanosOf, planPrices, priceAt, type PriceRow } from "./prices.ts";

const seed = Date.now() % 2 ** 31;
const now = Date.parse("2026-11-29T12:00:00Z");
const at = (hours: number): string => new Date(now + hours * 3_600_000).toISOString();

test("a decimal becomes nanos exactly", () => {
  assert.equal(nanosOf("2"), 2_000_000_000);
  assert.equal(nanosOf("2.5"), 2_500_000_000);
  assert.equal(nanosOf("0.000001"), 1_000);
  assert.equal(nanosOf("999999.999999"), 999_999_999_999_000);
});

test("a first price may reach back, a change may not, and the same spec appends nothing", () => {
  const first = planPrices([], { currency: "USD", perGpuHour: "2", effectiveFrom: at(-48) }, now);
  assert.deepEqual(first, [
    { product: "", currency: "USD", perGpuHourNanos: 2e9, fromMs: now - 48 * 3_600_000 },
  ]);
  const same = { currency: "USD", perGpuHour: "2.000", effectiveFrom: at(-48) };
  assert.deepEqual(planPrices(first, same, now + 1), []);
  const raised = { currency: "USD", perGpuHour: "3", effectiveFrom: at(-24) };
  assert.deepEqual(planPrices(first, raised, now), [
    { product: "", currency: "USD", perGpuHourNanos: 3e9, fromMs: now },
  ]);
  assert.deepEqual(planPrices(first, { currency: "USD" }, now), [
    { product: "", currency: "USD", perGpuHourNanos: undefined, fromMs: now },
  ]);
});

test("an announced price is taken back by a row of its date", () => {
  const rows: PriceRow[] = planPrices([], { currency: "USD", perGpuHour: "2" }, now);
  rows.push(
    ...planPrices(rows, { currency: "USD", perGpuHour: "4", effectiveFrom: at(10) }, now + 1),
  );
  assert.equal(priceAt(rows, "", now + 9 * 3_600_000)?.perGpuHourNanos, 2e9);
  assert.equal(priceAt(rows, "", now + 11 * 3_600_000)?.perGpuHourNanos, 4e9);
  rows.push(
    ...planPrices(rows, { currency: "USD", perGpuHour: "3", effectiveFrom: at(20) }, now + 2),
  );
  assert.equal(priceAt(rows, "", now + 11 * 3_600_000)?.perGpuHourNanos, 2e9);
  assert.equal(priceAt(rows, "", now + 21 * 3_600_000)?.perGpuHourNanos, 3e9);
});

const decimal = fc.constantFrom("1", "2", "3.25");
const pricing = fc.record(
  {
    currency: fc.constantFrom("USD", "EUR"),
    perGpuHour: decimal,
    products: fc.uniqueArray(
      fc.record({ product: fc.constantFrom("A", "B"), perGpuHour: decimal }),
      { selector: ({ product }) => product },
    ),
    effectiveFrom: fc.integer({ min: -30, max: 30 }).map(at),
  },
  { requiredKeys: ["currency"] },
);

test(`in any history of edits the past stays and the last edit holds (seed ${seed})`, () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ pricing, hours: fc.integer({ min: 0, max: 20 }) }), {
        minLength: 1,
        maxLength: 8,
      }),
      (edits) => {
        const rows: PriceRow[] = [];
        let t = now;
        for (const { pricing: spec, hours } of edits) {
          t += hours * 3_600_000 + 1;
          const before = [...rows];
          rows.push(...planPrices(rows, spec, t));
          for (const product of ["", "A", "B"]) {
            const known = before.some((row) => row.product === product);
            for (let back = 1; back < (known ? 60 : 1); back += 1) {
              const then = t - back * 3_600_000;
              assert.deepEqual(priceAt(rows, product, then), priceAt(before, product, then));
            }
            const asked =
              spec.effectiveFrom === undefined ? t : Math.max(t, Date.parse(spec.effectiveFrom));
            const said =
              product === ""
                ? spec.perGpuHour
                : spec.products?.find((each) => each.product === product)?.perGpuHour;
            const from = said === undefined ? t : asked;
            for (const later of [0, 1, 10, 100, 1_000]) {
              const row = priceAt(rows, product, from + later * 3_600_000);
              assert.equal(
                row?.perGpuHourNanos,
                said === undefined ? undefined : nanosOf(said),
                `${product} ${later} h after`,
              );
              if (said !== undefined) assert.equal(row?.currency, spec.currency);
            }
            // Until then what held goes on, whatever had been announced.
            const middle = t + (from - t) / 2;
            if (middle < from && known) {
              assert.equal(
                priceAt(rows, product, middle)?.perGpuHourNanos,
                priceAt(before, product, t)?.perGpuHourNanos,
              );
            }
          }
          assert.deepEqual(planPrices(rows, spec, t + 1), [], "the same again appends nothing");
        }
      },
    ),
    { seed, numRuns: 500 },
  );
});
