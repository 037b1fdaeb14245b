/** What the front makes of statements: kinds, formats, inline data, and what it turns away. */
import assert from "node:assert/strict";
import test from "node:test";
import { insertFromFile, parseStatement, readIntoFile } from "./statement.ts";

const read = (sql: string): [string, string | undefined, string] => {
  const statement = parseStatement(sql);
  assert.equal(statement.kind, "read", sql);
  if (statement.kind !== "read") throw new Error("unreachable");
  return [statement.head.trim(), statement.format, statement.tail.trim()];
};

test("the FORMAT of a read is found at its end only", () => {
  assert.deepEqual(read("SELECT 1"), ["SELECT 1", undefined, ""]);
  assert.deepEqual(read("SELECT 1 FORMAT JSON"), ["SELECT 1", "JSON", ""]);
  assert.deepEqual(read("select 1 format JSONEachRow ;  "), ["select 1", "JSONEachRow", ""]);
  assert.deepEqual(read("SELECT 1 FORMAT JSON SETTINGS max_threads=1"), [
    "SELECT 1",
    "JSON",
    "SETTINGS max_threads=1",
  ]);
  assert.deepEqual(read("SELECT ' FORMAT CSV' AS format"), [
    "SELECT ' FORMAT CSV' AS format",
    undefined,
    "",
  ]);
  assert.deepEqual(read("SELECT (SELECT 1 FORMAT JSON)"), [
    "SELECT (SELECT 1 FORMAT JSON)",
    undefined,
    "",
  ]);
  assert.deepEqual(read("/* c */ -- x\n(SELECT 1) FORMAT TSV -- end"), [
    "/* c */ -- x\n(SELECT 1)",
    "TSV",
    "",
  ]);
  assert.deepEqual(read("SELECT $a$ FORMAT CSV; '$a$, `a\\`;b` FROM t"), [
    "SELECT $a$ FORMAT CSV; '$a$, `a\\`;b` FROM t",
    undefined,
    "",
  ]);
});

test("a read is rewritten so that its result goes to a file", () => {
  const statement = parseStatement("SELECT 1 -- one\n FORMAT CSV SETTINGS max_threads = 1");
  assert.ok(statement.kind === "read");
  assert.equal(
    readIntoFile(statement, { file: "/tmp/it's", format: "CSV" }),
    "SELECT 1 -- one\n \nINTO OUTFILE '/tmp/it\\'s' TRUNCATE FORMAT CSV  SETTINGS max_threads = 1",
  );
});

test("inline data of an INSERT begin behind FORMAT or VALUES", () => {
  const cases: [string, string, string, string][] = [
    ["INSERT INTO t FORMAT Native", "INSERT INTO t", "Native", ""],
    ["INSERT INTO t (a, b) VALUES (1, 'x')", "INSERT INTO t (a, b)", "Values", "(1, 'x')"],
    ["insert into t values\n(1);", "insert into t", "Values", "(1);"],
    ['INSERT INTO t FORMAT JSONEachRow\n{"a":1}', "INSERT INTO t", "JSONEachRow", '{"a":1}'],
    [
      "INSERT INTO d.t SETTINGS async_insert = 0 FORMAT TSV\n1\tSELECT",
      "INSERT INTO d.t",
      "TSV",
      "1\tSELECT",
    ],
    [
      "INSERT INTO TABLE `values` (`format`) FORMAT CSV 1,2",
      "INSERT INTO TABLE `values` (`format`)",
      "CSV",
      "1,2",
    ],
  ];
  for (const [sql, head, format, data] of cases) {
    const statement = parseStatement(sql);
    assert.ok(statement.kind === "insert", sql);
    assert.equal(statement.head, head);
    assert.equal(statement.format, format);
    assert.equal(sql.slice(statement.dataAt).trimStart(), data);
  }
  const statement = parseStatement("INSERT INTO d.t SETTINGS async_insert = 0 FORMAT TSV");
  assert.ok(statement.kind === "insert");
  assert.equal(
    insertFromFile(statement, "/f"),
    "INSERT INTO d.t FROM INFILE '/f' COMPRESSION 'none' SETTINGS async_insert = 0 FORMAT TSV",
  );
});

test("INSERT … SELECT and DDL pass unchanged, without their final semicolon", () => {
  for (const sql of [
    "INSERT INTO t SELECT * FROM u FORMAT Null",
    "INSERT INTO t (a) WITH 1 AS x SELECT x",
    "CREATE TABLE t (a UInt8) ENGINE = Memory",
    "KILL QUERY WHERE 1",
  ]) {
    assert.deepEqual(parseStatement(`${sql};`), { kind: "other", text: sql });
  }
});

test("several statements, empty ones and file clauses are refused with ClickHouse's codes", () => {
  const refusals: [string, number][] = [
    ["SELECT 1; SELECT 2", 62],
    ["", 62],
    ["-- only a comment", 62],
    ["SELECT 1 INTO OUTFILE '/etc/x'", 48],
    ["INSERT INTO t FROM INFILE '/etc/passwd' FORMAT TSV", 48],
    ["INSERT INTO t SELECT 1; DROP TABLE t", 62],
  ];
  for (const [sql, code] of refusals) {
    const statement = parseStatement(sql);
    assert.ok(statement.kind === "refused", `${sql}: ${statement.kind}`);
    assert.equal(statement.code, code, sql);
  }
});
