/**
 * The lines of a watch as objects, with a bound on a line and on silence.
 */
import type { Readable } from "node:stream";
import type { Clock } from "@axonize/core/runtime/clock";
import { maxEventBytes } from "./limits.ts";
import type { KubeObject } from "./types.ts";

export interface WatchLine {
  readonly type: string;
  /** Of `ERROR` it is a `Status`. */
  readonly object: KubeObject & {
    readonly code?: number;
    readonly reason?: string;
    readonly message?: string;
    readonly details?: { readonly retryAfterSeconds?: number };
  };
}

/** The connection only looked open. */
export class SilenceError extends Error {}

/**
 * Ends when the server ends the watch. Throws `SilenceError` when nothing came for `silenceMs`, and what
 * the connection throws when it breaks. Destroys the body in every case.
 */
export async function* watchLines(
  { clock }: { clock: Clock },
  body: Readable,
  silenceMs: number,
): AsyncGenerator<WatchLine> {
  const silence = startSilence(clock, body, silenceMs);
  let rest: Buffer[] = [];
  let restBytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      silence.word();
      let from = 0;
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
        const line = Buffer.concat([...rest, chunk.subarray(from, end)]);
        from = end + 1;
        rest = [];
        restBytes = 0;
        if (line.length > 0) yield parse(line);
      }
      if (from === chunk.length) continue;
      rest.push(chunk.subarray(from));
      restBytes += chunk.length - from;
      if (restBytes > maxEventBytes) {
        throw new Error(`a watch event of more than ${maxEventBytes} bytes`);
      }
    }
  } finally {
    silence.stop();
    body.destroy();
  }
}

function parse(line: Buffer): WatchLine {
  const event: unknown = JSON.parse(line.toString("utf8"));
  if (
    typeof event === "object" &&
    event !== null &&
    "type" in event &&
    typeof event.type === "string" &&
    "object" in event &&
    typeof event.object === "object" &&
    event.object !== null
  ) {
    // The fields of an object are the server's to hold to their schema.
    return event as WatchLine;
  }
  throw new Error("a watch event that is none of Kubernetes");
}

/** One sleeper at a time, which sleeps on for what is left when a word came meanwhile. */
function startSilence(
  clock: Clock,
  body: Readable,
  silenceMs: number,
): { word(): void; stop(): void } {
  const stop = new AbortController();
  let lastMs = clock.monotonic();
  const guard = async (): Promise<void> => {
    for (;;) {
      const leftMs = lastMs + silenceMs - clock.monotonic();
      if (leftMs <= 0) break;
      await clock.sleep(leftMs, stop.signal);
    }
    body.destroy(new SilenceError(`no word in ${Math.round(silenceMs / 1000)} s`));
  };
  // It rejects only when it is stopped.
  guard().catch(() => undefined);
  return {
    word: () => {
      lastMs = clock.monotonic();
    },
    stop: () => stop.abort(),
  };
}
