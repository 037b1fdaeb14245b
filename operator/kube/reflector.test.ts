/**
 * A cache against a server that fails in every way that field reports know: 500, 429, resets, silence, both
 * forms of 410, lists that fail or are slow, watches that are closed at once.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { listPageSize } from "./limits.ts";
import { hurried, until, valueOf } from "./testing/cluster.ts";
import {
  json,
  startFaultServer,
  status,
  statusOf,
  type FaultServer,
} from "./testing/fault-server.ts";
import { lists, names, object, path, runCache, watches } from "./testing/run-cache.ts";

test("a cache is listed in pages once and then watched from the list's version, with bookmarks and a time", async () => {
  await using server = await startFaultServer();
  const objects = 2.4 * listPageSize;
  for (let i = 0; i < objects; i += 1) server.set(path, object(`c${i}`));
  const { version } = server;
  await using running = runCache(server);
  await until(() => server.watchCount === 1, "it watches");
  assert.equal(running.informer.list().length, objects);
  assert.deepEqual(
    lists(server).map(({ url }) => url.searchParams.get("limit")),
    Array.from({ length: 3 }, () => String(listPageSize)),
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
  await using running = runCache(server);
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
  await using running = runCache(server, hurried);
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
  await until(() => running.informer.trouble() === undefined, "the last watch is answered");
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
  await using running = runCache(server, hurried);
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
  await using running = runCache(server, hurried);
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
  await using running = runCache(server, hurried);
  await until(() => running.informer.list().length === 701, "all are there");
  assert.equal(lists(server).at(-1)?.url.searchParams.get("limit"), null);
});

test("a connection that only looks open is left after 90 to 120 s and the watch goes on from its version", async () => {
  await using server = await startFaultServer();
  await using running = runCache(server, hurried);
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
  await using running = runCache(server);
  await until(() => running.informer.hasSynced(), "listed");
  const endMs = performance.now() + 3_000;
  await until(() => performance.now() > endMs, "3 s pass");
  const count = watches(server).length;
  assert.ok(count >= 2 && count <= 7, `${count} watches in 3 s`);
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
    const running = runCache(server);
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

test("versions that go back, as after a restore of etcd, lead to a new list", async () => {
  await using server = await startFaultServer();
  server.set(path, object("a"));
  await using running = runCache(server, hurried);
  await until(() => server.watchCount === 1, "it watches");
  server.say(JSON.stringify({ type: "BOOKMARK", object: { metadata: { resourceVersion: "5" } } }));
  await until(() => lists(server).length === 2, "listed anew");
  await until(() => server.watchCount === 1, "it watches again");
  assert.equal(running.informer.get("a")?.metadata.name, "a");
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
  await using running = runCache(server);
  await until(() => names(running) === "big", "listed");
  server.set(path, object("bigger", { data: { big } }));
  await until(() => names(running) === "big,bigger", "an event of 2 MB");
});
