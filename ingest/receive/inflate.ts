/**
 * Gunzip with a bounded output. Small bodies are inflated on the spot, larger ones in the thread
 * pool, few at a time, because each may grow to the full limit before it is known to be a bomb.
 */
import { gunzip, gunzipSync } from "node:zlib";
import * as limits from "../limits.ts";
import { refused, withJitter, type Refused } from "./outcome.ts";

export type Inflated = { kind: "inflated"; body: Buffer } | Refused;
export type Inflate = (compressed: Buffer) => Promise<Inflated>;

export function createInflate(): Inflate {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (compressed) => {
    if (compressed.length <= limits.inflateInlineBytes) {
      const outcome = inflateInline(compressed);
      if (outcome !== undefined) return outcome;
    }
    if (running >= limits.inflations) {
      if (waiting.length >= limits.inflationsWaiting) {
        return refused(
          "overloaded",
          "Too many large compressed bodies at once.",
          withJitter(limits.overloadRetryMs),
        );
      }
      // The place is handed over: `running` stays as it is.
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running += 1;
    try {
      return await inflateInPool(compressed);
    } finally {
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}

/** Undefined when the output passes what the event loop should wait for. */
function inflateInline(compressed: Buffer): Inflated | undefined {
  try {
    const body = gunzipSync(compressed, { maxOutputLength: limits.inflateInlineOutputBytes });
    return { kind: "inflated", body };
  } catch (error) {
    if (isTooLarge(error)) return undefined;
    return notGzip();
  }
}

async function inflateInPool(compressed: Buffer): Promise<Inflated> {
  return await new Promise((resolve) => {
    gunzip(compressed, { maxOutputLength: limits.bodyBytes }, (error, body) => {
      if (error === null) resolve({ kind: "inflated", body });
      else resolve(isTooLarge(error) ? tooLarge() : notGzip());
    });
  });
}

const isTooLarge = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE";

const notGzip = (): Refused =>
  refused("malformed", "The body is not valid gzip, though its header says so.");

export const tooLarge = (mostBytes: number = limits.bodyBytes): Refused => {
  const isJson = mostBytes < limits.bodyBytes;
  const what = isJson ? "A request in JSON" : "A request";
  const advice = isJson ? "smaller batches, or protobuf" : "smaller batches";
  return refused(
    "too-large",
    `${what} may have ${mostBytes / 1024 / 1024} MiB, after decompression too; send ${advice}.`,
  );
};
