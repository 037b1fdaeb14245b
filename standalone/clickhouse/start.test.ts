/** The supervisor: an engine that is killed comes back on its port with all that it had acknowledged. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createClickHouse } from "@axonize/core/runtime/clickhouse";
import { StartError } from "@axonize/core/runtime/error";
import { silentLog } from "@axonize/core/runtime/log";
import { eventually, readRows } from "../../test/support/engine-client.ts";
import { missingEngine } from "./native.ts";
import { startClickHouse } from "./start.ts";

const signal = new AbortController().signal;

async function withDir(use: (dataDir: string) => Promise<void>): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), "axonize-engine-"));
  try {
    await use(dataDir);
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

test("killed under load, it serves again on the same port and nothing acknowledged is lost", async () => {
  await withDir(async (dataDir) => {
    await using engine = await startClickHouse({ dataDir, log: silentLog, signal });
    const client = createClickHouse({ url: engine.url, application: "test" });
    await client.command({
      query:
        "CREATE TABLE acked (id UInt64, filler String) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 1000",
    });
    const acknowledged: number[] = [];
    let refusedMs = 0;
    const stop = new AbortController();
    const write = async (writer: number): Promise<void> => {
      for (let batch = 0; !stop.signal.aborted; batch += 1) {
        const first = writer * 1e9 + batch * 100;
        const values = Array.from({ length: 100 }, (_, i) => ({
          id: first + i,
          filler: "x".repeat(50),
        }));
        // The same bytes with the same token until they are acknowledged, as ingest does.
        for (let acked = false; !acked && !stop.signal.aborted;) {
          const started = performance.now();
          try {
            await client.insert({
              table: "acked",
              values,
              format: "JSONEachRow",
              clickhouse_settings: { insert_deduplication_token: `${writer}-${batch}` },
            });
            acked = true;
            for (const { id } of values) acknowledged.push(id);
          } catch {
            // Killed under it, or refused while it starts again: quick, and tried again.
            refusedMs = Math.max(refusedMs, performance.now() - started);
            await sleep(10);
          }
        }
      }
    };
    const writers = [1, 2, 3].map(write);
    for (let kill = 0; kill < 3; kill += 1) {
      const before = acknowledged.length;
      await eventually(
        "writes go on",
        async () => await Promise.resolve(acknowledged.length > before + 500),
      );
      const victim = engine.pid();
      assert.ok(victim !== undefined);
      process.kill(victim, "SIGKILL");
      await eventually("another process serves", async () => {
        return engine.pid() !== victim && (await client.ping()).success;
      });
    }
    stop.abort();
    await Promise.all(writers);
    const [found] = await readRows<{ rows: number; distinct: number }>(
      client,
      "SELECT toUInt32(count()) AS rows, toUInt32(uniqExact(id)) AS distinct FROM acked",
    );
    const ids = await readRows<{ id: string }>(client, "SELECT toString(id) AS id FROM acked");
    const stored = new Set(ids.map(({ id }) => Number(id)));
    assert.deepEqual(
      acknowledged.filter((id) => !stored.has(id)),
      [],
    );
    assert.equal(found?.rows, found?.distinct, "a retry after the kill was stored twice");
    assert.ok(refusedMs < 5_000, `a request hung for ${refusedMs} ms`);
    await client.close();
  });
});

test("data outlive an orderly stop, and nothing of it is left in memory files", async () => {
  await withDir(async (dataDir) => {
    for (const expected of [0, 1, 2]) {
      await using engine = await startClickHouse({ dataDir, log: silentLog, signal });
      const client = createClickHouse({ url: engine.url, application: "test" });
      await client.command({
        query: "CREATE TABLE IF NOT EXISTS kept (id UInt64) ENGINE = MergeTree ORDER BY id",
      });
      const [found] = await readRows<{ n: number }>(
        client,
        "SELECT toUInt32(count()) AS n FROM kept",
      );
      assert.equal(found?.n, expected);
      await client.insert({ table: "kept", values: [{ id: expected }], format: "JSONEachRow" });
      await client.close();
    }
  });
});

test("credentials are new with each start and needed for each query", async () => {
  await withDir(async (dataDir) => {
    const urls: string[] = [];
    for (let i = 0; i < 2; i += 1) {
      await using engine = await startClickHouse({ dataDir, log: silentLog, signal });
      urls.push(engine.url);
      const answer = await fetch(`${new URL(engine.url).origin}/?query=SELECT%201`);
      assert.equal(answer.headers.get("x-clickhouse-exception-code"), "516");
    }
    assert.notEqual(new URL(urls[0] ?? "").password, new URL(urls[1] ?? "").password);
  });
});

test("a damaged data directory is one paragraph that says what to do", async () => {
  await withDir(async (dataDir) => {
    {
      await using engine = await startClickHouse({ dataDir, log: silentLog, signal });
      const client = createClickHouse({ url: engine.url, application: "test" });
      await client.command({
        query: "CREATE TABLE broken (id UInt64) ENGINE = MergeTree ORDER BY id",
      });
      await client.close();
    }
    const files = await readdir(join(dataDir, "clickhouse"), {
      recursive: true,
      withFileTypes: true,
    });
    const definitions = files.filter((entry) => entry.isFile() && entry.name.endsWith(".sql"));
    assert.ok(definitions.length > 0);
    for (const entry of definitions)
      await writeFile(join(entry.parentPath, entry.name), "not sql at all");
    await assert.rejects(startClickHouse({ dataDir, log: silentLog, signal }), (error: unknown) => {
      assert.ok(error instanceof StartError, String(error));
      assert.match(error.message, /could not open its data .*move it away/s);
      assert.doesNotMatch(error.message, /\n\s+at /);
      return true;
    });
  });
});

test("a platform without an engine is told which there are", () => {
  assert.match(
    missingEngine("win32", "x64") ?? "",
    /no build for win32 on x64.*AXONIZE_CLICKHOUSE_URL/,
  );
  assert.match(missingEngine("linux", "riscv64") ?? "", /no build for linux on riscv64/);
  assert.equal(missingEngine(process.platform, process.arch), undefined);
});

test("a start that is given up ends its process", async () => {
  await withDir(async (dataDir) => {
    const abort = new AbortController();
    const starting = startClickHouse({ dataDir, log: silentLog, signal: abort.signal });
    abort.abort(new Error("given up"));
    await assert.rejects(starting);
  });
});
