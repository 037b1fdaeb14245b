/** The embedded PostgreSQL: kept data, killed servers, orphans, damage, accounts. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { StartError } from "@axonize/core/runtime/error";
import { silentLog } from "@axonize/core/runtime/log";
import { createPostgres, type Sql } from "@axonize/core/runtime/postgres";
import { eventually } from "../../test/support/engine-client.ts";
import { chooseAccount } from "./account.ts";
import { readPidFile } from "./pid-file.ts";
import { startPostgres } from "./start.ts";

const signal = new AbortController().signal;

async function withDir(use: (dataDir: string) => Promise<void>): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), "axonize-postgres-"));
  try {
    await use(dataDir);
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function query<T>(url: string, ask: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = createPostgres({ url, application: "test", log: silentLog, max: 1 });
  try {
    return await ask(sql);
  } finally {
    await sql.end();
  }
}

test("data and password outlive a stop; the password's file is its owner's alone", async () => {
  await withDir(async (dataDir) => {
    {
      await using server = await startPostgres({ dataDir, log: silentLog, signal });
      await query(
        server.url,
        async (sql) => await sql.unsafe("CREATE TABLE kept AS SELECT 7 AS n"),
      );
    }
    await using server = await startPostgres({ dataDir, log: silentLog, signal });
    assert.equal(
      (await query(server.url, async (sql) => await sql`SELECT n FROM kept`))[0]?.["n"],
      7,
    );
    const file = join(dataDir, "postgres/password");
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.equal((await readFile(file, "utf8")).trim(), new URL(server.url).password);
    const wrong = new URL(server.url);
    wrong.password = "wrong";
    await assert.rejects(
      query(wrong.href, async (sql) => await sql`SELECT 1`),
      /password authentication failed/,
    );
  });
});

test("a killed server is started again on the same port with what it had committed", async () => {
  await withDir(async (dataDir) => {
    await using server = await startPostgres({ dataDir, log: silentLog, signal });
    await query(server.url, async (sql) => await sql.unsafe("CREATE TABLE kept AS SELECT 7 AS n"));
    const victim = server.pid();
    assert.ok(victim !== undefined);
    process.kill(victim, "SIGKILL");
    await eventually("another one serves", async () => {
      if (server.pid() === victim) return false;
      const rows = await query(server.url, async (sql) => await sql`SELECT n FROM kept`).catch(
        () => [],
      );
      return rows.length === 1;
    });
  });
});

test("the server of a killed process does not stand in the way of the next", async () => {
  await withDir(async (dataDir) => {
    const script = `
      import { startPostgres } from ${JSON.stringify(join(import.meta.dirname, "start.ts"))};
      import { silentLog } from ${JSON.stringify(join(import.meta.dirname, "../../core/runtime/log.ts"))};
      await startPostgres({ dataDir: ${JSON.stringify(dataDir)}, log: silentLog, signal: new AbortController().signal });
      console.log("up");`;
    const parent = spawn(process.execPath, ["--input-type=module", "--eval", script]);
    await once(parent.stdout, "data");
    parent.kill("SIGKILL");
    await using server = await startPostgres({ dataDir, log: silentLog, signal });
    assert.equal((await query(server.url, async (sql) => await sql`SELECT 1 AS one`)).length, 1);
    const pidFile = await readPidFile(join(dataDir, "postgres/data"));
    assert.equal(pidFile?.pid, server.pid());
  });
});

test("a pid file of a crash whose number is another program's now is removed", async () => {
  await withDir(async (dataDir) => {
    await (await startPostgres({ dataDir, log: silentLog, signal }))[Symbol.asyncDispose]();
    await writeFile(join(dataDir, "postgres/data/postmaster.pid"), `${process.pid}\n/nowhere\n`);
    await using server = await startPostgres({ dataDir, log: silentLog, signal });
    assert.equal((await query(server.url, async (sql) => await sql`SELECT 1 AS one`)).length, 1);
  });
});

test("a damaged data directory is one paragraph that says what to do", async () => {
  await withDir(async (dataDir) => {
    await (await startPostgres({ dataDir, log: silentLog, signal }))[Symbol.asyncDispose]();
    await writeFile(join(dataDir, "postgres/data/global/pg_control"), Buffer.alloc(8192, 7));
    await assert.rejects(startPostgres({ dataDir, log: silentLog, signal }), (error: unknown) => {
      assert.ok(error instanceof StartError, String(error));
      assert.match(error.message, /could not open its data: .*move it away/s);
      return true;
    });
  });
});

test("root never runs PostgreSQL as itself, a user runs it as itself", async () => {
  const usual = { path: "/usr/bin:/bin", owner: undefined, reach: ["/"] };
  const user = await chooseAccount({ ...usual, uid: 1000 });
  assert.equal(user.ids, undefined);
  const root = await chooseAccount({ ...usual, uid: 0 });
  assert.ok(root.ids !== undefined && root.ids.uid !== 0 && root.ids.gid !== 0);
  const plain = await chooseAccount({ ...usual, uid: 0, path: "" });
  assert.deepEqual(plain.wrap("postgres", ["-D", "x"]), {
    command: "postgres",
    args: ["-D", "x"],
    ...root.ids,
  });
  const owned = await chooseAccount({ ...usual, uid: 0, owner: 65_534 });
  assert.equal(owned.ids?.uid, 65_534);
});
