/** The embedded engine through the real @clickhouse/client, as it would speak to a server. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { get } from "node:http";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { ClickHouseLogLevel, createClient } from "@clickhouse/client";
import {
  insertNative,
  nativeBlock,
  readRows,
  rejectsWith,
} from "../../test/support/engine-client.ts";
import { useStores } from "../../test/support/stores.ts";

const stores = await useStores();
const { clickhouse } = stores;
const rows = async <T>(query: string, parameters?: Record<string, unknown>): Promise<T[]> =>
  await readRows<T>(clickhouse, query, parameters);

test("ping answers, with the right credentials only", async () => {
  assert.equal((await clickhouse.ping()).success, true);
  assert.equal((await clickhouse.ping({ select: true })).success, true);
  const url = new URL(stores.clickhouseUrl);
  const stranger = createClient({
    url: url.origin,
    username: "default",
    password: "",
    log: { level: ClickHouseLogLevel.OFF },
  });
  await rejectsWith(stranger.query({ query: "SELECT 1" }), 516, "AUTHENTICATION_FAILED");
  await stranger.close();
});

test("formats come out as the server writes them", async () => {
  const query = "SELECT number AS n, toString(number) AS s FROM numbers(2)";
  const answer = await clickhouse.query({ query, format: "JSON" });
  assert.equal(answer.response_headers["x-clickhouse-format"], "JSON");
  const json = await answer.json<{ n: number; s: string }>();
  assert.deepEqual(json.data, [
    { n: 0, s: "0" },
    { n: 1, s: "1" },
  ]);
  assert.equal(json.rows, 2);
  assert.deepEqual(
    json.meta?.map((column) => column.type),
    ["UInt64", "String"],
  );
  const compact = await clickhouse.query({ query, format: "JSONCompactEachRow" });
  assert.deepEqual(await compact.json(), [
    [0, "0"],
    [1, "1"],
  ]);
  const csv = await clickhouse.query({ query, format: "CSVWithNames" });
  assert.equal(await csv.text(), '"n","s"\n0,"0"\n1,"1"\n');
  const parquet = await clickhouse.query({ query, format: "Parquet" });
  assert.match(await parquet.text(), /^PAR1/);
  assert.deepEqual(await rows("SHOW DATABASES LIKE 'system'"), [{ name: "system" }]);
  assert.ok((await rows("EXPLAIN SYNTAX SELECT 1")).length > 0);
});

test("parameters are bound by the server, whatever is in them", async () => {
  const text = "a'b\\c\nd\te\0f {x:String} ☃";
  const list = ["'", "\\", "\n", "plain"];
  assert.deepEqual(
    await rows(
      "SELECT {text:String} AS text, {list:Array(String)} AS list, {n:Nullable(UInt8)} AS n",
      {
        text,
        list,
        n: null,
      },
    ),
    [{ text, list, n: null }],
  );
  // A parameter of one request is not there for the next.
  await rejectsWith(rows("SELECT {text:String}"), 456, "UNKNOWN_QUERY_PARAMETER");
  // Long parameters travel in a multipart body.
  const long = "x'\r\n--".repeat(20_000);
  const answer = await clickhouse.query({
    query: "SELECT length({long:String}) AS length, {long:String} = {again:String} AS same",
    query_params: { long, again: long },
    use_multipart_params: true,
    format: "JSONEachRow",
  });
  assert.deepEqual(await answer.json(), [{ length: long.length, same: 1 }]);
});

test("settings hold for one request", async () => {
  const size = "SELECT toString(getSetting('max_block_size')) AS size";
  const answer = await clickhouse.query({
    query: size,
    format: "JSONEachRow",
    clickhouse_settings: { max_block_size: "77" },
  });
  assert.deepEqual(await answer.json(), [{ size: "77" }]);
  assert.notDeepEqual(await rows(size), [{ size: "77" }]);
  await rejectsWith(
    clickhouse.query({
      query: "SELECT 1",
      clickhouse_settings: { nope: 1 },
    }),
    115,
    "UNKNOWN_SETTING",
  );
  await rejectsWith(
    rows("SELECT count() FROM numbers(1000) SETTINGS max_rows_to_read = 10"),
    158,
    "TOO_MANY_ROWS",
  );
});

test("errors carry ClickHouse's codes and HTTP statuses", async () => {
  await rejectsWith(rows("SELECT * FROM nope"), 60, "UNKNOWN_TABLE");
  await rejectsWith(rows("SELECT (1"), 62, "SYNTAX_ERROR");
  await rejectsWith(rows("SELECT 1; SELECT 2"), 62, "SYNTAX_ERROR");
  await rejectsWith(rows("SELECT throwIf(1, 'no')"), 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO");
  await rejectsWith(
    clickhouse.insert({ table: "nope", values: [{ a: 1 }], format: "JSONEachRow" }),
    60,
    "UNKNOWN_TABLE",
  );
  const url = new URL(stores.clickhouseUrl);
  const answer = await fetch(`${url.origin}/?query=SELECT%20*%20FROM%20nope`, {
    headers: {
      authorization: `Basic ${Buffer.from(`${url.username}:${url.password}`).toString("base64")}`,
    },
  });
  assert.equal(answer.status, 404);
  assert.equal(answer.headers.get("x-clickhouse-exception-code"), "60");
  assert.match(
    await answer.text(),
    /^Code: 60\. DB::Exception: .*\(UNKNOWN_TABLE\) \(version 26\./,
  );
});

test("a GET only reads", async () => {
  const url = new URL(stores.clickhouseUrl);
  const answer = await fetch(`${url.origin}/?query=CREATE%20DATABASE%20by_get`, {
    headers: { "x-clickhouse-user": url.username, "x-clickhouse-key": url.password },
  });
  assert.equal(answer.headers.get("x-clickhouse-exception-code"), "164");
});

test("requests and answers may be compressed", async () => {
  const url = new URL(stores.clickhouseUrl);
  for (const codec of ["gzip", "zstd"] as const) {
    const client = createClient({
      url: url.origin,
      username: url.username,
      password: url.password,
      database: url.pathname.slice(1),
      compression: { request: { codec }, response: { codec } },
    });
    await client.command({
      query: `CREATE TABLE packed_${codec} (a UInt32, b String) ENGINE = MergeTree ORDER BY a`,
    });
    const values = Array.from({ length: 5_000 }, (_, a) => ({ a, b: `row ${a}` }));
    await client.insert({ table: `packed_${codec}`, values, format: "JSONEachRow" });
    const answer = await client.query({
      query: `SELECT * FROM packed_${codec} ORDER BY a`,
      format: "JSONEachRow",
    });
    assert.equal(answer.response_headers["content-encoding"], codec);
    assert.deepEqual(await answer.json(), values);
    await client.close();
  }
});

test("binary blocks arrive byte for byte, and a token makes a retry harmless", async () => {
  await clickhouse.command({
    query:
      "CREATE TABLE blobs (id UInt64, payload String) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100",
  });
  // Bytes that end inline data or break UTF-8: blank lines, NUL, 0xff.
  const block = await nativeBlock(
    clickhouse,
    "SELECT number AS id, concat('\\n\\n', char(0, 255, 10, 10, 254), toString(number)) AS payload FROM numbers(1000)",
  );
  await insertNative(clickhouse, "blobs (id, payload)", block, {
    insert_deduplication_token: "one",
  });
  await insertNative(clickhouse, "blobs (id, payload)", block, {
    insert_deduplication_token: "one",
  });
  assert.deepEqual(
    await rows(
      "SELECT toUInt32(count()) AS n, toUInt32(countIf(payload = concat('\\n\\n', char(0, 255, 10, 10, 254), toString(id)))) AS same FROM blobs",
    ),
    [{ n: 1000, same: 1000 }],
  );
  await insertNative(clickhouse, "blobs (id, payload)", block, {
    insert_deduplication_token: "two",
  });
  assert.deepEqual(await rows("SELECT toUInt32(count()) AS n FROM blobs"), [{ n: 2000 }]);
  assert.deepEqual(
    await rows(
      "SELECT toUInt32(count()) AS parts FROM system.parts WHERE database = currentDatabase() AND table = 'blobs' AND level = 0 AND rows = 1000 AND active OR 0",
    ),
    await rows(
      "SELECT toUInt32(count()) AS parts FROM system.parts WHERE database = currentDatabase() AND table = 'blobs' AND level = 0 AND active",
    ),
  );
});

test("a summary tells what was written and read", async () => {
  await clickhouse.command({ query: "CREATE TABLE counted (id UInt64) ENGINE = Memory" });
  const written = await clickhouse.insert({
    table: "counted",
    values: [{ id: 1 }, { id: 2 }, { id: 3 }],
    format: "JSONEachRow",
  });
  assert.equal(written.summary?.written_rows, "3");
  const answer = await clickhouse.query({ query: "SELECT * FROM counted", format: "JSONEachRow" });
  const summary = JSON.parse(String(answer.response_headers["x-clickhouse-summary"])) as Record<
    string,
    string
  >;
  assert.equal(summary["read_rows"], "3");
  await answer.text();
});

test("an upload that breaks off stores nothing", async () => {
  await clickhouse.command({
    query: "CREATE TABLE broken (id UInt64, payload String) ENGINE = MergeTree ORDER BY id",
  });
  const block = await nativeBlock(
    clickhouse,
    "SELECT number AS id, toString(number) AS payload FROM numbers(1000)",
  );
  const halves = new Readable({ read: () => undefined });
  halves.push(block.subarray(0, block.length / 2));
  const insert = clickhouse.exec({ query: "INSERT INTO broken FORMAT Native", values: halves });
  await sleep(50);
  halves.destroy(new Error("the sender died"));
  await assert.rejects(insert);
  await assert.rejects(insertNative(clickhouse, "broken", block.subarray(0, block.length - 3)));
  assert.deepEqual(await rows("SELECT toUInt32(count()) AS n FROM broken"), [{ n: 0 }]);
});

test("hostile requests get an error each and disturb nobody", async () => {
  const url = new URL(stores.clickhouseUrl);
  const headers = {
    authorization: `Basic ${Buffer.from(`${url.username}:${url.password}`).toString("base64")}`,
  };
  const post = async (query: string, init: RequestInit = {}): Promise<number> => {
    const answer = await fetch(`${url.origin}/?${query}`, {
      method: "POST",
      ...init,
      headers: { ...headers, ...(init.headers as Record<string, string> | undefined) },
    });
    await answer.text();
    return answer.status;
  };
  assert.equal(await post("", { body: randomBytes(2_000) }), 400);
  assert.equal(
    await post("", { body: randomBytes(100), headers: { "content-encoding": "gzip" } }),
    500,
  );
  assert.equal(await post("", { body: "x", headers: { "content-encoding": "nope" } }), 501);
  assert.equal(await post("a%3Db=1", { body: "SELECT 1" }), 404);
  assert.equal(await post("session_id=1", { body: "SELECT 1" }), 501);
  assert.equal(
    await post("query=INSERT%20INTO%20system.one%20FORMAT%20Native", { body: gzipSync("x") }),
    501,
  );
  const unknown = await new Promise<number | undefined>((resolve) => {
    get(`${url.origin}/nope`, { headers }, (answer) => {
      resolve(answer.statusCode);
      void text(answer);
    });
  });
  assert.equal(unknown, 404);
  assert.deepEqual(await rows("SELECT 1 AS one"), [{ one: 1 }]);
});
