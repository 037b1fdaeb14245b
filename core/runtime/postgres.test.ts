// Transactions, connections that die, hang or are all in use, over a real PostgreSQL: whoever asked is told
// in time, nothing of it is left behind, and the process lives.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { startTcpProxy } from "../../ingest/testing/tcp-proxy.ts";
import { startPostgres } from "../../standalone/postgres/start.ts";
import { useStores } from "../../test/support/stores.ts";
import { systemClock } from "./clock.ts";
import { createLog, silentLog } from "./log.ts";
import { createPostgres, type Sql, type Tx } from "./postgres.ts";

const stores = await useStores();
const { sql } = stores;
await sql`CREATE TABLE ledger (id integer PRIMARY KEY, note text NOT NULL DEFAULT '')`;

/** The runner would fail the file as well; here it is said which. */
const uncaught: unknown[] = [];
process.on("uncaughtExceptionMonitor", (error) => uncaught.push(error));
after(() => assert.deepEqual(uncaught, []));

const isLoss = (error: unknown): boolean =>
  error instanceof Error && "code" in error && /^(57P01|08006|ECONN\w+)$/.test(String(error.code));
const pidOf = async (tx: Tx): Promise<number> =>
  (await tx<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`)[0]?.pid ?? 0;
const kill = async (pid: number): Promise<void> => {
  await sql`SELECT pg_terminate_backend(${pid})`;
};
const ids = async (): Promise<number[]> =>
  (await sql<{ id: number }[]>`SELECT id FROM ledger ORDER BY id`).map(({ id }) => id);
const client = (options: { max?: number; url?: string } = {}): Sql & AsyncDisposable => {
  const url = options.url ?? stores.postgresUrl;
  const own = createPostgres({ url, application: "own", log: silentLog, max: options.max ?? 2 });
  return Object.assign(own, { [Symbol.asyncDispose]: async () => await own.end() });
};
async function eventually<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    assert.ok(performance.now() < deadline, `${what}: not in time`);
    await systemClock.sleep(20);
  }
}

test("a transaction is kept whole, or not at all", async () => {
  await sql`DELETE FROM ledger`;
  const answer = await sql.begin(async (tx) => {
    await tx`INSERT INTO ledger (id) VALUES (${1})`;
    await tx`INSERT INTO ledger (id) VALUES (${2})`;
    return "done";
  });
  assert.equal(answer, "done");
  const mine = new Error("mine");
  await assert.rejects(
    sql.begin(async (tx) => {
      await tx`INSERT INTO ledger (id) VALUES (${3})`;
      throw mine;
    }),
    (error) => error === mine,
  );
  await assert.rejects(
    sql.begin(async (tx) => {
      await tx`INSERT INTO ledger (id) VALUES (${4})`;
      await tx`INSERT INTO ledger (id) VALUES (${1})`;
    }),
    { code: "23505" },
  );
  // PostgreSQL answers such a COMMIT with ROLLBACK, and no error.
  await assert.rejects(
    sql.begin(async (tx) => {
      await tx`INSERT INTO ledger (id) VALUES (${5})`;
      await tx`SELECT 1 / ${0}::integer`.catch(() => undefined);
    }),
    /nothing of it was kept/,
  );
  assert.deepEqual(await ids(), [1, 2]);
});

test("an error of a statement costs no connection", async () => {
  await using own = client({ max: 1 });
  const pid = await pidOf(own);
  await assert.rejects(own`SELECT 1 / ${0}::integer`, { code: "22012", severity: "ERROR" });
  await assert.rejects(
    own.begin(async (tx) => await tx`SELECT no_such_column`),
    { code: "42703" },
  );
  assert.equal(await pidOf(own), pid);
  // Nor does one who gave up before there was one for it.
  const gate = Promise.withResolvers<void>();
  const held = own.begin(async () => await gate.promise);
  await assert.rejects(own.within(50)`SELECT 1`, { code: "08006" });
  gate.resolve();
  await held;
  assert.equal(await pidOf(own), pid);
});

test("the mode is the transaction's alone, and so are the server's bounds", async () => {
  await using own = client({ max: 1 });
  await assert.rejects(
    own.begin(
      async (tx) => await tx`INSERT INTO ledger (id) VALUES (${9})`,
      "REPEATABLE READ READ ONLY",
    ),
    { code: "25006" },
  );
  const bounds = async (tx: Tx) =>
    (
      await tx<{ s: string; i: string }[]>`
        SELECT current_setting('statement_timeout') AS s,
          current_setting('idle_in_transaction_session_timeout') AS i`
    )[0];
  assert.deepEqual(await own.within(2_500).begin(bounds), { s: "2500ms", i: "2500ms" });
  assert.deepEqual(await own.within(Infinity).begin(bounds), { s: "0", i: "0" });
  assert.deepEqual(await bounds(own), { s: "0", i: "0" });
});

test("many transactions at once never share a connection, and statements of one go one after another", async () => {
  await using own = client({ max: 4 });
  const inUse = new Set<number>();
  const run = async (n: number): Promise<void> =>
    await own.begin(async (tx) => {
      const pid = await pidOf(tx);
      assert.ok(!inUse.has(pid), "two in one");
      inUse.add(pid);
      const same = await Promise.all([pidOf(tx), pidOf(tx), tx`SELECT pg_sleep(0.005)`, pidOf(tx)]);
      assert.deepEqual([same[0], same[1], same[3]], [pid, pid, pid]);
      if (n % 3 === 0) await tx`SELECT 1 / ${0}::integer`.catch(() => undefined);
      inUse.delete(pid);
      if (n % 3 === 1) throw new Error("meant");
    });
  const ends = await Promise.allSettled(Array.from({ length: 60 }, async (_, n) => await run(n)));
  assert.deepEqual(
    ends.map(({ status }) => status),
    ends.map((_, n) => (n % 3 === 2 ? "fulfilled" : "rejected")),
  );
  assert.ok(
    !ends.some((end) => end.status === "rejected" && /two in one/.test(String(end.reason))),
  );
});

test("what goes on after its transaction has ended is refused", async () => {
  await using own = client({ max: 1 });
  let late: Tx | undefined;
  await own.begin(async (tx) => {
    late = tx;
    await tx`SELECT 1`;
  });
  assert.ok(late !== undefined);
  await assert.rejects(late`INSERT INTO ledger (id) VALUES (77)`, /has ended/);
  assert.ok(!(await ids()).includes(77));
});

test("a backend that is terminated in mid-transaction: it rejects at once, the next one works", async () => {
  await using own = client({ max: 1 });
  // During a statement, between statements, and with several waiting.
  const ways: ((tx: Tx) => Promise<unknown>)[] = [
    async (tx) => await tx`SELECT pg_sleep(60)`,
    async () => await new Promise(() => undefined),
    async (tx) =>
      await Promise.all([
        tx`SELECT pg_sleep(60)`,
        tx`INSERT INTO ledger (id) VALUES (${51})`,
        tx`SELECT 1`,
      ]),
  ];
  for (const way of ways) {
    const began = Promise.withResolvers<number>();
    const dying = own.begin(async (tx) => {
      await tx`INSERT INTO ledger (id) VALUES (${50})`;
      began.resolve(await pidOf(tx));
      await way(tx);
    });
    const ended = assert.rejects(dying, isLoss);
    const started = performance.now();
    await kill(await began.promise);
    await ended;
    assert.ok(performance.now() - started < 10_000);
    await own.begin(async (tx) => await tx`INSERT INTO ledger (id) VALUES (${52})`);
    await own`DELETE FROM ledger WHERE id = ${52}`;
  }
  const left = await ids();
  assert.ok(!left.includes(50) && !left.includes(51));
});

test("idle connections that die are told in the log, and replaced", async () => {
  const lines: string[] = [];
  const log = createLog({
    component: "test",
    level: "warn",
    destination: { write: (line: string) => void lines.push(line) },
  });
  const own = createPostgres({ url: stores.postgresUrl, application: "own", log, max: 1 });
  const pid = await pidOf(own);
  await kill(pid);
  await eventually("the log", async () => {
    await Promise.resolve();
    return lines.some((line) => line.includes("postgres.lost")) ? true : undefined;
  });
  assert.notEqual(await pidOf(own), pid);
  await own.end();
});

test("under a hail of terminations every transaction is whole or told, and connections do not run out", async () => {
  await using own = client({ max: 4 });
  await sql`DELETE FROM ledger`;
  const over = new AbortController();
  const hail = (async () => {
    while (!over.signal.aborted) {
      await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'own' AND datname = current_database() AND random() < 0.5`;
      await systemClock.sleep(7);
    }
  })();
  const told = await Promise.allSettled(
    Array.from({ length: 200 }, async (_, n) => {
      await own.begin(async (tx) => {
        await tx`INSERT INTO ledger (id) VALUES (${2 * n})`;
        await tx`INSERT INTO ledger (id) VALUES (${2 * n + 1})`;
      });
    }),
  );
  over.abort();
  await hail;
  const kept = new Set(await ids());
  for (const [n, { status }] of told.entries()) {
    assert.equal(kept.has(2 * n), kept.has(2 * n + 1), "whole");
    // A COMMIT whose answer was lost may have come to be.
    if (status === "fulfilled") assert.ok(kept.has(2 * n), "what was answered is there");
  }
  await Promise.all(Array.from({ length: 8 }, async () => await own`SELECT 1`));
});

test("with all connections in use the next one waits, up to its bound, and then works", async () => {
  await using own = client({ max: 2 });
  const gate = Promise.withResolvers<void>();
  const held = [1, 2].map(async () => await own.begin(async () => await gate.promise));
  await assert.rejects(own.within(200)`SELECT 1`, { code: "08006", message: /within 0.2 s/ });
  const order: string[] = [];
  const waiting = (async () => {
    await own`SELECT 1`;
    order.push("waited");
  })();
  order.push("opened");
  gate.resolve();
  await Promise.all([...held, waiting]);
  assert.deepEqual(order, ["opened", "waited"]);
});

test("a statement or transaction over its time ends, here and on the server, and its connection with it", async () => {
  await using own = client({ max: 1 });
  const before = await pidOf(own);
  await assert.rejects(own.within(100)`SELECT pg_sleep(30)`, { code: "08006" });
  assert.notEqual(await pidOf(own), before);
  await assert.rejects(
    own.within(500).begin(async (tx) => {
      await tx`INSERT INTO ledger (id) VALUES (${600})`;
      await tx`SELECT pg_sleep(30)`;
    }),
    { code: "08006" },
  );
  await assert.rejects(
    own.within(500).begin(async (tx) => {
      await tx`INSERT INTO ledger (id) VALUES (${600})`;
      await new Promise(() => undefined);
    }),
    { code: "08006" },
  );
  await eventually("no transaction is open", async () => {
    const open = await sql`
      SELECT FROM pg_stat_activity WHERE application_name = 'own' AND state LIKE '%transaction%'`;
    return open.length === 0 ? true : undefined;
  });
  await own`INSERT INTO ledger (id) VALUES (${600})`;
  await own`DELETE FROM ledger WHERE id = ${600}`;
});

test("a peer that falls silent ends what waits for it within the bound; away and back, it works again", async () => {
  const url = new URL(stores.postgresUrl);
  await using proxy = await startTcpProxy({ host: url.hostname, port: Number(url.port) });
  url.port = String(proxy.port);
  await using own = client({ url: url.href });
  await own`SELECT 1`;
  proxy.freeze();
  const started = performance.now();
  await Promise.all([
    assert.rejects(own.within(700)`SELECT 1`, { code: "08006" }),
    assert.rejects(
      own.within(700).begin(async (tx) => await tx`SELECT 1`),
      { code: "08006" },
    ),
    // No connection of its own: it waits for one that is never made.
    assert.rejects(own.within(700)`SELECT 1`, { code: "08006" }),
  ]);
  assert.ok(performance.now() - started < 5_000);
  proxy.mend();
  await eventually("it works", async () => await own`SELECT 1`.catch(() => undefined));
  proxy.cut();
  await assert.rejects(own`SELECT 1`, isLoss);
  proxy.mend();
  await eventually("it works", async () => await own`SELECT 1`.catch(() => undefined));
  proxy.freeze();
  const ending = performance.now();
  const [under] = await Promise.allSettled([own`SELECT 1`, own.end()]);
  assert.equal(under.status, "rejected");
  assert.ok(performance.now() - ending < 5_000, "the end does not wait for it");
});

test("a server that was killed and came back is used again", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "axonize-postgres-"));
  const abort = new AbortController();
  const server = await startPostgres({ dataDir, log: silentLog, signal: abort.signal });
  {
    await using own = client({ url: server.url });
    await own`CREATE TABLE kept (n integer)`;
    const began = Promise.withResolvers<void>();
    const dying = own.begin(async (tx) => {
      await tx`INSERT INTO kept VALUES (${1})`;
      began.resolve();
      await tx`SELECT pg_sleep(60)`;
    });
    const ended = assert.rejects(dying, isLoss);
    await began.promise;
    process.kill(server.pid() ?? 0, "SIGKILL");
    await ended;
    const rows = await eventually(
      "it is back",
      async () =>
        await own`SELECT n FROM kept`.catch((error: unknown) => {
          // Refused, starting up, or told to go.
          assert.match(String((error as { code?: unknown }).code), /^(57P\d\d|08006|ECONN\w+)$/);
          return undefined;
        }),
    );
    assert.equal(rows.length, 0);
  }
  await server[Symbol.asyncDispose]();
  await rm(dataDir, { recursive: true, force: true });
});

test("URLs: passwords with any characters, sockets, the modes of TLS, the name of the application", async () => {
  const password = "p@ss:/?#[]&=%+ '\"\\";
  await sql.unsafe(`CREATE ROLE odd LOGIN PASSWORD '${password.replaceAll("'", "''")}'`);
  try {
    const url = new URL(stores.postgresUrl);
    url.username = "odd";
    // What `URL` leaves as it is means something to others.
    const plain = url.href.replace(/odd(:[^@]*)?@/, `odd:${encodeURIComponent(password)}@`);
    const who = async (own: Sql) =>
      (
        await own<{ who: string; application: string }[]>`
          SELECT current_user AS who, current_setting('application_name') AS application`
      )[0];
    await using odd = client({ url: plain });
    assert.deepEqual(await who(odd), { who: "odd", application: "own" });
    await using disabled = client({ url: `${plain}?sslmode=disable&application_name=theirs` });
    assert.deepEqual(await who(disabled), { who: "odd", application: "theirs" });
    const folder = await mkdtemp(join(tmpdir(), "axonize-socket-"));
    const socket = createServer((near) => {
      const far = connect({ host: url.hostname, port: Number(url.port) });
      near.pipe(far).pipe(near);
    }).listen(join(folder, ".s.PGSQL.5432"));
    {
      const at = plain.replace(/@[^/]*/, "@localhost:5432");
      await using local = client({ url: `${at}?host=${encodeURIComponent(folder)}` });
      assert.equal((await who(local))?.who, "odd");
    }
    socket.close();
    await rm(folder, { recursive: true });
    for (const mode of ["prefer", "require", "verify-full", "no-verify"]) {
      await using tls = client({ url: `${plain}?sslmode=${mode}` });
      await assert.rejects(tls`SELECT 1`, /does not support SSL/, mode);
    }
    url.username = "nobody-of-this-name";
    await using nobody = client({ url: url.href });
    await assert.rejects(nobody`SELECT 1`, { code: /^28/ });
  } finally {
    await sql`DROP ROLE odd`;
  }
});
