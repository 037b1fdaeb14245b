// What templates become, told by a real PostgreSQL: types of parameters and of results, parts, and text that
// would like to be SQL.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { useStores } from "../../../test/support/stores.ts";
import { compile, parts, type Value } from "./statement.ts";

const { sql } = await useStores();
await sql.unsafe(`
  CREATE TABLE kinds (
    id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY, t text, i integer, b bigint, f float8, n numeric,
    yes boolean, at timestamptz, j jsonb, raw bytea, u uuid, x xid8,
    ts text[], bs bigint[], us uuid[], js jsonb[], fs float8[], ats timestamptz[]);
  CREATE TABLE "odd ""name" ("se lect" text);
`);
const uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

async function back(column: string, value: Value): Promise<unknown> {
  const [row] = await sql<{ value: unknown }[]>`
    INSERT INTO kinds (${sql.id(column)}) VALUES (${value}) RETURNING ${sql.id(column)} AS value`;
  return row?.value;
}

test("every kind of value comes back as it went, or as the kind that its column has", async () => {
  const at = new Date("2026-11-29T17:57:32.123Z");
  const cases: [column: string, value: Value, expected: unknown][] = [
    ["t", `it's "q" \\ {a,b} $1 \u{1F600}\n`, `it's "q" \\ {a,b} $1 \u{1F600}\n`],
    ["t", "", ""],
    ["t", 5, "5"],
    ["t", null, null],
    ["i", -7, -7],
    ["b", Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
    ["b", 12n, 12],
    ["f", 0.1, 0.1],
    ["f", -1e300, -1e300],
    ["f", Infinity, Infinity],
    ["n", 1.5, "1.5"],
    ["yes", true, true],
    ["yes", false, false],
    ["at", at, at],
    ["at", new Date(-1), new Date(-1)],
    [
      "j",
      sql.json({ a: [1, null, "x'\"\\"], b: { c: true } }),
      { a: [1, null, "x'\"\\"], b: { c: true } },
    ],
    ["j", sql.json([]), []],
    ["j", null, null],
    ["raw", Buffer.from([0, 255, 92, 39]), Buffer.from([0, 255, 92, 39])],
    ["raw", new Uint8Array([1, 2, 3]).subarray(1), Buffer.from([2, 3])],
    ["u", uuid, uuid],
    ["x", "12345678901234567890", "12345678901234567890"],
    ["ts", [], []],
    [
      "ts",
      ["a", 'q"uo\\te', "{x,y}", "NULL", "", " s "],
      ["a", 'q"uo\\te', "{x,y}", "NULL", "", " s "],
    ],
    ["ts", ["a", null], ["a", null]],
    // Nothing of ours reads them: the driver gives texts.
    ["bs", [1, Number.MAX_SAFE_INTEGER, null], ["1", "9007199254740991", null]],
    ["us", [uuid], `{${uuid}}`],
    ["js", [JSON.stringify({ a: "'\"" }), "1"], [{ a: "'\"" }, 1]],
    ["fs", [0.1, -2, Infinity, 1e-300], [0.1, -2, Infinity, 1e-300]],
    ["ats", [at], [at]],
  ];
  for (const [column, value, expected] of cases) {
    const got = await back(column, value);
    const told = column === "us" && Array.isArray(got) ? `{${got.join(",")}}` : got;
    assert.deepEqual(told, expected, column);
  }
});

test("any text is kept to the letter, alone and in an array", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string({ unit: "binary" }), { maxLength: 5 }), async (texts) => {
      const kept = texts.map((text) => text.replaceAll("\0", "").toWellFormed());
      const [row] = await sql<{ one: string; all: string[] }[]>`
        SELECT ${kept[0] ?? ""}::text AS one, ${kept}::text[] AS all`;
      assert.deepEqual(row, { one: kept[0] ?? "", all: kept });
    }),
    { numRuns: 200 },
  );
});

test("text that would be SQL is a value, and a name is one name", async () => {
  const evil = "'); DROP TABLE kinds; --";
  assert.equal(await back("t", evil), evil);
  assert.deepEqual(await back("ts", [evil, `"}'); DROP TABLE kinds; --`]), [
    evil,
    `"}'); DROP TABLE kinds; --`,
  ]);
  await assert.rejects(
    async () => await sql`SELECT 1 FROM ${sql.id('kinds"; DROP TABLE kinds; --')}`,
    {
      code: "42P01",
    },
  );
  await assert.rejects(async () => await sql`SELECT ${"1; DROP TABLE kinds"}::integer`, {
    code: "22P02",
  });
  const odd = { "se lect": evil };
  await sql`INSERT INTO ${sql.id('odd "name')} ${sql.row(odd)}`;
  assert.deepEqual([...(await sql`SELECT * FROM ${sql.id('odd "name')}`)], [odd]);
  assert.throws(() => sql.id("kinds\0"), /NUL/);
  // No part can be made of data: what JSON gives has no symbols.
  const forged = JSON.parse('{"strings":["1; DROP TABLE kinds"],"values":[]}') as unknown as Value;
  await assert.rejects(async () => await sql`SELECT ${forged}`, /is object/);
  await assert.rejects(async () => await sql`SELECT ${"nul\0"}::text`, { code: "22021" });
  const [there] = await sql<{ n: number }[]>`SELECT count(*) AS n FROM kinds`;
  assert.ok(there !== undefined && there.n > 0);
});

test("parts count their parameters on, wherever they stand", async () => {
  const { part } = parts;
  const inner = part`b = ${2} AND ${part`c = ${3}`}`;
  const made = compileTag`SELECT ${1} WHERE ${inner} AND ${part``}d = ANY(${[4]})`;
  assert.deepEqual(made, {
    text: "SELECT $1 WHERE b = $2 AND c = $3 AND d = ANY($4)",
    values: ["1", "2", "3", '{"4"}'],
  });
  const set = compileTag`UPDATE t SET ${parts.set({ a: 1, "b b": null })} WHERE id = ${"x"}`;
  assert.deepEqual(set, {
    text: 'UPDATE t SET "a" = $1, "b b" = $2 WHERE id = $3',
    values: ["1", null, "x"],
  });
  const [row] = await sql<{ t: string; i: number }[]>`
    INSERT INTO kinds ${sql.row({ t: "a", i: 1 })} RETURNING ${sql.ids(["t", "i"])}`;
  assert.deepEqual(row, { t: "a", i: 1 });
  // The same place in the source, with other parts.
  for (const column of ["t", "i"]) {
    const [found] = await sql`SELECT ${sql.id(column)} FROM kinds WHERE t = ${"a"} AND i = ${1}`;
    assert.deepEqual(Object.keys(found ?? {}), [column]);
  }
  // A value, then a part, then a value.
  for (const [value, is] of [
    [null, null],
    [sql.part`${2}::integer + ${3}::integer`, 5],
    [7, 7],
  ] as const) {
    const [found] = await sql`INSERT INTO kinds (t, i) VALUES (${"v"}, ${value}) RETURNING i`;
    assert.equal(found?.["i"], is);
  }
});

test("what is no value is told with its place, before anything is sent", async () => {
  const nothing = undefined as unknown as Value;
  await assert.rejects(
    async () => await sql`UPDATE kinds SET t = ${nothing}`,
    /value after "UPDATE kinds SET t =" is undefined/,
  );
  await assert.rejects(async () => await sql`SELECT ${["a", nothing as string]}`, /is undefined/);
  await assert.rejects(async () => await sql`SELECT ${new Date(Number.NaN)}`, /a Date of no time/);
  await assert.rejects(
    async () => await sql`INSERT INTO kinds ${sql.row({ t: nothing })}`,
    /is undefined/,
  );
  await assert.rejects(
    async () =>
      await sql.unsafe("SELECT $1", [Array.from({ length: 1 }, () => nothing) as string[]]),
    /is undefined/,
  );
});

test("a result counts the rows it gave or changed", async () => {
  await sql`DELETE FROM kinds`;
  const put = await sql`INSERT INTO kinds (i) SELECT generate_series(1, ${5})`;
  assert.deepEqual([put.count, put.length], [5, 0]);
  const read = await sql`SELECT i FROM kinds WHERE i > ${2} ORDER BY i`;
  assert.deepEqual([...read], [{ i: 3 }, { i: 4 }, { i: 5 }]);
  assert.equal(read.count, 3);
  assert.equal((await sql`UPDATE kinds SET t = 'x' WHERE i > ${99}`).count, 0);
  assert.deepEqual([...(await sql.unsafe("SELECT 1 AS a; SELECT 2 AS a"))], [{ a: 2 }]);
  assert.deepEqual([...(await sql.unsafe("SELECT $1::int + $2::int AS a", [1, 2]))], [{ a: 3 }]);
});

test("a statement goes on after its table has got a column", async () => {
  const read = async () => await sql`SELECT * FROM kinds WHERE i = ${1}`;
  await Promise.all(Array.from({ length: 8 }, read));
  await sql`ALTER TABLE kinds ADD COLUMN later text DEFAULT 'late'`;
  // Each connection refuses what it had prepared once, and is not used again.
  const deadline = performance.now() + 30_000;
  for (let good = 0; good < 20;) {
    assert.ok(performance.now() < deadline);
    try {
      assert.equal((await read())[0]?.["later"], "late");
      good += 1;
    } catch (error) {
      assert.match(String(error), /cached plan must not change result type/);
      good = 0;
    }
  }
});

function compileTag(strings: TemplateStringsArray, ...values: readonly Value[]) {
  const { text, values: bound } = compile(strings, values);
  return { text, values: bound };
}
