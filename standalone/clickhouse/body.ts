/**
 * The body of a request, decompressed and bounded: as text (statements), or in a file (insert data,
 * which must reach the engine as bytes and all at once, so that a broken upload stores nothing).
 */
import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
} from "node:zlib";
import { FrontError } from "./errors.ts";

export async function readText(request: IncomingMessage, limitBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  await pipeline(request, decoder(request), limiter(limitBytes), async (source) => {
    // The limiter emits Buffers: object mode is off and no encoding is set.
    for await (const chunk of source) chunks.push(chunk as Buffer);
  });
  return Buffer.concat(chunks).toString("utf8");
}

/** Writes `prefix` and the body to `file`; removes it again if that fails. Returns the bytes written. */
export async function writeBody(
  request: IncomingMessage | undefined,
  options: { file: string; prefix: Buffer; limitBytes: number },
): Promise<number> {
  const target = createWriteStream(options.file, { mode: 0o600, highWaterMark: 1024 * 1024 });
  if (options.prefix.length > 0) target.write(options.prefix);
  try {
    if (request === undefined) await pipeline(Readable.from([]), target);
    else await pipeline(request, decoder(request), limiter(options.limitBytes), target);
  } catch (error) {
    await rm(options.file, { force: true });
    throw error;
  }
  return target.bytesWritten;
}

function decoder(request: IncomingMessage): Transform {
  const encoding = request.headers["content-encoding"] ?? "identity";
  if (encoding === "identity")
    return new Transform({ transform: (chunk, _, done) => done(null, chunk) });
  if (encoding === "gzip") return createGunzip();
  if (encoding === "deflate") return createInflate();
  if (encoding === "br") return createBrotliDecompress();
  if (encoding === "zstd") return createZstdDecompress();
  throw new FrontError(48, "NOT_IMPLEMENTED", `Unknown Content-Encoding '${encoding}'`);
}

function limiter(limitBytes: number): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _, done) {
      bytes += chunk.length;
      if (bytes <= limitBytes) {
        done(null, chunk);
        return;
      }
      done(
        new FrontError(
          191,
          "SET_SIZE_LIMIT_EXCEEDED",
          `The request body is larger than ${limitBytes} bytes`,
        ),
      );
    },
  });
}
