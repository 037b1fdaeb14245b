/**
 * Caches: handlers, indexes, audits, and what is asked for and kept of an object.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import { createFakeClock } from "../../test/support/fake-clock.ts";
import { createQueue } from "./queue.ts";
import { hurried, until, valueOf } from "./testing/cluster.ts";
import { startFaultServer } from "./testing/fault-server.ts";
import { names, object, path, runCache } from "./testing/run-cache.ts";
import type { KubeObject } from "./types.ts";

test("a handler that throws costs its event alone: the others hear it, the cache and the version move on", async () => {
  await using server = await startFaultServer();
  await using running = runCache(server);
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

test("an audit finds what the watch lost, counts it and lists anew; without a loss it counts nothing", async () => {
  await using server = await startFaultServer();
  for (const name of ["a", "b", "c"]) server.set(path, object(name));
  await using running = runCache(server, hurried);
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
  await using running = runCache(server, systemClock, { metadataOnly: true, labelSelector: "x=y" });
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

test("indexes follow every change, and one that is added later has what is there", async () => {
  await using server = await startFaultServer();
  const labelled = (name: string, team: string) => ({ metadata: { name, labels: { team } } });
  server.set(path, labelled("a", "red"));
  const team = ({ metadata }: KubeObject): string[] => [metadata.labels?.["team"] ?? ""];
  await using running = runCache(server, systemClock, { indexes: { team } });
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

test("a storm of 20,000 events ends in the right cache and a handful of reconciles", async () => {
  await using server = await startFaultServer();
  const clock = systemClock;
  const queue = createQueue({ clock, random: () => 0.5 }, { name: "storm" });
  await using running = runCache(server);
  running.informer.onEvent(({ object: { metadata } }) => queue.add(metadata.name));
  await until(() => server.watchCount === 1, "it watches");
  let runs = 0;
  const work = (async () => {
    for (let item = await queue.take(); item !== undefined; item = await queue.take()) {
      runs += 1;
      await clock.sleep(20);
      queue.done(item.key);
    }
  })();
  for (let i = 0; i < 20_000; i += 1) server.set(path, object(`c${i % 10}`, { data: { i } }));
  await until(() => running.events.length === 20_000, "all is told", 60_000);
  const data = running.informer
    .list()
    .map((each) => (each as unknown as { data: { i: number } }).data.i);
  assert.deepEqual(
    data.toSorted((a, b) => a - b),
    Array.from({ length: 10 }, (_, i) => 19_990 + i),
  );
  await until(() => queue.depth().ready === 0 && queue.depth().processing === 0, "all is done");
  assert.ok(runs >= 10 && runs < 2_000, `${runs} reconciles`);
  queue.close();
  await work;
});

test("audits come about every half an hour, at other times in every process", async () => {
  await using server = await startFaultServer();
  server.set(path, object("a"));
  const clock = createFakeClock();
  await using running = runCache(server, clock);
  const listCount = (): number => server.requests.filter(({ isList }) => isList).length;
  const turn = async (ms: number, holds: () => boolean, what: string): Promise<void> =>
    await until(async () => {
      await clock.advance(ms);
      return holds();
    }, what);
  await turn(100, () => running.informer.hasSynced(), "listed");
  const startMs = clock.monotonic();
  await turn(10_000, () => listCount() === 2, "the first audit");
  const minutes = (clock.monotonic() - startMs) / 60_000;
  assert.ok(minutes >= 24, `after ${minutes} minutes`);
  await turn(10_000, () => listCount() === 3, "the second");
  const name = "axonize_operator_cache_divergence_total";
  assert.equal(await valueOf(running.kit.registry, name), 0);
});
