/**
 * Transactions of the operator, fenced: one that begins under a lease which another process has taken over
 * since changes nothing.
 *
 * The row of `operator_epoch` holds the highest epoch that ever wrote. A transaction locks it as a reader and
 * goes on only if the epoch is its own; a new leader's first write raises it, waits for those readers, and
 * from then on the old leader's transactions fail. Plain reads need no fence.
 *
 * Everything has an end: the client itself waits for a PostgreSQL that is away for as long as it takes, and
 * then does what was asked of it long ago.
 */
import { systemClock, type Clock } from "@axonize/core/runtime/clock";
import type { Sql } from "@axonize/core/runtime/postgres";
import type { TransactionSql } from "postgres";
import { TerminalError } from "../kube/api-error.ts";

export type Tx = TransactionSql<{ bigint: number }>;

/** Who writes: the cluster, by the UID of its namespace kube-system, and the epoch of the lease. */
export interface Writer {
  readonly clusterUid: string;
  readonly epoch: number;
}

export interface Fence {
  /**
   * Rejects with a TerminalError when the writer is not the leader any more, and with the code `unavailable`
   * when PostgreSQL did not answer in time; then it is rolled back should it ever begin.
   */
  write<T>(writer: Writer, run: (tx: Tx) => Promise<T>): Promise<T>;
  /** Rejects with the code `unavailable` when PostgreSQL did not answer in time. */
  read<T>(run: (sql: Sql) => Promise<T>): Promise<T>;
}

/** Of one statement, and of waiting for a lock: well below the 60 s of a reconcile. */
const statementMs = 15_000;
/** Of a read, connecting included; and of a whole transaction. */
const readMs = 8_000;
const writeMs = 20_000;

class UnavailableError extends Error {
  readonly code = "unavailable";
}

export function createFence({ sql, clock = systemClock }: { sql: Sql; clock?: Clock }): Fence {
  let claimed: string | undefined;
  const claim = async ({ clusterUid, epoch }: Writer): Promise<void> => {
    await sql`
      INSERT INTO operator_epoch AS old (cluster_uid, epoch) VALUES (${clusterUid}, ${epoch})
      ON CONFLICT (cluster_uid) DO UPDATE SET epoch = excluded.epoch, updated_at = now()
      WHERE old.epoch < excluded.epoch`;
    claimed = `${clusterUid}/${epoch}`;
  };
  const inTime = async <T>(ms: number, work: (isOver: () => boolean) => Promise<T>): Promise<T> => {
    const ended = new AbortController();
    let isOver = false;
    const late = clock.sleep(ms, ended.signal).then(
      () => {
        isOver = true;
        throw new UnavailableError(`PostgreSQL did not answer within ${ms / 1000} s`);
      },
      async () => await new Promise<never>(() => undefined), // it ended in time; nobody waits any more
    );
    try {
      return await Promise.race([work(() => isOver), late]);
    } finally {
      ended.abort();
    }
  };
  const write = async <T>(
    writer: Writer,
    run: (tx: Tx) => Promise<T>,
    isOver: () => boolean,
  ): Promise<T> => {
    if (claimed !== `${writer.clusterUid}/${writer.epoch}`) await claim(writer);
    // What `run` answers is passed on as it is; the client's type would unwrap arrays of promises.
    return (await sql.begin(async (tx) => {
      await tx.unsafe(
        `SET LOCAL statement_timeout = ${statementMs}; SET LOCAL lock_timeout = ${statementMs}`,
      );
      const [row] = await tx<{ epoch: number }[]>`
          SELECT epoch FROM operator_epoch WHERE cluster_uid = ${writer.clusterUid} FOR SHARE`;
      if (row?.epoch !== writer.epoch) {
        throw new TerminalError(
          `PostgreSQL has seen a leader of epoch ${row?.epoch ?? "none"}, this process has ${writer.epoch}: it writes nothing any more. If the Lease was deleted, which begins its count anew, delete the row of this cluster from operator_epoch.`,
        );
      }
      // Whoever asked has given it up: nothing of it may come to be now.
      if (isOver()) throw new UnavailableError("PostgreSQL answered too late");
      const result = await run(tx);
      if (isOver()) throw new UnavailableError("PostgreSQL answered too late");
      return result;
    })) as Awaited<ReturnType<typeof run>>;
  };
  return {
    read: async (run) => await inTime(readMs, async () => await run(sql)),
    write: async (writer, run) =>
      await inTime(writeMs, async (isOver) => await write(writer, run, isOver)),
  };
}

/** `SchemaOutdated`: a table, column or function that this version needs is not there (yet). */
export function isSchemaOutdated(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "42P01" || code === "42703" || code === "42883";
}

/** PostgreSQL refuses a value (class 22, 23514). */
export function isRefusedValue(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return code.startsWith("22") || code === "23514";
}
