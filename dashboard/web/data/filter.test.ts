/** The filter language: what people type, what the API gets, what is said of mistakes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  expandWildcards,
  filterKeys,
  filterParams,
  hasTerm,
  parseFilter,
  printFilter,
  rangeKeys,
  toggleTerm,
  wildcards,
  withBounds,
  type Term,
} from "./filter.ts";

/** Plain objects, as the code under test makes them. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>; // Safe: without requiredKeys every key is there.
const seed = Number(process.env["AXONIZE_TEST_SEED"] ?? 20_261_125);

test("a filter becomes the parameters of the API", () => {
  const { terms, problems } = parseFilter(
    'model:llama* status:error dur>500ms dur<2s tokens>8k "two words" checkout -service:gateway',
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(filterParams(terms), {
    model: ["llama*"],
    status: "error",
    minDurationMs: "500",
    maxDurationMs: "2000",
    minTokens: "8000",
    q: "two words checkout",
    service: ["!gateway"],
  });
});

test("several values of one key mean any of them", () => {
  assert.deepEqual(filterParams(parseFilter("model:a model:b").terms), { model: ["a", "b"] });
});

test("values with blanks and quotes are written in quotes", () => {
  const { terms } = parseFilter('user:"Ana \\"A\\" Silva"');
  assert.deepEqual(terms, [{ kind: "is", key: "user", value: 'Ana "A" Silva', not: false }]);
  assert.equal(printFilter(terms), 'user:"Ana \\"A\\" Silva"');
});

test("aliases and either way to exclude are understood", () => {
  assert.deepEqual(filterParams(parseFilter("env:prod ns:ml model:!x").terms), {
    environment: ["prod"],
    namespace: ["ml"],
    model: ["!x"],
  });
});

test("every phase can be bounded, in the unit that a person writes", () => {
  const text = "queue>200ms prefill<1s decode>5s pertoken>50ms tpot<80";
  assert.deepEqual(filterParams(parseFilter(text).terms), {
    minQueueMs: "200",
    maxPrefillMs: "1000",
    minDecodeMs: "5000",
    minPerTokenMs: "50",
    maxPerTokenMs: "80",
  });
});

for (const [text, part] of [
  ["colour:red", "no filter"],
  ["model:", "needs a value"],
  ["status:fine", "ok, error or unset"],
  ["-status:ok", "cannot be excluded"],
  ["dur>soon", "not a duration"],
  ["tokens>5ms", "not a unit"],
  ["price>5", "cannot be compared"],
] as const) {
  test(`"${text}" is a problem that names itself`, () => {
    const { terms, problems } = parseFilter(`checkout ${text}`);
    assert.deepEqual(terms, [{ kind: "text", text: "checkout" }]);
    assert.equal(problems.length, 1);
    assert.match(problems[0]?.message ?? "", new RegExp(part));
    assert.equal(problems[0]?.at, 9);
  });
}

const word = fc
  .string({ minLength: 1, maxLength: 20 })
  .filter((s) => s.trim() !== "" && !s.includes("\0") && !s.endsWith("*"));
const term: fc.Arbitrary<Term> = fc.oneof(
  record({
    kind: fc.constant("is" as const),
    key: fc.constantFrom(...filterKeys.filter((k) => k !== "status")),
    value: word,
    not: fc.boolean(),
  }),
  record({
    kind: fc.constant("range" as const),
    key: fc.constantFrom(...rangeKeys),
    op: fc.constantFrom("<" as const, ">" as const),
    value: fc.integer({ min: 0, max: 1e9 }),
  }),
  record({ kind: fc.constant("text" as const), text: word }),
);

test(`printed terms parse to themselves (seed ${seed})`, () => {
  fc.assert(
    fc.property(fc.array(term, { maxLength: 6 }), (terms) => {
      assert.deepEqual(parseFilter(printFilter(terms)), { terms, problems: [] });
    }),
    { seed, numRuns: 1_000 },
  );
});

test(`any text is survived, and what was understood prints stably (seed ${seed})`, () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 80 }), (text) => {
      const printed = printFilter(parseFilter(text).terms);
      assert.equal(printFilter(parseFilter(printed).terms), printed);
    }),
    { seed, numRuns: 1_000 },
  );
});

test("a facet value toggles, and keeping replaces excluding", () => {
  const kept = toggleTerm("checkout", "model", "a b", false);
  assert.equal(kept, 'checkout model:"a b"');
  assert.equal(toggleTerm(kept, "model", "a b", true), 'checkout -model:"a b"');
  assert.equal(toggleTerm(kept, "model", "a b", false), "checkout");
  assert.equal(toggleTerm("status:ok", "status", "error", false), "status:error");
  assert.equal(hasTerm(parseFilter("-model:x"), "model", "x"), "not");
});

test("bounds from a selection replace the bounds that were there", () => {
  assert.equal(
    withBounds("model:a ttft>1s ttft<2s", "ttft", 250, 4000),
    "model:a ttft>250ms ttft<4s",
  );
});

test("a value that ends in * is looked up and becomes the values that begin so", () => {
  const { terms } = parseFilter("model:llama* -service:gate* status:ok model:x");
  assert.deepEqual(wildcards(terms), [
    { key: "model", prefix: "llama" },
    { key: "service", prefix: "gate" },
  ]);
  const expanded = expandWildcards(terms, ({ key }) =>
    key === "model" ? ["llama-8b", "llama-70b"] : [],
  );
  assert.deepEqual(filterParams(expanded), {
    model: ["llama-8b", "llama-70b", "x"],
    service: ["!gate*"],
    status: "ok",
  });
  assert.match(parseFilter("user:ana*").problems[0]?.message ?? "", /whole value/);
});
