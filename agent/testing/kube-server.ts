/**
 * A Kubernetes API server for tests, as much of it as a list and a watch need, that misbehaves on demand:
 * versions too old, errors inside a watch, answers cut off, silence, tokens refused.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export interface KubeServer extends AsyncDisposable {
  readonly url: string;
  /** Adds or replaces an object and tells the watches. */
  set(path: string, object: KubeObject): void;
  delete(path: string, name: string): void;
  bookmark(path: string): void;
  /** Every version so far is too old from now on. */
  compact(): void;
  /** A raw line into every open watch. */
  say(line: string): void;
  /** Ends every open watch in good order, or cuts its connection. */
  endWatches(how: "end" | "cut"): void;
  /** Answers the next requests with this; undefined: as usual. */
  fault(fault: Fault | undefined): void;
  /** Requests so far: path with query, and the token. */
  readonly requests: readonly { readonly url: URL; readonly token: string | undefined }[];
  readonly watchCount: number;
}

export interface KubeObject {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly uid?: string };
  readonly [field: string]: unknown;
}

type Fault = (request: IncomingMessage, response: ServerResponse) => boolean;
const paths = new Set(["/api/v1/pods", "/apis/resource.k8s.io/v1/resourceslices"]);

export async function startKubeServer(): Promise<KubeServer> {
  const store = createStore();
  const requests: { url: URL; token: string | undefined }[] = [];
  let faulty: Fault | undefined;
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://api");
    requests.push({ url, token: request.headers.authorization?.replace("Bearer ", "") });
    if (faulty?.(request, response)) return;
    if (!paths.has(url.pathname)) response.writeHead(404).end("{}");
    else if (url.searchParams.get("watch")) store.watch(url, response);
    else store.list(url, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no address");
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests,
    set: store.set,
    delete: store.delete,
    bookmark: store.bookmark,
    compact: store.compact,
    get watchCount() {
      return store.watches.size;
    },
    say(line) {
      for (const { response } of store.watches) response.write(`${line}\n`);
    },
    endWatches(how) {
      for (const { response } of store.watches) {
        if (how === "end") response.end();
        else response.destroy();
      }
    },
    fault(next) {
      faulty = next;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Objects under versions, and the watches that hear of them. */
function createStore() {
  const objects = new Map<string, { path: string; object: KubeObject }>();
  const log: { version: number; path: string; line: string }[] = [];
  const watches = new Set<{ path: string; response: ServerResponse }>();
  let version = 100;
  let oldest = 0;

  const tell = (path: string, type: string, object: KubeObject): KubeObject => {
    const metadata = { ...object.metadata, resourceVersion: String(version) };
    const line = `${JSON.stringify({ type, object: { ...object, metadata } })}\n`;
    log.push({ version, path, line });
    for (const watch of watches) if (watch.path === path) watch.response.write(line);
    return { ...object, metadata };
  };
  return {
    watches,
    list: (url: URL, response: ServerResponse): void => {
      const mine = [...objects.values()].filter(({ path }) => path === url.pathname);
      const items = mine.map(({ object }) => object);
      response.end(JSON.stringify({ metadata: { resourceVersion: String(version) }, items }));
    },
    watch: (url: URL, response: ServerResponse): void => {
      const from = Number(url.searchParams.get("resourceVersion"));
      response.flushHeaders();
      if (from < oldest) {
        const object = { kind: "Status", code: 410, message: "too old resource version" };
        response.end(`${JSON.stringify({ type: "ERROR", object })}\n`);
        return;
      }
      const missed = log.filter((e) => e.version > from && e.path === url.pathname);
      for (const { line } of missed) response.write(line);
      const entry = { path: url.pathname, response };
      watches.add(entry);
      response.once("close", () => watches.delete(entry));
    },
    set: (path: string, object: KubeObject): void => {
      version += 1;
      const key = `${path} ${object.metadata.namespace}/${object.metadata.name}`;
      const type = objects.has(key) ? "MODIFIED" : "ADDED";
      objects.set(key, { path, object: tell(path, type, object) });
    },
    delete: (path: string, name: string): void => {
      version += 1;
      for (const [key, each] of objects) {
        if (each.path !== path || each.object.metadata.name !== name) continue;
        objects.delete(key);
        tell(path, "DELETED", each.object);
      }
    },
    bookmark: (path: string): void => {
      version += 1;
      tell(path, "BOOKMARK", { metadata: { name: "" } });
    },
    compact: (): void => {
      version += 1;
      oldest = version;
    },
  };
}

/** A running pod with one container, as the API has it; `more` goes over its parts. */
export function podObject(
  name: string,
  options: {
    uid?: string;
    containerId?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    privileged?: boolean;
    phase?: string;
  } = {},
): KubeObject {
  const containerID = options.containerId && `containerd://${options.containerId}`;
  return {
    metadata: {
      name,
      namespace: "default",
      uid: options.uid ?? `uid-${name}`,
      labels: options.labels,
      annotations: options.annotations,
    } as KubeObject["metadata"], // with the fields that a pod has beyond
    spec: {
      containers: [{ name: "main", securityContext: { privileged: options.privileged ?? false } }],
    },
    status: {
      phase: options.phase ?? "Running",
      containerStatuses: containerID ? [{ name: "main", containerID }] : [],
    },
  };
}
