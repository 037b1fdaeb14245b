/**
 * A cache against a server that fails in every way that field reports know: 500, 429, resets, silence, both
 * forms of 410, lists that fail or are slow, watches that are closed at once, handlers that throw.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import { createInformer, type RunningInformer } from "./informer.ts";
import { configMaps } from "./kinds.ts";
import {
  json,
  startFaultServer,
  status,
  statusOf,
  type FaultServer,
} from "./testing/fault-server.ts";
import { hurried, kitFor, until, valueOf, type Kit } from "./testing/cluster.ts";
import type { CacheEvent, InformerOptions, KubeObject } from "./types.ts";

const path = "/api/v1/configmaps";
const object = (name: string, fields: object = {}) => ({ metadata: { name }, ...fields });

interface Running extends AsyncDisposable {
  readonly kit: Kit;
  readonly informer: RunningInformer<KubeObject>;
  readonly events: CacheEvent<KubeObject>[];
  /** `added a`, in order. */
  told(): string[];
}

function run(
  server: FaultServer,
  clock = systemClock,
  options: InformerOptions<KubeObject> = {},
): Running {
  const kit = kitFor(server.url, clock);
  const informer = createInformer<KubeObject>(kit, configMaps, options);
  const events: CacheEvent<KubeObject>[] = [];
  informer.onEvent((event) => void events.push(event));
  const stop = new AbortController();
  const running = informer.run(stop.signal);
  return {
    kit,
    informer,
    events,
    told: () => events.map(({ type, object }) => `${type} ${object.metadata.name}`),
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running;
      await kit.transport.close();
    },
  };
}
const lists = (server: FaultServer) => server.requests.filter(({ isList }) => isList);
const watches = (server: FaultServer) => server.requests.filter(({ isWatch }) => isWatch);
const names = ({ informer }: Running): string =>
  informer
    .list()
    .map(({ metadata }) => metadata.name)
    .sort()
    .join();

test("a cache is listed in pages of 500 once and then watched from the list's version, with bookmarks and a time", async () => {
  await using server = await startFaultServer();
  for (let i = 0; i < 1_200; i += 1) server.set(path, object(`c${i}`));
  const { version } = server;
  await using running = run(server);
  await until(() => server.watchCount === 1, "it watches");
  assert.equal(running.informer.list().length, 1_200);
  assert.deepEqual(
    lists(server).map(({ url }) => url.searchParams.get("limit")),
    ["500", "500", "500"],
  );
  const [watch] = watches(server);
  assert.equal(watch?.url.searchParams.get("resourceVersion"), String(version));
  assert.equal(watch?.url.searchParams.get("allowWatchBookmarks"), "true");
  const seconds = Number(watch?.url.searchParams.get("timeoutSeconds"));
  assert.ok(seconds >= 300 && seconds <= 600, String(seconds));
  assert.equal(watch?.headers["user-agent"], "axonize-operator/test");
  for (let i = 0; i < 3; i += 1) {
    server.endWatches("end");
    await until(() => watches(server).length === i + 2 && server.watchCount === 1, "again");
  }
  assert.ok(server.socketCount <= 3, `${server.socketCount} connections for a list and 4 watches`);
});

test("changes are told as they come, a bookmark moves the version and tells nothing", async () => {
  await using server = await startFaultServer();
  server.set(path, object("a", { data: { x: "1" } }));
  await using running = run(server);
  await until(() => server.watchCount === 1, "it watches");
  server.set(path, object("b"));
  server.set(path, object("a", { data: { x: "2" } }));
  server.remove(path, "b");
  await until(() => running.events.length === 4, "all is told");
  assert.deepEqual(running.told(), ["added a", "added b", "updated a", "deleted b"]);
  const updated = running.events[2];
  assert.ok(updated?.type === "updated");
  assert.deepEqual((updated.before as unknown as { data: object }).data, { x: "1" });
  server.bookmark(path);
  const { version } = server;
  await until(() => running.informer.hasSeen("nobody", String(version)), "the bookmark counts");
  assert.equal(running.events.length, 4);
  server.endWatches("end");
  await until(() => watches(server).length === 2 && server.watchCount === 1, "it watches again");
  assert.equal(watches(server)[1]?.url.searchParams.get("resourceVersion"), String(version));
  assert.equal(lists(server).length, 1);
});

test("any error but 410 keeps the version: 500, 429, 503, reset, nonsense, an error event", async () => {
  await using server = await startFaultServer();
  await using running = run(server, hurried);
  await until(() => server.watchCount === 1, "it watches");
  const faults: [string, () => void][] = [
    ["500", () => failNext(server, (response) => status(response, 500, "InternalError"))],
    [
      "503",
      () => failNext(server, (r) => status(r, 503, "ServiceUnavailable", { "retry-after": "2" })),
    ],
    [
      "429",
      () => failNext(server, (r) => status(r, 429, "TooManyRequests", { "retry-after": "1" })),
    ],
    ["reset", () => failNext(server, (response) => response.destroy())],
    ["403", () => failNext(server, (response) => status(response, 403, "Forbidden"))],
  ];
  for (const [name, fault] of faults) {
    fault();
    server.endWatches("cut");
    server.set(path, object(`during-${name}`));
    await until(() => names(running).includes(`during-${name}`), name);
  }
  for (const text of ["{", "[]", JSON.stringify({ type: "ERROR", object: statusOf(500, "x") })]) {
    await until(() => server.watchCount === 1, "it watches");
    const before = watches(server).length;
    server.say(text);
    await until(() => watches(server).length > before && server.watchCount === 1, text);
  }
  assert.equal(lists(server).length, 1, "never listed again");
  assert.equal(running.informer.trouble(), undefined);
  const failed = await valueOf(
    running.kit.registry,
    "axonize_operator_watch_operations_failed_total",
  );
  assert.ok((failed ?? 0) >= 7, String(failed));
});

/** The next watch is answered so; those after it are not. */
function failNext(
  server: FaultServer,
  answer: (response: Parameters<typeof status>[0]) => void,
): void {
  server.fault((asked, response) => {
    if (!asked.isWatch) return false;
    server.fault(undefined);
    answer(response);
    return true;
  });
}

test("410 as an answer and as an event both lead to a new list that is compared with what was known", async () => {
  await using server = await startFaultServer();
  for (const name of ["stays", "changes", "goes", "reborn"]) server.set(path, object(name));
  await using running = run(server, hurried);
  for (const form of ["answer", "event"] as const) {
    await until(() => server.watchCount === 1, "it watches");
    running.events.length = 0;
    server.fault((asked, response) => {
      if (form === "event" || !asked.isWatch) return false;
      server.fault(undefined);
      status(response, 410, "Gone");
      return true;
    });
    server.endWatches("cut");
    server.set(path, object("changes", { data: { form } }), { silently: true });
    server.remove(path, "goes", { silently: true });
    const uid = `uid-of-${form}`;
    server.set(path, { metadata: { name: "reborn", uid } }, { silently: true });
    server.set(path, object("comes"), { silently: true });
    if (form === "event") server.compact();
    await until(() => running.events.length >= 5, `all is told after a 410 as ${form}`);
    assert.deepEqual(running.told().sort(), [
      "added comes",
      "added reborn",
      "deleted goes",
      "deleted reborn",
      "updated changes",
    ]);
    const order = running.told();
    assert.ok(
      order.indexOf("deleted reborn") < order.indexOf("added reborn"),
      "its old life first",
    );
    server.set(path, object("goes"));
    server.remove(path, "comes");
    await until(() => names(running) === "changes,goes,reborn,stays", "as at first");
  }
});

test("a list that fails is tried again until it works, and the cache is not filled before", async () => {
  await using server = await startFaultServer();
  server.set(path, object("a"));
  let failures = 0;
  server.fault((_, response) => {
    failures += 1;
    if (failures > 4) return false;
    if (failures % 2 === 0) response.destroy();
    else status(response, 500, "InternalError");
    return true;
  });
  await using running = run(server, hurried);
  assert.equal(running.informer.hasSynced(), false);
  assert.ok(running.informer.trouble());
  await until(() => running.informer.hasSynced(), "listed at last");
  assert.equal(names(running), "a");
  assert.equal(running.informer.trouble(), undefined);
});

test("a 410 between two pages is answered with one list of all", async () => {
  await using server = await startFaultServer();
  for (let i = 0; i < 700; i += 1) server.set(path, object(`c${i}`));
  let isFirst = true;
  server.fault((asked) => {
    if (asked.isList && isFirst) {
      isFirst = false;
      // Answered before it is compacted: the page that follows comes too late.
      setImmediate(() => {
        server.set(path, object("late"));
        server.compact();
      });
    }
    return false;
  });
  await using running = run(server, hurried);
  await until(() => running.informer.list().length === 701, "all are there");
  assert.equal(lists(server).at(-1)?.url.searchParams.get("limit"), null);
});

test("a connection that only looks open is left after 90 to 120 s and the watch goes on from its version", async () => {
  await using server = await startFaultServer();
  await using running = run(server, hurried);
  await until(() => server.watchCount === 1, "it watches");
  const startMs = hurried.monotonic();
  const before = watches(server).length;
  await until(() => watches(server).length > before, "the silence is noticed");
  const silentMs = hurried.monotonic() - startMs;
  assert.ok(silentMs >= 85_000, `${silentMs} ms`);
  server.set(path, object("late"));
  await until(() => names(running) === "late", "the new watch works");
  assert.equal(lists(server).length, 1);
});

test("a server that closes every watch at once is asked a handful of times, not in a storm", async () => {
  await using server = await startFaultServer();
  server.fault((asked, response) => {
    if (!asked.isWatch) return false;
    response.writeHead(200).end();
    return true;
  });
  await using running = run(server);
  await until(() => running.informer.hasSynced(), "listed");
  const endMs = performance.now() + 3_000;
  await until(() => performance.now() > endMs, "3 s pass");
  const count = watches(server).length;
  assert.ok(count >= 2 && count <= 7, `${count} watches in 3 s`);
});

test("a handler that throws costs its event alone: the others hear it, the cache and the version move on", async () => {
  await using server = await startFaultServer();
  await using running = run(server);
  running.informer.onEvent(() => {
    throw new Error("a bug");
  });
  const heard: string[] = [];
  running.informer.onEvent(({ object }) => void heard.push(object.metadata.name));
  await until(() => server.watchCount === 1, "it watches");
  server.set(path, object("a"));
  server.set(path, object("b"));
  await until(() => heard.length === 2, "the third handler heard both");
  assert.ok(running.informer.hasSeen("b", String(server.version)));
  const errors = await valueOf(running.kit.registry, "axonize_operator_event_handler_errors_total");
  assert.equal(errors, 2);
});

test("a stop while a list is slow, while a watch is open and while it waits opens nothing after it", async () => {
  for (const when of ["list", "watch", "backoff"] as const) {
    await using server = await startFaultServer();
    const slow = Promise.withResolvers<void>();
    if (when === "list") {
      server.fault(async () => {
        await slow.promise;
        return false;
      });
    }
    if (when === "backoff") server.fault((_, response) => (status(response, 500, "x"), true));
    const running = run(server);
    await until(
      () => server.requests.length > 0 && (when !== "watch" || server.watchCount === 1),
      when,
    );
    await running[Symbol.asyncDispose]();
    const { length } = server.requests;
    slow.resolve();
    server.fault(undefined);
    const endMs = performance.now() + 300;
    await until(() => performance.now() > endMs, "a moment");
    assert.equal(server.requests.length, length, when);
    await until(() => server.watchCount === 0, "no watch is left");
  }
});

test("an audit finds what the watch lost, counts it and lists anew; without a loss it counts nothing", async () => {
  await using server = await startFaultServer();
  for (const name of ["a", "b", "c"]) server.set(path, object(name));
  await using running = run(server, hurried);
  await until(() => server.watchCount === 1, "it watches");
  const signal = AbortSignal.timeout(60_000);
  const audit = async (): Promise<number> => {
    const auditing = running.informer.audit(signal);
    server.bookmark(path);
    return await auditing;
  };
  assert.equal(await audit(), 0);
  server.set(path, object("a", { data: { lost: "yes" } }), { silently: true });
  server.remove(path, "b", { silently: true });
  server.set(path, object("d"), { silently: true });
  server.set(path, object("seen"));
  assert.equal(await audit(), 3);
  await until(() => names(running) === "a,c,d,seen", "healed");
  const labels = { kind: "configmaps" };
  const name = "axonize_operator_cache_divergence_total";
  assert.equal(await valueOf(running.kit.registry, name, labels), 3);
  await until(() => server.watchCount === 1, "it watches again");
  assert.equal(await audit(), 0);
});

test("of metadata-only caches the server is asked for metadata; managed fields are dropped in any case", async () => {
  await using server = await startFaultServer();
  const managed = { name: "a", managedFields: [{ manager: "kubectl" }] };
  server.set(path, { metadata: managed });
  await using running = run(server, systemClock, { metadataOnly: true, labelSelector: "x=y" });
  await until(() => server.watchCount === 1, "it watches");
  for (const { headers, url } of server.requests) {
    assert.match(String(headers.accept), /as=PartialObjectMetadata/);
    assert.equal(url.searchParams.get("labelSelector"), "x=y");
  }
  server.set(path, { metadata: { ...managed, name: "b" } });
  await until(() => names(running) === "a,b", "both are there");
  assert.doesNotMatch(JSON.stringify(running.informer.list()), /managedFields/);
  assert.equal(running.informer.get("a")?.kind, "ConfigMap");
});

test("versions that go back, as after a restore of etcd, lead to a new list", async () => {
  await using server = await startFaultServer();
  server.set(path, object("a"));
  await using running = run(server, hurried);
  await until(() => server.watchCount === 1, "it watches");
  server.say(JSON.stringify({ type: "BOOKMARK", object: { metadata: { resourceVersion: "5" } } }));
  await until(() => lists(server).length === 2, "listed anew");
  await until(() => server.watchCount === 1, "it watches again");
  assert.equal(running.informer.get("a")?.metadata.name, "a");
});

test("indexes follow every change, and one that is added later has what is there", async () => {
  await using server = await startFaultServer();
  const labelled = (name: string, team: string) => ({ metadata: { name, labels: { team } } });
  server.set(path, labelled("a", "red"));
  const team = ({ metadata }: KubeObject): string[] => [metadata.labels?.["team"] ?? ""];
  await using running = run(server, systemClock, { indexes: { team } });
  await until(() => server.watchCount === 1, "it watches");
  server.set(path, labelled("b", "red"));
  server.set(path, labelled("a", "blue"));
  await until(() => running.events.length === 3, "all is told");
  const of = (index: string, value: string): string =>
    running.informer
      .byIndex(index, value)
      .map(({ metadata }) => metadata.name)
      .join();
  assert.deepEqual([of("team", "red"), of("team", "blue")], ["b", "a"]);
  running.informer.addIndexes({ initial: ({ metadata }) => [metadata.name.slice(0, 1)] });
  assert.equal(of("initial", "b"), "b");
  server.remove(path, "b");
  await until(() => running.events.length === 4, "b is gone");
  assert.deepEqual([of("team", "red"), of("initial", "b")], ["", ""]);
  assert.throws(() => running.informer.byIndex("none", "x"), /no index/);
});

test("a slow answer of a list does not end it, one of a megabyte and more is read whole", async () => {
  await using server = await startFaultServer();
  const big = "x".repeat(2_000_000);
  server.fault((asked, response) => {
    if (!asked.isList) return false;
    server.fault(undefined);
    json(response, 200, {
      metadata: { resourceVersion: "100" },
      items: [{ metadata: { name: "big", resourceVersion: "1", uid: "u" }, data: { big } }],
    });
    return true;
  });
  await using running = run(server);
  await until(() => names(running) === "big", "listed");
  server.set(path, object("bigger", { data: { big } }));
  await until(() => names(running) === "big,bigger", "an event of 2 MB");
});
