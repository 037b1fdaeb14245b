/**
 * One answer in the making: holds back the head and the first megabyte until the statement has
 * ended or the answer is larger than that, so that most errors still get a status of their own.
 * Later errors end the stream with ClickHouse's exception block.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { Transform } from "node:stream";
import {
  constants,
  createBrotliCompress,
  createDeflate,
  createGzip,
  createZstdCompress,
} from "node:zlib";
import { exceptionBlock, exceptionCode, exceptionText, httpStatus } from "./errors.ts";
import { answerBufferBytes } from "./limits.ts";
import type { Call } from "./request.ts";

export interface Summary {
  readRows: number;
  readBytes: number;
  writtenRows: number;
  writtenBytes: number;
  elapsedMs: number;
}

export interface Answer {
  /** Resolves when more may be written. */
  write(chunk: Buffer): Promise<void>;
  end(summary: Summary): void;
  fail(thrown: unknown): void;
}

const noSummary: Summary = {
  readRows: 0,
  readBytes: 0,
  writtenRows: 0,
  writtenBytes: 0,
  elapsedMs: 0,
};

export function createAnswer(
  response: ServerResponse,
  options: {
    queryId: string;
    format: string;
    encoding: Call["answerEncoding"];
    holdAll: boolean;
    version: string;
  },
): Answer {
  const tag = randomBytes(8).toString("hex");
  const held: Buffer[] = [];
  let heldBytes = 0;
  let out: ServerResponse | Transform | undefined;

  const start = (summary: Summary): ServerResponse | Transform => {
    setHeaders(response, options, tag, summary);
    const encoder = createEncoder(options.encoding);
    if (encoder !== undefined && options.encoding !== undefined) {
      response.setHeader("content-encoding", options.encoding);
      encoder.pipe(response);
    }
    const target = encoder ?? response;
    for (const chunk of held.splice(0)) target.write(chunk);
    out = target;
    return target;
  };
  const finish = (target: ServerResponse | Transform, last?: Buffer): void => {
    if (!response.destroyed) target.end(last);
  };
  return {
    write: async (chunk) => {
      if (out === undefined) {
        held.push(chunk);
        heldBytes += chunk.length;
        if (options.holdAll || heldBytes <= answerBufferBytes) return;
      }
      const fits = out === undefined ? !start(noSummary).writableNeedDrain : out.write(chunk);
      if (!fits && !response.destroyed) await drained(out ?? response, response);
    },
    end: (summary) => finish(out ?? start(summary)),
    fail: (thrown) => {
      const text = exceptionText(thrown, options.version);
      if (out === undefined) sendError(response, { queryId: options.queryId, thrown, text });
      else finish(out, exceptionBlock(text, tag));
    },
  };
}

/** An error as a whole answer: status, code header, text. */
export function sendError(
  response: ServerResponse,
  options: { queryId: string | undefined; thrown: unknown; text: string },
): void {
  if (response.headersSent || response.destroyed) return;
  const code = exceptionCode(options.thrown);
  response.statusCode = httpStatus(code);
  if (response.statusCode === 503) response.setHeader("retry-after", "1");
  if (options.queryId !== undefined) response.setHeader("x-clickhouse-query-id", options.queryId);
  response.setHeader("x-clickhouse-exception-code", String(code));
  response.setHeader("x-clickhouse-server-display-name", serverName);
  response.setHeader("content-type", "text/plain; charset=UTF-8");
  response.end(options.text);
}

export const serverName = "axonize";

async function drained(
  target: ServerResponse | Transform,
  response: ServerResponse,
): Promise<void> {
  const stop = new AbortController();
  try {
    await Promise.race([
      once(target, "drain", { signal: stop.signal }),
      once(response, "close", { signal: stop.signal }),
    ]);
  } finally {
    stop.abort();
  }
}

function setHeaders(
  response: ServerResponse,
  options: { queryId: string; format: string },
  tag: string,
  summary: Summary,
): void {
  response.statusCode = 200;
  response.setHeader("content-type", contentType(options.format));
  response.setHeader("x-clickhouse-query-id", options.queryId);
  response.setHeader("x-clickhouse-server-display-name", serverName);
  response.setHeader("x-clickhouse-timezone", "UTC");
  response.setHeader("x-clickhouse-exception-tag", tag);
  if (options.format !== "") response.setHeader("x-clickhouse-format", options.format);
  response.setHeader(
    "x-clickhouse-summary",
    JSON.stringify({
      read_rows: String(summary.readRows),
      read_bytes: String(summary.readBytes),
      written_rows: String(summary.writtenRows),
      written_bytes: String(summary.writtenBytes),
      total_rows_to_read: "0",
      result_rows: String(summary.writtenRows),
      result_bytes: String(summary.writtenBytes),
      elapsed_ns: String(Math.round(summary.elapsedMs * 1e6)),
    }),
  );
}

function contentType(format: string): string {
  if (/^JSON.*(EachRow|Progress)$/.test(format)) return "application/x-ndjson; charset=UTF-8";
  if (format.startsWith("JSON")) return "application/json; charset=UTF-8";
  if (/^(TSV|TabSeparated)/.test(format)) return "text/tab-separated-values; charset=UTF-8";
  if (format.startsWith("CSV")) return "text/csv; charset=UTF-8; header=absent";
  if (/^(Native|RowBinary|Parquet|Arrow|ORC|Avro|MsgPack)/.test(format)) {
    return "application/octet-stream";
  }
  return "text/plain; charset=UTF-8";
}

/** Fast levels: the peer is on the same machine. */
function createEncoder(encoding: Call["answerEncoding"]): Transform | undefined {
  if (encoding === "gzip") return createGzip({ level: 1 });
  if (encoding === "deflate") return createDeflate({ level: 1 });
  if (encoding === "br")
    return createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });
  if (encoding === "zstd") return createZstdCompress();
  return undefined;
}
