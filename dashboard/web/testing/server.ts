/**
 * A small HTTP server with the API's shapes and made-up data, for developing, tests and screenshots.
 *
 * `scenario` chooses the state of the world: full, empty (nothing received), error (every read is a
 * problem), loading (reads never answer), locked (a key is needed). Serves a built web app, too.
 */
import { createReadStream, existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { extname, join, normalize } from "node:path";
import { gzipSync } from "node:zlib";
import { parseTime } from "@axonize/core/contract/time-range";
import type { Key, Tenant } from "@axonize/core/contract/tenant";
import { facets, filterCalls, heatmap, overview } from "./answers.ts";
import { makeCall, makeCalls, type Call } from "./calls.ts";
import { makeGpuMetrics, makeGpus, makeLanes } from "./gpus.ts";
import { createRandom } from "./random.ts";
import { makeHugeColumns } from "./huge.ts";
import { makeSpanDetail } from "./span-detail.ts";
import { makeTrace } from "./spans.ts";
import { makeStart, makeTenants, makeUsage, systemOf } from "./system.ts";

export type Scenario = "full" | "empty" | "error" | "loading" | "locked" | "noGpu";

export interface FixtureOptions {
  readonly port: number;
  readonly scenario: Scenario;
  /** Built web app to serve; none for the API alone. */
  readonly webRoot?: string;
  /** New calls keep arriving, as in a running product. */
  readonly live?: boolean;
  /** Fixed clock, so that pictures are the same each time; the real one when left out. */
  readonly nowMs?: number;
}

export interface FixtureServer extends AsyncDisposable {
  readonly url: string;
}

/** The id of the trace whose span count is in its last digits: 100 k spans. */
export const hugeTraceId = (spans: number): string => `b16${String(spans).padStart(29, "0")}`;

export async function startFixtureServer(options: FixtureOptions): Promise<FixtureServer> {
  const world = createWorld(options);
  const server = createServer((request, response) => {
    handle(world, options, request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(options.port, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface World {
  readonly now: () => number;
  readonly calls: Call[];
  readonly tenants: Tenant[];
  readonly keys: Key[];
  readonly grow: () => void;
}

function createWorld(options: FixtureOptions): World {
  const startedMs = Date.now();
  const baseMs = options.nowMs ?? startedMs;
  const now = (): number => baseMs + (options.live ? Date.now() - startedMs : 0);
  const calls =
    options.scenario === "empty"
      ? []
      : [...makeCalls({ nowMs: baseMs, seed: 20_261, count: 14_000, spanMs: 2 * 86_400e3 })];
  const random = createRandom(99);
  let grownToMs = baseMs;
  const { tenants, keys } = makeTenants(baseMs);
  return {
    now,
    calls,
    tenants,
    keys,
    grow: () => {
      if (!options.live || options.scenario === "empty") return;
      for (; grownToMs < now() - 700; grownToMs += 700)
        calls.unshift(makeCall(random, grownToMs, now()));
    },
  };
}

async function handle(
  world: World,
  options: FixtureOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://fixture");
  if (!url.pathname.startsWith("/api/")) {
    serveFile(options.webRoot, url.pathname, response);
    return;
  }
  world.grow();
  const { scenario } = options;
  if (url.pathname === "/api/v1/session") {
    const given = request.headers.authorization ?? "";
    const open = scenario !== "locked" || given.startsWith("Bearer axk_");
    sendJson(response, 200, {
      authenticated: open,
      keyNeeded: scenario === "locked",
      mode: "standalone",
      version: "0.1.0",
      tenant: open ? { id: "default", name: "Default", capture: "Full" } : null,
      scopes: ["Ingest", "Query"],
      admin: given.includes("admin"),
      login: null,
      user: null,
      csrfToken: null,
      tenants: [],
    });
    return;
  }
  if (scenario === "loading") return;
  if (scenario === "error") {
    sendProblem(
      response,
      503,
      "unavailable",
      "A store is not reachable",
      "ClickHouse at 127.0.0.1:8123 refused the connection. It may be starting. Spans are refused with a retry hint meanwhile; nothing acknowledged is lost.",
    );
    return;
  }
  if (url.pathname === "/api/v1/start/events") {
    serveEvents(world, response);
    return;
  }
  await route(world, options, request, response, url);
}

async function route(
  world: World,
  options: FixtureOptions,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): Promise<void> {
  const nowMs = world.now();
  const search = url.searchParams;
  const range = {
    fromMs: parseTime(search.get("from") ?? "-1h", nowMs) ?? nowMs - 3600e3,
    toMs: parseTime(search.get("to") ?? "now", nowMs) ?? nowMs,
  };
  const gpus = options.scenario === "empty" || options.scenario === "noGpu" ? [] : makeGpus(nowMs);
  const path = url.pathname
    .slice("/api/v1/".length)
    .split("/")
    .map((part) => decodeURIComponent(part));
  const [first = "", second = "", third = "", fourth = ""] = path;
  if (first === "admin") {
    await routeAdmin(world, request, response, path.slice(1));
    return;
  }
  const answer = ((): unknown => {
    if (first === "traces" && second === "") return listPage(world, search, range);
    if (first === "traces") return traceAnswer(world, gpus, second, third, fourth);
    if (first === "facets") return facets(filterCalls(world.calls, search, range), search);
    if (first === "analytics" && second === "overview")
      return overview(world.calls, search, range, gpus.length);
    if (first === "analytics" && second === "heatmap") return heatmap(world.calls, search, range);
    if (first === "gpus" && second === "") return { items: gpus, nextCursor: null };
    if (first === "gpus") {
      const gpu = gpus.find(({ uuid }) => uuid === second);
      return gpu && third === "metrics"
        ? makeGpuMetrics(gpu, range.fromMs, range.toMs, Number(search.get("buckets") ?? 600))
        : gpu;
    }
    if (first === "start") return makeStart(world.calls.at(-1), gpus.length > 0);
    if (first === "system") return systemOf(options.scenario, nowMs, world.calls[0]);
    return undefined;
  })();
  if (answer === undefined)
    sendProblem(
      response,
      404,
      "not-found",
      "There is nothing with this id",
      `No ${first} has the id ${second}.`,
    );
  else sendJson(response, 200, answer);
}

function listPage(
  world: World,
  search: URLSearchParams,
  range: { readonly fromMs: number; readonly toMs: number },
): unknown {
  const limit = Number(search.get("limit") ?? 50);
  const order = search.get("order") === "asc" ? 1 : -1;
  const key = search.get("sort") ?? "startTime";
  const value = (call: Call): number =>
    ({
      duration: call.durationNs,
      ttft: call.ttftMs ?? -1,
      outputTokens: call.outputTokens ?? -1,
      inputTokens: call.inputTokens ?? -1,
    })[key] ?? call.startMs;
  const all = [...filterCalls(world.calls, search, range)].sort(
    (a, b) => (value(a) - value(b)) * order,
  );
  const after = search.get("cursor");
  const start = after === null ? 0 : all.findIndex((call) => call.traceId === after) + 1;
  const items = all.slice(start, start + limit);
  return {
    items: items.map(({ startMs: _startMs, ...row }) => row),
    nextCursor: start + limit < all.length ? (items.at(-1)?.traceId ?? null) : null,
  };
}

function traceAnswer(
  world: World,
  gpus: ReturnType<typeof makeGpus>,
  traceId: string,
  third: string,
  spanId: string,
): unknown {
  const huge = /^b160*([1-9]\d*)$/.exec(traceId);
  const call = huge
    ? { ...world.calls[0], traceId }
    : world.calls.find((one) => one.traceId === traceId);
  if (!call || call.startMs === undefined) return undefined;
  const trace = huge ? hugeTrace(call as Call, Number(huge[1])) : makeTrace(call as Call); // Safe: spread of a whole call.
  if (third === "gpu")
    return makeLanes(
      traceId,
      gpus.find((gpu) => call.gpus?.includes(gpu.uuid)),
      call.startMs,
      trace.durationNs / 1e6,
    );
  if (third === "spans") return makeSpanDetail(trace, spanId);
  return trace;
}

function hugeTrace(call: Call, spans: number): ReturnType<typeof makeTrace> {
  const columns = makeHugeColumns(spans, 7);
  const { startMs: _startMs, ...row } = call;
  return {
    ...row,
    name: "nightly research workflow",
    durationNs: 600e9,
    spanCount: spans,
    shownSpanCount: spans,
    errorCount: columns.status.filter((s) => s === 2).length,
    queueMs: null,
    prefillMs: null,
    decodeMs: null,
    principalSpanId: columns.spanId[0] ?? "",
    peers: null,
    resourceGpus: [],
    columns,
  };
}

async function routeAdmin(
  world: World,
  request: IncomingMessage,
  response: ServerResponse,
  path: readonly string[],
): Promise<void> {
  if (!(request.headers.authorization ?? "").includes("admin")) {
    sendProblem(
      response,
      401,
      "unauthenticated",
      "A key is needed",
      "This route needs the admin key. It is in the file admin-key of the data directory.",
    );
    return;
  }
  const body: unknown = JSON.parse((await readBody(request)) || "{}");
  const fields = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {}; // Safe: checked above.
  const [, tenantId = "", what = "", prefix = ""] = path;
  const tenant = world.tenants.find(({ id }) => id === tenantId);
  if (tenantId === "") {
    if (request.method === "POST") {
      const name = textOf(fields["name"]);
      const made: Tenant = {
        id: name.toLowerCase().replace(/[^a-z0-9]+/g, "-"),
        name,
        capture: "None",
        limits: { spansPerSecond: null, bytesPerDay: null },
        retentionDays: 30,
        owner: "api",
        createdAt: new Date(world.now()).toISOString(),
      };
      world.tenants.push(made);
      sendJson(response, 201, made);
    } else sendJson(response, 200, { items: world.tenants, nextCursor: null });
  } else if (!tenant) {
    sendProblem(
      response,
      404,
      "not-found",
      "There is nothing with this id",
      `No tenant has the id ${tenantId}.`,
    );
  } else if (what === "usage") {
    sendJson(response, 200, makeUsage(tenantId, world.now()));
  } else if (what === "keys" && request.method === "POST") {
    const made: Key = {
      prefix: `k${world.keys.length}Zq8`,
      name: textOf(fields["name"]),
      scopes: ["Ingest", "Query"],
      createdAt: new Date(world.now()).toISOString(),
      lastUsedAt: null,
      expiresAt: null,
      revokedAt: null,
    };
    world.keys.unshift(made);
    sendJson(response, 201, { ...made, key: `axk_${made.prefix}_7Yb0nq3VtL2xJcRk5PwE9aHs_4f1c` });
  } else if (what === "keys" && request.method === "DELETE") {
    const at = world.keys.findIndex((key) => key.prefix === prefix);
    const key = world.keys[at];
    if (key) world.keys[at] = { ...key, revokedAt: new Date(world.now()).toISOString() };
    response.writeHead(204).end();
  } else if (what === "keys") {
    sendJson(response, 200, { items: world.keys, nextCursor: null });
  } else {
    Object.assign(tenant, fields);
    sendJson(response, 200, tenant);
  }
}

function serveEvents(world: World, response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  response.write(": hello\n\n");
  const call = world.calls[0];
  if (!call) return;
  const { startMs: _startMs, ...row } = call;
  response.write(`event: span\ndata: ${JSON.stringify(row)}\n\n`);
}

async function readBody(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text;
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value);
  const zipped = text.length > 100_000;
  response.writeHead(status, {
    "content-type": "application/json",
    ...(zipped ? { "content-encoding": "gzip" } : {}),
  });
  response.end(zipped ? gzipSync(text, { level: 1 }) : text);
}

function sendProblem(
  response: ServerResponse,
  status: number,
  code: string,
  title: string,
  detail: string,
): void {
  response.writeHead(status, { "content-type": "application/problem+json" });
  response.end(
    JSON.stringify({ type: `https://axonize.io/problems/${code}`, title, status, detail }),
  );
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

function serveFile(root: string | undefined, path: string, response: ServerResponse): void {
  if (root === undefined) {
    response.writeHead(404).end();
    return;
  }
  const wanted = join(root, normalize(path));
  const file =
    extname(path) !== "" && wanted.startsWith(root) && existsSync(wanted)
      ? wanted
      : join(root, "index.html");
  response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" });
  // The build's addresses are relative; the server puts its prefix in front, here the root.
  if (file.endsWith("index.html"))
    response.end(readFileSync(file, "utf8").replaceAll(/(src|href)="\.\//g, '$1="/'));
  else createReadStream(file).pipe(response);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
