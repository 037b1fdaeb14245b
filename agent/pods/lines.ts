/**
 * Bodies of answers, whole or line by line, with a limit on their length and on the peer's silence.
 */
import type { IncomingMessage } from "node:http";
import { setImmediate as yieldToLoop } from "node:timers/promises";
import type { Clock } from "@axonize/core/runtime/clock";

export interface BodyLimits {
  /** Of the whole body, or of one line. */
  readonly maxBytes: number;
  readonly silenceMs: number;
}

export async function readBody(
  answer: IncomingMessage,
  limits: BodyLimits,
  deps: { clock: Clock },
): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunksOf(answer, limits, deps)) {
    length += chunk.length;
    if (length > limits.maxBytes) throw new Error(`the answer is over ${limits.maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Lines without their ends; a last one that was cut off is not given. */
export async function* readLines(
  answer: IncomingMessage,
  limits: BodyLimits,
  deps: { clock: Clock },
): AsyncGenerator<string> {
  let kept: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunksOf(answer, limits, deps)) {
    let from = 0;
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, from)) {
      kept.push(chunk.subarray(from, end));
      yield Buffer.concat(kept).toString("utf8");
      kept = [];
      length = 0;
      from = end + 1;
    }
    kept.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > limits.maxBytes) throw new Error(`a line is over ${limits.maxBytes} bytes`);
  }
}

/** Chunks until the end; throws when none came for too long, or when it was cut off. */
async function* chunksOf(
  answer: IncomingMessage,
  limits: BodyLimits,
  deps: { clock: Clock },
): AsyncGenerator<Buffer> {
  const done = new AbortController();
  let heardMs = deps.clock.monotonic();
  const leftMs = (): number => heardMs + limits.silenceMs - deps.clock.monotonic();
  const watchdog = async (): Promise<void> => {
    for (;;) {
      // After a stall of our own, what came meanwhile is still to be read.
      if (leftMs() <= 0) await yieldToLoop();
      if (leftMs() <= 0) {
        answer.destroy(new Error(`nothing was heard for ${limits.silenceMs} ms`));
        return;
      }
      await deps.clock.sleep(leftMs(), done.signal);
    }
  };
  const watching = watchdog().catch(() => undefined); // aborted: the body has ended
  try {
    for await (const chunk of answer) {
      heardMs = deps.clock.monotonic();
      yield chunk as Buffer; // no encoding is set, so the chunks are bytes
    }
    if (!answer.complete) throw new Error("the answer was cut off");
  } finally {
    done.abort();
    answer.destroy();
    await watching;
  }
}
