/**
 * A connection of the pool for one piece of work. It hears of the connection's death and of the end of its
 * time at once, while statements and callbacks may still be waiting, and leaves the connection to nobody
 * whom the work could reach.
 */
import { DatabaseError, type Pool, type QueryResult } from "pg";
import type { Statement } from "./statement.ts";

/** Statements go one after the other. */
export type Send = (statement: Statement) => Promise<QueryResult<object>>;

export interface Connections {
  readonly pool: Pool;
  /** Of what is under way: ends it now. */
  readonly ends: Set<(reason: Error) => void>;
}

/** Takes a connection for `work`, and gives it back only where nothing of the work can be left in it. */
export async function borrow<T>(
  { pool, ends }: Connections,
  ms: number,
  work: (send: Send) => Promise<T>,
): Promise<T> {
  const broken = Promise.withResolvers<never>();
  let reason: Error | undefined;
  const fail = (error: Error): void => {
    reason ??= lossOf(error);
    broken.reject(reason);
  };
  const late = (): void => fail(unavailable(`PostgreSQL did not answer within ${ms / 1000} s`));
  const timer = ms === Infinity ? undefined : setTimeout(late, ms);
  const use = async (): Promise<T> => {
    const client = await pool.connect().catch((error: unknown) => {
      throw lossOf(error);
    });
    if (reason !== undefined) {
      client.release();
      throw reason;
    }
    let isHeld = true;
    let isSound = true;
    const release = (): void => {
      if (!isHeld) return;
      isHeld = false;
      client.off("error", fail);
      client.release(!isSound || reason !== undefined || client.getTransactionStatus() !== "I");
    };
    client.on("error", fail);
    broken.promise.catch(release);
    let tail: Promise<unknown> = Promise.resolve();
    const send: Send = async (statement) => {
      const turn = tail.then(async () => {
        if (reason !== undefined) throw reason;
        return await client.query<object>(statement);
      });
      tail = turn.catch((error: unknown) => {
        // After FATAL the server hangs up; what is no answer of the server leaves the state unknown; and a
        // statement that was prepared before its table changed never works again there.
        isSound &&=
          error instanceof DatabaseError && error.severity === "ERROR" && error.code !== "0A000";
      });
      return await turn.catch((error: unknown) => {
        throw lossOf(error);
      });
    };
    try {
      return await work(send);
    } finally {
      await tail;
      release();
    }
  };
  ends.add(fail);
  try {
    return await Promise.race([use(), broken.promise]);
  } finally {
    ends.delete(fail);
    clearTimeout(timer);
  }
}

const unavailable = (message: string, options?: ErrorOptions): Error =>
  // SQLSTATE's own word for it: connection_failure.
  Object.assign(new Error(message, options), { code: "08006" });

/** The driver gives a lost connection no code, and one that no address took no message. */
function lossOf(thrown: unknown): Error {
  const error: unknown = thrown instanceof AggregateError ? thrown.errors[0] : thrown;
  if (!(error instanceof Error)) return new Error(String(error));
  const isLoss = /^(Connection terminated|Client (has|was)|timeout exceeded)/.test(error.message);
  return isLoss ? unavailable(`PostgreSQL: ${error.message}`, { cause: error }) : error;
}
