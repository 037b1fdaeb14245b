/** The embedded engine under load: streams, cancellation, many at once, light beside heavy. */
import assert from "node:assert/strict";
import test from "node:test";
import { ClickHouseError, ClickHouseLogLevel, createClient } from "@clickhouse/client";
import { eventually, readRows, rejectsWith } from "../../test/support/engine-client.ts";
import { useStores } from "../../test/support/stores.ts";

const stores = await useStores();
const { clickhouse } = stores;
const rows = async <T>(query: string): Promise<T[]> => await readRows<T>(clickhouse, query);

test("large results stream without gathering in memory", async () => {
  const answer = await clickhouse.query({
    query: "SELECT number, repeat('x', 100) AS filler FROM numbers(2000000)",
    format: "JSONEachRow",
  });
  let count = 0;
  for await (const chunk of answer.stream()) count += chunk.length;
  assert.equal(count, 2_000_000);
});

test("an error in the middle of a stream reaches the reader", async () => {
  const answer = await clickhouse.query({
    query: "SELECT number, throwIf(number = 3000000) FROM numbers(10000000)",
    format: "JSONEachRow",
  });
  await rejectsWith(
    (async () => {
      for await (const _ of answer.stream()) continue;
    })(),
    395,
    "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
  );
});

test("a request that is given up cancels its query", async () => {
  const abort = new AbortController();
  const heavy = clickhouse.query({
    query: "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1",
    abort_signal: abort.signal,
    query_id: "given-up",
  });
  const running = async (): Promise<boolean> =>
    (await rows("SELECT 1 FROM system.processes WHERE Settings['log_comment'] = 'given-up'"))
      .length > 0;
  await eventually("the query runs", running);
  await rejectsWith(
    clickhouse.query({ query: "SELECT 1", query_id: "given-up" }),
    216,
    "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
  );
  abort.abort();
  await assert.rejects(heavy);
  await eventually("the query is gone", async () => !(await running()));
  // A reader that stops in the middle ends its query as well.
  const answer = await clickhouse.query({
    query: "SELECT number FROM numbers(1000000000000)",
    format: "JSONEachRow",
    query_id: "left-alone",
  });
  answer.close();
  await eventually(
    "the stream's query is gone",
    async () =>
      (await rows("SELECT 1 FROM system.processes WHERE Settings['log_comment'] = 'left-alone'"))
        .length === 0,
  );
});

test("requests given up at any moment leave nothing behind in the engine", async () => {
  // From before the engine has begun to after it has answered: a query of a few milliseconds.
  const given = Array.from({ length: 160 }, async (_, at) => {
    const abort = new AbortController();
    const query = clickhouse.query({
      query: "SELECT number, 'given-up-early' FROM numbers(20000)",
      format: "JSONEachRow",
      abort_signal: abort.signal,
    });
    await new Promise((resolve) => setTimeout(resolve, (at % 40) * 0.5));
    abort.abort();
    await query.then(async (answer) => await answer.text()).catch(() => undefined); // given up
  });
  await Promise.all(given);
  await eventually(
    "none runs",
    async () =>
      (
        await rows(
          "SELECT 1 FROM system.processes WHERE query LIKE '%given-up-early%' AND query NOT LIKE '%system.processes%'",
        )
      ).length === 0,
  );
});

test("a light query beside heavy ones answers in 100 ms", async () => {
  const alone = await medianMs();
  const abort = new AbortController();
  const heavy = [1, 2].map(async () => {
    await clickhouse
      .query({
        query: "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1",
        abort_signal: abort.signal,
      })
      .catch(() => undefined); // aborted below
  });
  await eventually(
    "both run",
    async () =>
      (await rows("SELECT 1 FROM system.processes WHERE query LIKE '%1000000000000%'")).length >= 3,
  );
  const beside = await medianMs();
  abort.abort();
  await Promise.all(heavy);
  // The heavy ones would run for hours, so an answer at all means that nothing waits for them. On a
  // machine that is busy with other work the bar moves with what the query takes alone.
  const bar = Math.max(100, 10 * alone);
  assert.ok(beside <= bar, `median ${beside} ms, ${alone} ms alone`);
});

/** Of twenty light queries, one after the other. */
async function medianMs(): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 20; i += 1) {
    const started = performance.now();
    await rows("SELECT 1");
    times.push(performance.now() - started);
  }
  return times.sort((a, b) => a - b)[10] ?? Number.NaN;
}

test("what the engine cannot take at once waits, and beyond that is refused with 202", async () => {
  const abort = new AbortController();
  const crowd = createClient({ ...crowdOptions(), max_open_connections: 400 });
  const all = Array.from({ length: 160 }, async () => {
    try {
      await crowd.query({ query: "SELECT sleep(0.5)", abort_signal: abort.signal });
      return "done";
    } catch (error) {
      return error instanceof ClickHouseError ? error.code : "aborted";
    }
  });
  const first = await Promise.race(
    all.map(async (one) =>
      (await one) === "202" ? "202" : await new Promise<string>(() => undefined),
    ),
  );
  assert.equal(first, "202");
  abort.abort();
  const outcomes = await Promise.all(all);
  assert.ok(
    outcomes.every((outcome) => ["202", "aborted", "done"].includes(outcome)),
    outcomes.join(),
  );
  await crowd.close();
  assert.deepEqual(await rows("SELECT 1 AS one"), [{ one: 1 }]);
});

function crowdOptions(): {
  url: string;
  username: string;
  password: string;
  log: { level: ClickHouseLogLevel };
} {
  const url = new URL(stores.clickhouseUrl);
  return {
    url: url.origin,
    username: url.username,
    password: url.password,
    log: { level: ClickHouseLogLevel.OFF },
  };
}
