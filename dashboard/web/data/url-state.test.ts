/** URL state: printing and parsing are inverse, and anything in the address bar is survived. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  defaultUrlState,
  parseSearch,
  parseUrlState,
  printUrlState,
  stringifySearch,
  type UrlState,
} from "./url-state.ts";

/** Plain objects, as the code under test makes them. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>; // Safe: without requiredKeys every key is there.
const seed = Number(process.env["AXONIZE_TEST_SEED"] ?? 20_261_125);
const options = { seed, numRuns: 500 };

const instant = fc.oneof(
  fc.integer({ min: 0, max: 4_000_000_000_000 }).map(String),
  fc
    .tuple(fc.integer({ min: 1, max: 9_999 }), fc.constantFrom("s", "m", "h", "d", "w"))
    .map(([n, unit]) => `-${n}${unit}`),
);
const text = fc.string({ maxLength: 40 });
const state: fc.Arbitrary<UrlState> = record({
  range: record({ from: instant, to: fc.oneof(instant, fc.constant("now")) }),
  live: fc.boolean(),
  filter: text,
  group: text,
  metric: text,
  sort: text,
  selected: text,
  box: fc.option(
    record({
      fromMs: fc.integer({ min: 0, max: 1e12 }),
      toMs: fc.integer({ min: 1e12 + 1, max: 2e12 }),
      low: fc.double({ min: 0, max: 10, noNaN: true }),
      high: fc.double({ min: 11, max: 1e9, noNaN: true }),
    }),
    { nil: undefined },
  ),
  zoom: fc.option(
    fc.tuple(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 1e6 + 1, max: 1e9 })),
    { nil: undefined },
  ),
  tab: text,
  show: text,
});

test(`a printed state parses to itself (seed ${seed})`, () => {
  fc.assert(
    fc.property(state, (value) => {
      assert.deepEqual(parseUrlState(printUrlState(value)), value);
    }),
    options,
  );
});

test(`a state survives the whole way through the query string (seed ${seed})`, () => {
  fc.assert(
    fc.property(state, (value) => {
      assert.deepEqual(parseUrlState(parseSearch(stringifySearch(printUrlState(value)))), value);
    }),
    options,
  );
});

test(`any query string parses, and printing what was understood is stable (seed ${seed})`, () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (search) => {
      const once = printUrlState(parseUrlState(parseSearch(search)));
      assert.deepEqual(printUrlState(parseUrlState(once)), once);
    }),
    options,
  );
});

test("the default state prints to nothing", () => {
  assert.deepEqual(printUrlState(defaultUrlState), {});
  assert.equal(stringifySearch(printUrlState(defaultUrlState)), "");
});

test("what is not a time, a box or a window falls back to the default", () => {
  const parsed = parseUrlState({ t: "yesterday~now", box: "1~2~3", z: "9~4" });
  assert.deepEqual(parsed, defaultUrlState);
});

test("a filter stays readable in the address", () => {
  assert.equal(stringifySearch({ q: "model:llama* dur>500ms" }), "?q=model:llama*+dur>500ms");
});
