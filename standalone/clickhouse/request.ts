/**
 * One HTTP request read as ClickHouse reads it: what is a setting, what a parameter, what addresses
 * the interface itself; credentials from any of the three places that clients put them.
 */
import { timingSafeEqual, createHash, randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { FrontError } from "./errors.ts";

export interface Call {
  query: string;
  database: string | undefined;
  queryId: string;
  defaultFormat: string;
  settings: ReadonlyMap<string, string>;
  parameters: Map<string, string>;
  /** Encoding of the answer, if the client asked for one. */
  answerEncoding: "gzip" | "deflate" | "br" | "zstd" | undefined;
  waitEndOfQuery: boolean;
  /** A GET may only read. */
  readOnly: boolean;
}

/** Parameters of the interface, not settings of the statement. */
const own = new Set([
  "query",
  "database",
  "query_id",
  "default_format",
  "user",
  "password",
  "quota_key",
  "session_id",
  "session_timeout",
  "session_check",
  "role",
  "enable_http_compression",
  "http_zlib_compression_level",
  "wait_end_of_query",
  "buffer_size",
  "compress",
  "decompress",
  "stacktrace",
  "send_progress_in_http_headers",
  "http_headers_progress_interval_ms",
  "http_write_exception_in_output_format",
  "cancel_http_readonly_queries_on_client_close",
  "add_http_cors_header",
  "close_session",
  "client_protocol_version",
]);

export function readCall(request: IncomingMessage, url: URL): Call {
  const given = url.searchParams;
  if (given.get("compress") === "1" || given.get("decompress") === "1") {
    throw new FrontError(
      48,
      "NOT_IMPLEMENTED",
      "Native compression (compress, decompress) is not served; use HTTP's",
    );
  }
  if (given.has("session_id")) {
    throw new FrontError(
      48,
      "NOT_IMPLEMENTED",
      "HTTP sessions are not served by the embedded engine",
    );
  }
  const settings = new Map<string, string>();
  const parameters = new Map<string, string>();
  for (const [name, value] of given) {
    if (name.startsWith("param_")) parameters.set(name.slice("param_".length), value);
    else if (!own.has(name)) settings.set(name, value);
  }
  return {
    query: given.get("query") ?? "",
    database: given.get("database") ?? header(request, "x-clickhouse-database"),
    queryId: given.get("query_id") || randomUUID(),
    defaultFormat:
      given.get("default_format") ?? header(request, "x-clickhouse-format") ?? "TabSeparated",
    settings,
    parameters,
    answerEncoding:
      given.get("enable_http_compression") === "1" ? acceptedEncoding(request) : undefined,
    waitEndOfQuery: given.get("wait_end_of_query") === "1",
    readOnly: request.method === "GET",
  };
}

/** Throws 516 unless the request carries the credentials; compares digests in constant time. */
export function checkCredentials(
  request: IncomingMessage,
  url: URL,
  expected: { user: string; password: string },
): void {
  const given = credentials(request, url);
  const user = given?.user ?? "default";
  if (
    given !== undefined &&
    same(`${user}\n${given.password}`, `${expected.user}\n${expected.password}`)
  ) {
    return;
  }
  throw new FrontError(
    516,
    "AUTHENTICATION_FAILED",
    `${user}: Authentication failed: password is incorrect, or there is no user with such name`,
  );
}

function credentials(
  request: IncomingMessage,
  url: URL,
): { user: string; password: string } | undefined {
  const basic = /^Basic (.+)$/i.exec(request.headers.authorization ?? "")?.[1];
  if (basic !== undefined) {
    const text = Buffer.from(basic, "base64").toString();
    const colon = text.indexOf(":");
    return { user: text.slice(0, colon), password: text.slice(colon + 1) };
  }
  const user = header(request, "x-clickhouse-user") ?? url.searchParams.get("user");
  if (user === null) return undefined;
  const password = header(request, "x-clickhouse-key") ?? url.searchParams.get("password") ?? "";
  return { user, password };
}

function same(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

function acceptedEncoding(request: IncomingMessage): Call["answerEncoding"] {
  const accepted = header(request, "accept-encoding") ?? "";
  return (["zstd", "gzip", "br", "deflate"] as const).find((name) => accepted.includes(name));
}

/** Node joins repeated headers of these names into one string. */
function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}
