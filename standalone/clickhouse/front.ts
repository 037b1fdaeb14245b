/**
 * The HTTP side of the embedded engine: the part of ClickHouse's interface that
 * `@clickhouse/client` uses, with credentials, because any local user could otherwise read the data.
 * Loopback only, but for the chart's trial stores. No sessions, no external tables, no native compression.
 */
import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { join } from "node:path";
import { createAnswer, sendError, type Answer } from "./answer.ts";
import { readText, writeBody } from "./body.ts";
import type { Engine, Run } from "./engine.ts";
import { exceptionCode, exceptionText, FrontError, tooManyQueries } from "./errors.ts";
import type { Fifos } from "./fifo.ts";
import {
  activeInserts,
  activeQueries,
  insertBodyBytes,
  requestTimeoutMs,
  statementBytes,
  waitingRequests,
} from "./limits.ts";
import { multipartBoundary, readMultipart } from "./multipart.ts";
import { checkCredentials, readCall, type Call } from "./request.ts";
import { createSlots, SlotsFull, type Slots } from "./slots.ts";
import { insertFromFile, parseStatement, readIntoFile, type Statement } from "./statement.ts";

export interface FrontOptions {
  engine: Engine;
  fifos: Fifos;
  /** Where insert bodies wait; a path without the glob characters of FROM INFILE. */
  bodyDir: string;
  credentials: { user: string; password: string };
}

interface Front extends FrontOptions {
  queries: Slots;
  inserts: Slots;
  running: Set<string>;
}

export function createFront(options: FrontOptions): { server: Server; active(): number } {
  const front: Front = {
    ...options,
    queries: createSlots({ places: activeQueries, waiting: waitingRequests }),
    inserts: createSlots({ places: activeInserts, waiting: waitingRequests }),
    running: new Set(),
  };
  const server = createServer(
    { requestTimeout: requestTimeoutMs, keepAliveTimeout: 60_000 },
    (request, response) => {
      // A client that goes away is no error; its statement is cancelled through `close`.
      response.on("error", () => undefined);
      void handle(front, request, response);
    },
  );
  return { server, active: () => front.running.size };
}

/** Never rejects: what fails becomes the answer. */
async function handle(
  front: Front,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  let queryId: string | undefined;
  try {
    const url = new URL(request.url ?? "/", "http://front");
    if (url.pathname === "/ping" || url.pathname === "/replicas_status") {
      response.end("Ok.\n");
      return;
    }
    checkCredentials(request, url, front.credentials);
    if (url.pathname !== "/") {
      response.statusCode = 404;
      response.end(`There is no handle ${url.pathname}\n`);
      return;
    }
    const call = readCall(request, url);
    queryId = call.queryId;
    await serve(front, call, request, response);
  } catch (thrown) {
    request.resume();
    const error = thrown instanceof SlotsFull ? tooManyQueries() : thrown;
    sendError(response, {
      queryId,
      thrown: error,
      text: exceptionText(error, front.engine.version),
    });
  }
}

async function serve(
  front: Front,
  call: Call,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // INSERT in the URL: the body is data and never becomes text.
  if (call.query !== "") {
    const statement = parseStatement(call.query);
    if (statement.kind === "insert") {
      await serveInsert(front, call, { statement, prefix: call.query, request }, response);
      return;
    }
  }
  const text = await readStatementText(call, request);
  const statement = parseStatement(text);
  if (statement.kind === "insert") {
    await serveInsert(front, call, { statement, prefix: text, request: undefined }, response);
    return;
  }
  await serveStatement(front, call, statement, response);
}

async function readStatementText(call: Call, request: IncomingMessage): Promise<string> {
  const body = await readText(request, statementBytes);
  const boundary = multipartBoundary(request.headers["content-type"]);
  if (boundary === undefined)
    return call.query === "" || body === "" ? call.query + body : `${call.query}\n${body}`;
  const fields = readMultipart(body, boundary);
  for (const [name, value] of fields) {
    if (name.startsWith("param_")) call.parameters.set(name.slice("param_".length), value);
  }
  return call.query || (fields.get("query") ?? "");
}

async function serveStatement(
  front: Front,
  call: Call,
  statement: Exclude<Statement, { kind: "insert" }>,
  response: ServerResponse,
): Promise<void> {
  if (statement.kind === "refused")
    throw new FrontError(statement.code, statement.name, statement.message);
  if (call.readOnly && statement.kind !== "read") throw readOnly();
  const gone = abortOnClose(response);
  await front.queries.run(async () => {
    await exclusively(front, call, async () => {
      const format =
        (statement.kind === "read" ? statement.format : undefined) ?? call.defaultFormat;
      const answer = createAnswer(response, {
        queryId: call.queryId,
        format,
        encoding: call.answerEncoding,
        holdAll: call.waitEndOfQuery,
        version: front.engine.version,
      });
      await (statement.kind === "read"
        ? streamRead(front, runOf(call, statement.text, gone), { statement, format, answer })
        : runOther(front, runOf(call, statement.text, gone), answer));
    });
  }, gone);
}

/** The engine writes into a FIFO while the answer reads from it; both ends must be done. */
async function streamRead(
  front: Front,
  run: Run,
  read: { statement: Extract<Statement, { kind: "read" }>; format: string; answer: Answer },
): Promise<void> {
  const started = performance.now();
  const fifo = front.fifos.open();
  try {
    const sql = readIntoFile(read.statement, { file: fifo.path, format: read.format });
    const finished = front.engine.run({ ...run, sql }).finally(() => fifo.writingDone());
    const copied = (async () => {
      for await (const chunk of fifo.stream) {
        // The client is gone: read on until the kill takes effect. Were the pipe closed instead, an
        // engine that is only about to open it would wait for a reader for ever, out of a kill's reach.
        if (run.signal?.aborted) continue;
        // Without setEncoding a socket emits Buffers.
        await read.answer.write(chunk as Buffer);
      }
    })();
    copied.catch(() => undefined); // seen below, after the engine has let go of the FIFO
    const result = await finished;
    await copied;
    read.answer.end({
      readRows: result.rows,
      readBytes: result.bytesRead,
      writtenRows: 0,
      writtenBytes: 0,
      elapsedMs: performance.now() - started,
    });
  } catch (error) {
    // A syntax error would speak of our INTO OUTFILE; the statement as it came has the right words.
    if (exceptionCode(error) === 62) await runOther(front, run, read.answer);
    else read.answer.fail(error);
  } finally {
    front.fifos.close(fifo);
  }
}

/** DDL and the like: small answers, held in memory. */
async function runOther(front: Front, run: Run, answer: Answer): Promise<void> {
  const started = performance.now();
  try {
    const result = await front.engine.run(run);
    await answer.write(Buffer.from(result.bytes));
    answer.end({
      readRows: 0,
      readBytes: 0,
      // INSERT … SELECT: what the engine counts are rows written.
      writtenRows: result.rows,
      writtenBytes: result.bytesRead,
      elapsedMs: performance.now() - started,
    });
  } catch (error) {
    answer.fail(error);
  }
}

async function serveInsert(
  front: Front,
  call: Call,
  insert: {
    statement: Extract<Statement, { kind: "insert" }>;
    /** The text that the statement was read from; data may follow in it. */
    prefix: string;
    request: IncomingMessage | undefined;
  },
  response: ServerResponse,
): Promise<void> {
  if (call.readOnly) throw readOnly();
  const file = join(front.bodyDir, `insert-${randomUUID()}`);
  await front.inserts.run(async () => {
    await exclusively(front, call, async () => {
      const started = performance.now();
      const bytes = await writeBody(insert.request, {
        file,
        prefix: Buffer.from(insert.prefix.slice(insert.statement.dataAt)),
        limitBytes: insertBodyBytes,
      });
      const answer = createAnswer(response, {
        queryId: call.queryId,
        format: "",
        encoding: undefined,
        holdAll: true,
        version: front.engine.version,
      });
      try {
        // Not cancelled when the client leaves: it cannot know whether the rows are in, and asks again.
        const sql = insertFromFile(insert.statement, file);
        const result =
          bytes === 0 ? undefined : await front.engine.run(runOf(call, sql, undefined));
        answer.end({
          readRows: result?.rows ?? 0,
          readBytes: result?.bytesRead ?? 0,
          writtenRows: result?.rows ?? 0,
          writtenBytes: result?.bytesRead ?? 0,
          elapsedMs: performance.now() - started,
        });
      } catch (error) {
        answer.fail(error);
      } finally {
        await rm(file, { force: true });
      }
    });
  });
}

async function exclusively(front: Front, call: Call, task: () => Promise<void>): Promise<void> {
  if (front.running.has(call.queryId)) {
    throw new FrontError(
      216,
      "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
      `Query with id = ${call.queryId} is already running`,
    );
  }
  front.running.add(call.queryId);
  try {
    await task();
  } finally {
    front.running.delete(call.queryId);
  }
}

const runOf = (call: Call, sql: string, signal: AbortSignal | undefined): Run => ({
  sql,
  format: call.defaultFormat,
  database: call.database,
  settings: call.settings,
  parameters: call.parameters,
  queryId: call.queryId,
  signal,
});

const readOnly = (): FrontError =>
  new FrontError(
    164,
    "READONLY",
    "Cannot execute query in readonly mode: GET is for reads, use POST",
  );

/** Aborts when the connection closes before the answer is complete. */
function abortOnClose(response: ServerResponse): AbortSignal {
  const abort = new AbortController();
  response.once("close", () => {
    if (!response.writableFinished) abort.abort(new Error("the client went away"));
  });
  return abort.signal;
}
