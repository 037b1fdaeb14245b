/**
 * Transactions of the operator, fenced: one that begins under a lease which another process has taken over
 * since changes nothing.
 *
 * The row of `operator_epoch` holds the highest epoch that ever wrote. A transaction locks it as a reader and
 * goes on only if the epoch is its own; a new leader's first write raises it, waits for those readers, and
 * from then on the old leader's transactions fail. Plain reads need no fence.
 */
import type { Sql, Tx } from "@axonize/core/runtime/postgres";
import { TerminalError } from "../kube/api-error.ts";

export type { Tx };

/** Who writes: the cluster, by the UID of its namespace kube-system, and the epoch of the lease. */
export interface Writer {
  readonly clusterUid: string;
  readonly epoch: number;
}

export interface Fence {
  /**
   * Rejects with a TerminalError when the writer is not the leader any more. When PostgreSQL did not answer
   * in time it rejects, too, and nothing of it comes to be later.
   */
  write<T>(writer: Writer, run: (tx: Tx) => Promise<T>): Promise<T>;
  /** Each statement has an answer in time, or rejects. */
  read<T>(run: (sql: Sql) => Promise<T>): Promise<T>;
}

/** Of a statement that reads; of a claim and of a transaction: both of them below the 60 s of a reconcile. */
const readMs = 8_000;
const writeMs = 20_000;

export function createFence({ sql }: { sql: Sql }): Fence {
  const writing = sql.within(writeMs);
  let claimed: string | undefined;
  const claim = async ({ clusterUid, epoch }: Writer): Promise<void> => {
    await writing`
      INSERT INTO operator_epoch AS old (cluster_uid, epoch) VALUES (${clusterUid}, ${epoch})
      ON CONFLICT (cluster_uid) DO UPDATE SET epoch = excluded.epoch, updated_at = now()
      WHERE old.epoch < excluded.epoch`;
    claimed = `${clusterUid}/${epoch}`;
  };
  return {
    read: async (run) => await run(sql.within(readMs)),
    write: async (writer, run) => {
      if (claimed !== `${writer.clusterUid}/${writer.epoch}`) await claim(writer);
      return await writing.begin(async (tx) => {
        const [row] = await tx<{ epoch: number }[]>`
          SELECT epoch FROM operator_epoch WHERE cluster_uid = ${writer.clusterUid} FOR SHARE`;
        if (row?.epoch !== writer.epoch) {
          throw new TerminalError(
            `PostgreSQL has seen a leader of epoch ${row?.epoch ?? "none"}, this process has ${writer.epoch}: it writes nothing any more. If the Lease was deleted, which begins its count anew, delete the row of this cluster from operator_epoch.`,
          );
        }
        return await run(tx);
      });
    },
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
