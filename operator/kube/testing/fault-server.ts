/**
 * An API server that misbehaves on request: what the real one cannot be made to do in a test (500s, 429s,
 * resets, silence, both forms of 410, slow lists), over real HTTP.
 *
 * It keeps objects with versions, pages lists, watches with bookmarks and refuses stale writes. It knows no
 * schema and no server-side apply: a patch is merged. `test/cluster/` has the real one.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Stored {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

/** true: it answered, and the server does nothing. */
export type Fault = (request: Asked, response: ServerResponse) => boolean | Promise<boolean>;

export interface Asked {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  readonly isWatch: boolean;
  readonly isList: boolean;
}

export interface FaultServer extends AsyncDisposable {
  readonly url: string;
  readonly requests: Asked[];
  readonly watchCount: number;
  /** Sockets that were ever opened. */
  readonly socketCount: number;
  readonly openSockets: number;
  fault(fault: Fault | undefined): void;
  /** As another client would; watches are told unless `silently`. */
  set(path: string, object: Stored, options?: { silently?: boolean }): Stored;
  remove(path: string, name: string, options?: { silently?: boolean }): void;
  get(path: string, name: string): Stored | undefined;
  bookmark(path: string): void;
  /** Raw text into every open watch. */
  say(text: string): void;
  endWatches(how: "end" | "cut"): void;
  /** Versions before now are gone: 410 for watches and pages that start there. */
  compact(): void;
  readonly version: number;
}

interface Watcher {
  readonly path: string;
  readonly response: ServerResponse;
}

export async function startFaultServer(): Promise<FaultServer> {
  const requests: Asked[] = [];
  const objects = createObjects();
  let fault: Fault | undefined;
  let socketCount = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const asked = askedOf(request, Buffer.concat(chunks).toString());
      requests.push(asked);
      const answer = async (): Promise<void> => {
        if ((await fault?.(asked, response)) !== true) answerFrom(objects, asked, response);
      };
      answer().catch(() => response.destroy()); // a fault that threw: no answer
    });
  });
  let openSockets = 0;
  server.on("connection", (socket) => {
    socketCount += 1;
    openSockets += 1;
    socket.on("close", () => (openSockets -= 1));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  // It listens on TCP.
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    get watchCount() {
      return objects.watchers.size;
    },
    get socketCount() {
      return socketCount;
    },
    get openSockets() {
      return openSockets;
    },
    get version() {
      return objects.version();
    },
    fault: (next) => (fault = next),
    set: objects.set,
    remove: objects.remove,
    get: (path, name) => objects.collection(path).get(name),
    bookmark: objects.bookmark,
    say: (text) => {
      for (const { response } of objects.watchers) response.write(`${text}\n`);
    },
    endWatches: (how) => {
      for (const { response } of objects.watchers) {
        if (how === "end") response.end();
        else response.destroy();
      }
    },
    compact: objects.compact,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function askedOf(request: IncomingMessage, body: string): Asked {
  const url = new URL(request.url ?? "/", "http://server");
  const isGet = request.method === "GET";
  const isCollection = /^\/(api|apis\/[^/]+)\/[^/]+(\/namespaces\/[^/]+)?\/[^/]+$/.test(
    url.pathname,
  );
  const isWatch = isGet && url.searchParams.has("watch");
  return {
    method: request.method ?? "GET",
    url,
    headers: request.headers,
    body,
    isWatch,
    isList: isGet && isCollection && !isWatch,
  };
}

interface Change {
  readonly version: number;
  readonly path: string;
  readonly line: string;
}
type Objects = ReturnType<typeof createObjects>;

/** Collections by path, their history, and who watches. */
function createObjects() {
  let version = 100;
  let compacted = 0;
  let uids = 0;
  const byPath = new Map<string, Map<string, Stored>>();
  const watchers = new Set<Watcher>();
  const history: Change[] = [];
  const collection = (path: string): Map<string, Stored> => {
    const there = byPath.get(path) ?? new Map<string, Stored>();
    byPath.set(path, there);
    return there;
  };
  const tell = (path: string, type: string, object: unknown, silently = false): void => {
    const line = `${JSON.stringify({ type, object })}\n`;
    history.push({ version, path, line });
    if (silently) return;
    for (const watcher of watchers) if (watcher.path === path) watcher.response.write(line);
  };
  const set: FaultServer["set"] = (path, object, options) => {
    const before = collection(path).get(object.metadata.name);
    version += 1;
    const uid = object.metadata.uid ?? before?.metadata.uid ?? `uid-${(uids += 1)}`;
    const metadata = { ...object.metadata, uid, resourceVersion: String(version) };
    const stored = { ...object, metadata };
    collection(path).set(object.metadata.name, stored);
    const isSame = before?.metadata.uid === uid;
    if (before !== undefined && !isSame) tell(path, "DELETED", before, options?.silently);
    tell(path, isSame ? "MODIFIED" : "ADDED", stored, options?.silently);
    return stored;
  };
  const remove: FaultServer["remove"] = (path, name, options) => {
    const object = collection(path).get(name);
    if (object === undefined) return;
    collection(path).delete(name);
    version += 1;
    const metadata = { ...object.metadata, resourceVersion: String(version) };
    tell(path, "DELETED", { ...object, metadata }, options?.silently);
  };
  return {
    watchers,
    history,
    pages: new Map<string, { version: number; rest: Stored[] }>(),
    version: () => version,
    isCompacted: (at: number) => at < compacted,
    compact: () => void (compacted = version),
    collection,
    set,
    remove,
    bookmark: (path: string) => {
      version += 1;
      tell(path, "BOOKMARK", { metadata: { resourceVersion: String(version) } });
    },
  };
}

function answerFrom(objects: Objects, asked: Asked, response: ServerResponse): void {
  const { pathname } = asked.url;
  if (asked.isWatch) watch(objects, asked.url, response);
  else if (asked.isList) list(objects, asked.url, response);
  else if (asked.method !== "POST") answerOne(objects, asked, response);
  else {
    // Tests send objects.
    const object = JSON.parse(asked.body) as Stored;
    const isThere = objects.collection(pathname).has(object.metadata.name);
    if (isThere) status(response, 409, "AlreadyExists");
    else json(response, 201, objects.set(pathname, object));
  }
}

function list(objects: Objects, { pathname, searchParams }: URL, response: ServerResponse): void {
  const token = searchParams.get("continue");
  const from = token === null ? undefined : objects.pages.get(token);
  if (token !== null && (from === undefined || objects.isCompacted(from.version))) {
    status(response, 410, "Expired");
    return;
  }
  const all = from?.rest ?? [...objects.collection(pathname).values()];
  const version = from?.version ?? objects.version();
  const limit = Number(searchParams.get("limit") ?? Infinity);
  const rest = all.slice(limit);
  const next = rest.length === 0 ? undefined : `page-${version}-${rest.length}`;
  if (next !== undefined) objects.pages.set(next, { version, rest });
  const metadata = { resourceVersion: String(version), continue: next };
  json(response, 200, { kind: "List", metadata, items: all.slice(0, limit) });
}

function watch(objects: Objects, { pathname, searchParams }: URL, response: ServerResponse): void {
  const from = Number(searchParams.get("resourceVersion") ?? 0);
  response.writeHead(200, { "content-type": "application/json" });
  response.flushHeaders();
  if (objects.isCompacted(from)) {
    response.end(`${JSON.stringify({ type: "ERROR", object: statusOf(410, "Expired") })}\n`);
    return;
  }
  for (const each of objects.history) {
    if (each.path === pathname && each.version > from) response.write(each.line);
  }
  const watcher = { path: pathname, response };
  objects.watchers.add(watcher);
  response.on("close", () => objects.watchers.delete(watcher));
}

function answerOne(objects: Objects, asked: Asked, response: ServerResponse): void {
  const parts = asked.url.pathname.replace(/\/status$/, "").split("/");
  const name = decodeURIComponent(parts.pop() ?? "");
  const path = parts.join("/");
  const there = objects.collection(path).get(name);
  if (asked.method !== "PATCH" && there === undefined) status(response, 404, "NotFound");
  else if (asked.method === "GET") json(response, 200, there);
  else if (asked.method === "DELETE") {
    objects.remove(path, name);
    json(response, 200, statusOf(200, "Success"));
  } else {
    // Tests send objects.
    const body = JSON.parse(asked.body) as Stored;
    const version = body.metadata?.resourceVersion;
    if (version !== undefined && version !== there?.metadata.resourceVersion) {
      status(response, 409, "Conflict");
      return;
    }
    const base = asked.method === "PUT" ? {} : (there ?? {});
    const metadata = { ...there?.metadata, ...body.metadata, name };
    json(response, 200, objects.set(path, { ...base, ...body, metadata }));
  }
}

export const statusOf = (code: number, reason: string, message = reason): object => ({
  kind: "Status",
  apiVersion: "v1",
  status: code < 400 ? "Success" : "Failure",
  code,
  reason,
  message,
  metadata: {},
});

export function json(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

export function status(
  response: ServerResponse,
  code: number,
  reason: string,
  headers: Record<string, string> = {},
): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  json(response, code, statusOf(code, reason));
}
