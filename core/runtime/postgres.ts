/**
 * The PostgreSQL client (postgres.js). Timestamps come back as Date, bigint as number: none of our
 * counters reaches 2^53.
 */
import postgres from "postgres";
import { errorMessage } from "./error.ts";
import type { Log } from "./log.ts";

export type Sql = postgres.Sql<{ bigint: number }>;

export function createPostgres(options: {
  url: string;
  application: string;
  max?: number;
  onNotice?: (message: string) => void;
}): Sql {
  return postgres(options.url, {
    max: options.max ?? 8,
    idle_timeout: 60,
    connect_timeout: 10,
    connection: { application_name: options.application },
    onnotice: (notice) => options.onNotice?.(notice["message"] ?? ""),
    types: {
      bigint: {
        to: 20,
        from: [20],
        serialize: (value: number) => String(value),
        parse: (text: string) => Number(text),
      },
    },
  });
}

export interface Listener {
  /** The connection may be gone: the next `ensure` subscribes anew. */
  lost(): void;
  ensure(): Promise<void>;
  stop(): Promise<void>;
}

/** LISTEN, taken up again after PostgreSQL was away: the client itself gives up then. */
export function createListener(
  { sql, log }: { sql: Sql; log: Log },
  channel: string,
  onNotice: () => void,
): Listener {
  let subscription: { unlisten(): Promise<void> } | undefined;
  let isLost = false;
  const stop = async (): Promise<void> => {
    const old = subscription;
    subscription = undefined;
    try {
      await old?.unlisten();
    } catch (error) {
      // Its connection is gone already, and with it the subscription.
      log.debug({ event: "postgres.unlisten", channel, reason: errorMessage(error) });
    }
  };
  return {
    lost: () => {
      isLost = true;
    },
    ensure: async () => {
      if (isLost) await stop();
      // The client calls `onNotice` after its own reconnects, too: something may have been missed.
      subscription ??= await sql.listen(channel, onNotice, onNotice);
      isLost = false;
    },
    stop,
  };
}
