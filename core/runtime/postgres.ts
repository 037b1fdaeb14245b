/**
 * The PostgreSQL client: node-postgres' connections and pool behind tagged templates (`postgres/statement.ts`),
 * with the rules that a ledger needs. What is asked begins at once. Every statement and transaction has an
 * end: when its time is over or its connection dies it rejects, its connection is closed, and nothing of it
 * goes on; no error is ever thrown where nobody waits for it.
 *
 * Timestamps come as Date, bigint as number: none of our counters reaches 2^53.
 */
import { Socket } from "node:net";
import { Pool, TypeOverrides, types, type ClientConfig } from "pg";
import { systemClock } from "./clock.ts";
import type { Log } from "./log.ts";
import { borrow, type Connections, type Send } from "./postgres/connection.ts";
import { createListening, type Listening } from "./postgres/listen.ts";
import {
  compile,
  parameter,
  parts,
  type Plain,
  type Statement,
  type Value,
} from "./postgres/statement.ts";

const limits = {
  connections: 8,
  idleMs: 60_000,
  /** To connect, and to wait for a connection while all are in use. */
  connectMs: 10_000,
  /** Of a statement or a transaction, unless `within` says otherwise. */
  workMs: 30_000,
  /** A peer that is gone without a word is noticed after this and Node's 10 probes, one a second. */
  silenceMs: 10_000,
  /** For what is under way when the client ends. */
  endMs: 1_000,
};

/** `count`: of rows that the statement gave or changed. */
export type Rows<T> = T & { readonly count: number };

/** `const [row] = await sql<{ id: string }[]>`SELECT id FROM tenants WHERE num = ${num}`` */
export interface Ask {
  <T extends readonly object[] = Record<string, unknown>[]>(
    strings: TemplateStringsArray,
    ...values: readonly Value[]
  ): Promise<Rows<T>>;
  /** Text that somebody else wrote, with `$1`, `$2` for the values; without values, of many statements. */
  unsafe(text: string, values?: readonly Plain[]): Promise<Rows<Record<string, unknown>[]>>;
}
/** Statements go one after the other, and none any more once the transaction has ended. */
export type Tx = Ask & typeof parts;

export interface Sql extends Tx {
  /**
   * Commits once `run` has resolved, and rolls back when it rejects. Rejects as well when a statement failed
   * in it and `run` went on: PostgreSQL keeps nothing of it then. Whether a COMMIT that was under way when
   * the connection was lost came to be, nobody knows.
   */
  begin<T>(run: (tx: Tx) => Promise<T>, mode?: "REPEATABLE READ READ ONLY"): Promise<T>;
  /** The same connections, with another bound of each statement and transaction. */
  within(ms: number): Sql;
  listen: Listening["listen"];
  end(): Promise<void>;
}

export function createPostgres(options: {
  url: string;
  application: string;
  log: Log;
  max?: number;
}): Sql {
  const { log } = options;
  const sockets = new Set<Socket>();
  const config: ClientConfig = {
    connectionString: libpqUrl(options.url),
    application_name: options.application,
    connectionTimeoutMillis: limits.connectMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: limits.silenceMs,
    types: readers,
    stream: () => {
      const socket = new Socket();
      sockets.add(socket);
      return socket.once("close", () => sockets.delete(socket));
    },
  };
  const max = options.max ?? limits.connections;
  const pool = new Pool({ ...config, max, idleTimeoutMillis: limits.idleMs });
  pool.on("error", (error) => log.warn({ event: "postgres.lost", reason: error.message }));
  // Of one in use, which its user hears of; without a listener it would be thrown at nobody.
  pool.on("connect", (client) => client.on("error", () => undefined));
  const ends: Connections["ends"] = new Set();
  const listening = createListening({ log, clock: systemClock }, config);
  const end = async (): Promise<void> => {
    listening.stop();
    if (!pool.ending) void pool.end(); // idle ones now, the others as their work ends
    const closed = [...sockets].map(
      async (socket) => await new Promise((resolve) => socket.once("close", resolve)),
    );
    const over = new AbortController();
    const late = systemClock.sleep(limits.endMs, over.signal).catch(() => undefined); // all closed
    await Promise.race([Promise.all(closed), late]);
    over.abort();
    // Those that still wait for a connection get none any more.
    for (const give of ends) give(new Error("the PostgreSQL client was closed"));
    for (const socket of sockets) socket.destroy();
  };
  return sqlOf({ pool, ends }, limits.workMs, { listen: listening.listen, end });
}

function sqlOf(connections: Connections, ms: number, shared: Pick<Sql, "listen" | "end">): Sql {
  // The server's own end of what we gave up: it may not hear that we are gone. 0 is none.
  const bound = Number.isFinite(ms) ? Math.ceil(ms) : 0;
  const bounds = `SET LOCAL statement_timeout = ${bound}; SET LOCAL idle_in_transaction_session_timeout = ${bound}`;
  const begin: Sql["begin"] = async (run, mode) =>
    await borrow(connections, ms, async (send) => {
      const say = async (text: string) => await send({ text, values: [] });
      let hasEnded = false;
      const tx = tagOf(async (statement) => {
        if (hasEnded) throw new Error("this transaction has ended");
        return await send(statement);
      });
      await say(`BEGIN${mode === undefined ? "" : ` ISOLATION LEVEL ${mode}`}; ${bounds}`);
      try {
        const result = await run(tx);
        hasEnded = true;
        const { command } = await say("COMMIT");
        if (command === "COMMIT") return result;
      } catch (error) {
        hasEnded = true;
        // Where that fails, too, the connection is gone and the transaction with it.
        await say("ROLLBACK").catch(() => undefined);
        throw error;
      }
      throw new Error("a statement of the transaction failed: nothing of it was kept");
    });
  const ask: Send = async (statement) =>
    await borrow(connections, ms, async (send) => await send(statement));
  const within = (other: number): Sql => sqlOf(connections, other, shared);
  return Object.assign(tagOf(ask), { begin, within, ...shared });
}

function tagOf(send: Send): Tx {
  const ask = async (statement: Statement): Promise<Rows<object[]>> => {
    const { rows, rowCount } = [await send(statement)].flat().at(-1) ?? { rows: [], rowCount: 0 };
    return Object.defineProperty(rows, "count", { value: rowCount ?? 0 }) as Rows<object[]>;
  };
  const tag = async (strings: TemplateStringsArray, ...values: readonly Value[]) =>
    await ask(compile(strings, values));
  const unsafe = async (text: string, values: readonly Plain[] = []) =>
    await ask({ text, values: values.map((value) => parameter(value, text)) });
  // What rows hold is the caller's word: no client can check it.
  return Object.assign(tag as Ask, { unsafe: unsafe as Ask["unsafe"], ...parts });
}

/** libpq's meaning of `sslmode`; the driver's own takes `require` for `verify-full`. */
function libpqUrl(url: string): string {
  const known = url.replace(/([?&]sslmode=)no-verify(?=&|$)/, "$1require");
  return `${known}${known.includes("?") ? "&" : "?"}uselibpqcompat=true`;
}

const readers = new TypeOverrides();
readers.setTypeParser(types.builtins.INT8, Number);
