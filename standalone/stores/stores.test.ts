// The stores' process as the chart runs it: its environment, its probes, its signals, real clients.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { createClickHouse } from "@axonize/core/runtime/clickhouse";
import { silentLog } from "@axonize/core/runtime/log";
import { migrateClickHouse, migratePostgres } from "@axonize/core/runtime/migrate";
import { createPostgres, type Sql } from "@axonize/core/runtime/postgres";
import { freePorts } from "../../test/support/free-ports.ts";
import { eventually, readRows } from "../../test/support/engine-client.ts";

const clickhousePassword = "clickhouse-password-of-a-test";
const postgresPassword = "postgres-password-of-a-test";

interface Started extends AsyncDisposable {
  child: ChildProcess;
  output: () => string;
  ports: { clickhouse: number; postgres: number; ops: number };
  ready(): Promise<boolean>;
}

async function startProcess(
  dataDir: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Started> {
  const { clickhouse, postgres, ops } = await freePorts("clickhouse", "postgres", "ops");
  const child = spawn(process.execPath, [join(import.meta.dirname, "main.ts")], {
    env: {
      PATH: "/usr/bin:/bin",
      AXONIZE_DATA_DIR: dataDir,
      AXONIZE_STORES_CLICKHOUSE_LISTEN: `0.0.0.0:${clickhouse}`,
      AXONIZE_STORES_POSTGRES_LISTEN: `0.0.0.0:${postgres}`,
      AXONIZE_STORES_OPS_LISTEN: `127.0.0.1:${ops}`,
      AXONIZE_STORES_CLICKHOUSE_PASSWORD: clickhousePassword,
      AXONIZE_STORES_POSTGRES_PASSWORD: postgresPassword,
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const ready = async (): Promise<boolean> => {
    const answer = await fetch(`http://127.0.0.1:${ops}/readyz`).catch(() => undefined);
    return answer?.status === 200;
  };
  return {
    child,
    output: () => output,
    ports: { clickhouse, postgres, ops },
    ready,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
    },
  };
}

async function withDir(use: (dataDir: string) => Promise<void>): Promise<void> {
  const parent = await mkdtemp(join(tmpdir(), "axonize-stores-"));
  try {
    await use(join(parent, "data"));
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
}

async function withSql<T>(url: string, ask: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = createPostgres({ url, application: "test", log: silentLog, max: 2 });
  try {
    return await ask(sql);
  } finally {
    await sql.end();
  }
}

/** An address of this machine that is not loopback, as a pod's is. */
function outsideAddress(): string {
  const found = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal);
  return found?.address ?? "127.0.0.1";
}

const postgresUrl = (host: string, port: number, password = postgresPassword): string =>
  `postgres://app:${password}@${host}:${port}/axonize`;

test("a cluster's processes migrate both stores over the network; data outlive a SIGTERM and a new password", async () => {
  await withDir(async (dataDir) => {
    const host = outsideAddress();
    {
      await using stores = await startProcess(dataDir);
      await eventually("it is ready", async () => await stores.ready());
      const clickhouse = createClickHouse({
        url: `http://axonize:${clickhousePassword}@${host}:${stores.ports.clickhouse}/axonize`,
        application: "test",
      });
      const dir = join(import.meta.dirname, "../../migrations");
      await migrateClickHouse(clickhouse, { dir: join(dir, "clickhouse"), log: silentLog });
      await clickhouse.command({
        query: "CREATE TABLE kept (id UInt64) ENGINE = MergeTree ORDER BY id",
      });
      await clickhouse.insert({ table: "kept", values: [{ id: 7 }], format: "JSONEachRow" });
      await clickhouse.close();
      await withSql(postgresUrl(host, stores.ports.postgres), async (sql) => {
        await migratePostgres(sql, { dir: join(dir, "postgres"), log: silentLog });
        await sql.unsafe("CREATE TABLE kept AS SELECT 7 AS id");
        const [me] = await sql`SELECT usesuper FROM pg_user WHERE usename = current_user`;
        assert.equal(me?.["usesuper"], false, "the cluster's account must not be a superuser");
      });
      const exited = once(stores.child, "exit");
      stores.child.kill("SIGTERM");
      assert.deepEqual(await exited, [0, null], stores.output());
    }
    const changed = "another-password-from-the-secret";
    await using stores = await startProcess(dataDir, { AXONIZE_STORES_POSTGRES_PASSWORD: changed });
    await eventually("it is ready again", async () => await stores.ready());
    const rows = await withSql(
      postgresUrl(host, stores.ports.postgres, changed),
      async (sql) => await sql`SELECT id FROM kept`,
    );
    assert.equal(rows[0]?.["id"], 7);
    const clickhouse = createClickHouse({
      url: `http://axonize:${clickhousePassword}@${host}:${stores.ports.clickhouse}/axonize`,
      application: "test",
    });
    assert.deepEqual(await readRows(clickhouse, "SELECT toUInt32(id) AS id FROM kept"), [
      { id: 7 },
    ]);
    await clickhouse.close();
    await assert.rejects(
      withSql(postgresUrl(host, stores.ports.postgres), async (sql) => await sql`SELECT 1`),
      /password authentication failed/,
    );
  });
});

test("nobody comes in without the password, and the superuser not at all from outside", async () => {
  await withDir(async (dataDir) => {
    await using stores = await startProcess(dataDir);
    await eventually("it is ready", async () => await stores.ready());
    const answer = await fetch(
      `http://${outsideAddress()}:${stores.ports.clickhouse}/?query=SELECT%201`,
    );
    assert.equal(answer.headers.get("x-clickhouse-exception-code"), "516");
    const { port } = new URL(postgresUrl("h", stores.ports.postgres));
    const host = outsideAddress();
    if (host !== "127.0.0.1") {
      await assert.rejects(
        withSql(
          `postgres://axonize:any@${host}:${port}/postgres`,
          async (sql) => await sql`SELECT 1`,
        ),
        /no pg_hba.conf entry/,
      );
    }
    await assert.rejects(
      withSql(`postgres://app:wrong@127.0.0.1:${port}/axonize`, async (sql) => await sql`SELECT 1`),
      /password authentication failed/,
    );
  });
});

test("a store that dies is started again, and the process is ready again", async () => {
  await withDir(async (dataDir) => {
    await using stores = await startProcess(dataDir);
    await eventually("it is ready", async () => await stores.ready());
    process.kill(await childOf(stores.child, "postgres"), "SIGKILL");
    await eventually("PostgreSQL serves again", async () => {
      const rows = await withSql(
        postgresUrl("127.0.0.1", stores.ports.postgres),
        async (sql) => await sql`SELECT 1`,
      ).catch(() => []);
      return rows.length === 1 && (await stores.ready());
    });
    assert.match(stores.output(), /postgres\.died/);
  });
});

test("a missing or weak password is one paragraph", async () => {
  await withDir(async (dataDir) => {
    await using stores = await startProcess(dataDir, {
      AXONIZE_STORES_CLICKHOUSE_PASSWORD: "",
      AXONIZE_STORES_POSTGRES_PASSWORD: "short",
    });
    const [code] = await once(stores.child, "close");
    assert.equal(code, 2);
    assert.match(stores.output(), /AXONIZE_STORES_CLICKHOUSE_PASSWORD/);
    assert.match(stores.output(), /AXONIZE_STORES_POSTGRES_PASSWORD: must have at least 16/);
    assert.doesNotMatch(stores.output(), /\n\s+at /);
  });
});

/** The child of `parent` whose command is `name`. */
async function childOf(parent: ChildProcess, name: string): Promise<number> {
  for (const pid of (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry))) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ""); // ended meanwhile
    if (stat.includes(`(${name})`) && stat.split(") ")[1]?.split(" ")[1] === String(parent.pid)) {
      return Number(pid);
    }
  }
  throw new Error(`no ${name} below ${parent.pid}`);
}
