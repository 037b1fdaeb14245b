/**
 * LISTEN on a connection of its own, for all channels of a process: taken up again whenever it is lost, and
 * asked now and then whether it still is one. It delivers no payloads and not every notification: who
 * listens is told that something may have changed, after each new connection, too, and reads anew.
 */
import { Client, escapeIdentifier, type ClientConfig } from "pg";
import type { Clock } from "../clock.ts";
import { errorMessage } from "../error.ts";
import type { Log } from "../log.ts";

const limits = {
  /** Between two questions; with the answer's time, how long a connection may be dead unnoticed. */
  beatMs: 10_000,
  answerMs: 5_000,
  /** Between two attempts to connect: doubled from the first to the last. */
  firstRetryMs: 100,
  lastRetryMs: 5_000,
};

export interface Listening {
  /** Begins at once and never throws; `onChange` is called as soon as it listens. */
  readonly listen: (channel: string, onChange: () => void) => Disposable;
  readonly stop: () => void;
}

export function createListening(
  { log, clock }: { log: Log; clock: Clock },
  config: ClientConfig,
): Listening {
  const abort = new AbortController();
  const handlers = new Set<{ channel: string; onChange: () => void }>();
  const tell = (channel: string): void => {
    for (const handler of handlers) if (handler.channel === channel) handler.onChange();
  };
  /** To be listened on from now. */
  const due = new Set<string>();
  let hasDue = Promise.withResolvers<void>();
  let running: Promise<void> | undefined;

  const attend = async (onListening: () => void): Promise<never> => {
    const client = new Client({ ...config, query_timeout: limits.answerMs });
    const lost = new Promise<never>((_, reject) => client.on("error", reject));
    const rest = new AbortController();
    const stopped = AbortSignal.any([abort.signal, rest.signal]);
    try {
      await Promise.race([client.connect(), lost]);
      client.on("notification", ({ channel }) => tell(channel));
      for (const { channel } of handlers) due.add(channel);
      for (;;) {
        hasDue = Promise.withResolvers();
        for (const channel of due) {
          await client.query(`LISTEN ${escapeIdentifier(channel)}`);
          due.delete(channel);
          tell(channel);
        }
        onListening();
        await Promise.race([lost, hasDue.promise, clock.sleep(limits.beatMs, stopped)]);
        await client.query("SELECT 1");
      }
    } finally {
      rest.abort();
      void client.end(); // its socket is closed with the pool's
    }
  };

  const keep = async (): Promise<void> => {
    for (let failures = 0; !abort.signal.aborted; failures += 1) {
      try {
        await attend(() => {
          failures = 0;
        });
      } catch (error) {
        // Whoever listens reads on its own as well; the next connection tells it to.
        if (abort.signal.aborted) return;
        const level = failures === 0 ? "warn" : "debug";
        log[level]({ event: "postgres.listen", failures, reason: errorMessage(error) });
      }
      const pause = Math.min(limits.firstRetryMs * 2 ** failures, limits.lastRetryMs);
      await clock.sleep(pause, abort.signal).catch(() => undefined); // stopping
    }
  };

  return {
    listen: (channel, onChange) => {
      const handler = { channel, onChange };
      handlers.add(handler);
      due.add(channel);
      hasDue.resolve();
      running ??= keep();
      return { [Symbol.dispose]: () => handlers.delete(handler) };
    },
    stop: () => abort.abort(),
  };
}
