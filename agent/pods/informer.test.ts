/**
 * The pod informer against a server that misbehaves: it lists once and watches on, relists when its version
 * is too old, survives cut, silent and refused connections, and keeps of a pod only what joins it.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock, type Clock } from "@axonize/core/runtime/clock";
import { silentLog } from "@axonize/core/runtime/log";
import fc from "fast-check";
import { podObject, startKubeServer, type KubeServer } from "../testing/kube-server.ts";
import { createPodInformer, type PodInformer } from "./informer.ts";
import { createKubeApi, inClusterAccess } from "./kube-api.ts";
import { maxLabels, maxPods } from "./limits.ts";
import { podFrom } from "./pod.ts";
import { resourceSliceFrom, uuidOfDevice } from "./resource-slices.ts";

/** A hundred times as fast as the wall: minutes of silence and back-off pass in a blink. */
const hurried: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * 100,
  sleep: (ms, signal) => systemClock.sleep(ms / 100, signal),
};
const pods = "/api/v1/pods";
const id = (n: number): string => String(n).repeat(64).slice(0, 64);

function watchOn(server: KubeServer, clock: Clock = systemClock, tokenFile?: string): PodInformer {
  const api = createKubeApi({ clock }, { url: server.url, tokenFile, caFile: undefined });
  const deps = { api, clock, log: silentLog, random: () => 0.5, onChange: () => undefined };
  return createPodInformer(deps, { node: "node-1" });
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!holds()) {
    assert.ok(performance.now() < deadline, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
const names = (informer: PodInformer): string =>
  informer
    .all()
    .map(({ name }) => name)
    .sort()
    .join();
const asked = (server: KubeServer, watch: boolean): URL[] =>
  server.requests
    .map(({ url }) => url)
    .filter((url) => url.pathname === pods && url.searchParams.has("watch") === watch);

test("pods of this node are listed once and then watched, and found by name, uid and container", async () => {
  await using server = await startKubeServer();
  server.set(pods, podObject("a", { containerId: id(1), privileged: true }));
  await using informer = watchOn(server);
  await until(() => server.watchCount === 2, "both watches are open");
  server.set(pods, podObject("b", { containerId: id(2) }));
  await until(() => names(informer) === "a,b", "b is known");
  assert.equal(informer.state, "watching");
  assert.equal(informer.byContainerId(id(1))?.container.privileged, true);
  assert.equal(informer.byUid("uid-b")?.name, "b");
  assert.equal(informer.byName("default", "a")?.containers[0]?.containerId, id(1));
  server.set(pods, podObject("b", { containerId: id(3) }));
  await until(() => informer.byContainerId(id(3))?.pod.name === "b", "b restarted");
  assert.equal(informer.byContainerId(id(2)), undefined);
  server.delete(pods, "a");
  await until(() => names(informer) === "b", "a is gone");
  assert.equal(asked(server, false).length, 1);
  assert.equal(asked(server, false)[0]?.searchParams.get("fieldSelector"), "spec.nodeName=node-1");
});

test("a watch that ends or is cut goes on at its last version, bookmarks included, without a list", async () => {
  await using server = await startKubeServer();
  await using informer = watchOn(server, hurried);
  for (const how of ["end", "cut"] as const) {
    await until(() => server.watchCount === 2, "both watches are open");
    server.bookmark(pods);
    const name = `after-${how}`;
    server.set(pods, podObject(name));
    await until(() => informer.byName("default", name) !== undefined, name);
    const before = asked(server, true).length;
    server.endWatches(how);
    await until(() => asked(server, true).length > before, "it watches again");
    server.set(pods, podObject(`${name}-2`));
    await until(() => informer.byName("default", `${name}-2`) !== undefined, `${name}-2`);
  }
  assert.equal(asked(server, false).length, 1);
  const versions = asked(server, true).map((url) =>
    Number(url.searchParams.get("resourceVersion")),
  );
  assert.ok(new Set(versions).size >= 3, versions.join());
});

test("a version that is too old is listed anew, and what went meanwhile is gone", async () => {
  await using server = await startKubeServer();
  server.set(pods, podObject("old"));
  await using informer = watchOn(server, hurried);
  await until(() => names(informer) === "old" && server.watchCount === 2, "old is known");
  server.fault((_, response) => {
    response.writeHead(503).end();
    return true;
  });
  server.endWatches("cut");
  await until(() => informer.state === "unreachable", "it says so");
  assert.equal(names(informer), "old", "unreachable is not empty");
  server.delete(pods, "old");
  server.set(pods, podObject("new"));
  server.compact();
  server.fault(undefined);
  await until(() => names(informer) === "new", "listed anew");
  assert.equal(informer.state, "watching");
  const [, second] = asked(server, false).filter((url) => !url.searchParams.has("watch"));
  assert.equal(
    asked(server, false).at(-1)?.searchParams.get("resourceVersion"),
    null,
    "the newest",
  );
  assert.ok(second);
});

test("a connection that only looks open is left after its silence", async () => {
  await using server = await startKubeServer();
  await using informer = watchOn(server, hurried);
  await until(() => server.watchCount === 2, "both watches are open");
  const before = asked(server, true).length;
  await until(() => asked(server, true).length > before, "150 s without a byte have passed");
  server.set(pods, podObject("late"));
  await until(() => names(informer) === "late", "the new watch works");
});

test("nonsense in a watch breaks nothing, and objects that are no pods are counted", async () => {
  await using server = await startKubeServer();
  await using informer = watchOn(server, hurried);
  for (const line of ["{", "[]", '{"type":"ADDED"}', '{"type":"ERROR","object":{"code":500}}']) {
    await until(() => server.watchCount === 2, "both watches are open");
    const before = asked(server, true).length;
    server.say(line);
    await until(() => asked(server, true).length > before, line);
  }
  await until(() => server.watchCount === 2, "both watches are open");
  server.say('{"type":"ADDED","object":{"metadata":{"name":"x"}}}');
  server.set(pods, podObject("good"));
  await until(() => names(informer) === "good", "good is known");
  assert.ok(informer.droppedCount >= 1);
});

test("a token is read again once it was refused", async () => {
  await using server = await startKubeServer();
  const dir = mkdtempSync(join(tmpdir(), "axonize-token-"));
  const tokenFile = join(dir, "token");
  writeFileSync(tokenFile, "first\n");
  server.fault((request, response) => {
    if (request.headers.authorization === "Bearer second") return false;
    response.writeHead(401).end();
    return true;
  });
  {
    await using informer = watchOn(server, hurried, tokenFile);
    await until(() => informer.state === "forbidden", "the first is refused");
    writeFileSync(tokenFile, "second\n");
    await until(() => informer.state === "watching", "the second is taken");
    rmSync(tokenFile);
    server.endWatches("cut");
    await until(() => /ENOENT/.test(informer.detail), "no token, no request");
    assert.equal(informer.state, "unreachable");
  }
  rmSync(dir, { recursive: true });
});

test("a list over its limit of pods keeps that many and counts the rest", async () => {
  await using server = await startKubeServer();
  const items = Array.from({ length: maxPods + 3 }, (_, i) => podObject(`p${i}`));
  server.fault((request, response) => {
    if (request.url?.includes("watch") || !request.url?.startsWith(pods)) return false;
    response.end(JSON.stringify({ metadata: { resourceVersion: "1" }, items }));
    return true;
  });
  await using informer = watchOn(server);
  await until(() => informer.all().length > 0, "listed");
  assert.deepEqual([informer.all().length, informer.droppedCount], [maxPods, 3]);
});

test("of a pod, only what joins it is kept, within bounds", () => {
  const labels = Object.fromEntries(
    Array.from({ length: 100 }, (_, i) => [`l${i}`, "v".repeat(99)]),
  );
  const pod = podFrom(
    podObject("x", { labels, annotations: { "kubernetes.io/config.mirror": "hash", secret: "s" } }),
  );
  assert.equal(Object.keys(pod?.labels ?? {}).length, maxLabels);
  assert.equal(pod?.staticUid, "hash");
  assert.doesNotMatch(JSON.stringify(pod), /secret/);
  assert.equal(podFrom({ metadata: {} }), undefined);
  fc.assert(
    fc.property(fc.anything(), (object) => {
      assert.equal(podFrom(object), undefined);
      assert.equal(resourceSliceFrom(object), undefined);
    }),
  );
});

test("a DRA device's UUID comes from the newest generation of its pool", () => {
  const slice = (generation: number, uuid: string) => ({
    metadata: { name: `s${generation}` },
    spec: {
      driver: "gpu.nvidia.com",
      pool: { name: "node-1", generation },
      devices: [
        { name: "gpu-0", attributes: { uuid: { string: uuid } } },
        { name: "gpu-1", basic: { attributes: { uuid: { string: "GPU-one" } } } },
        { name: "gpu-2", attributes: { uuid: { string: "no uuid" } } },
      ],
    },
  });
  const slices = [slice(1, "GPU-old"), slice(2, "GPU-new")].flatMap(
    (s) => resourceSliceFrom(s) ?? [],
  );
  const ask = (device: string): string | undefined =>
    uuidOfDevice(slices, { driver: "gpu.nvidia.com", pool: "node-1", device });
  assert.deepEqual(["gpu-0", "gpu-1", "gpu-2", "gpu-9"].map(ask), [
    "GPU-new",
    "GPU-one",
    undefined,
    undefined,
  ]);
  assert.equal(uuidOfDevice([], { driver: "d", pool: "p", device: "x" }), undefined);
});

test("a pod's own access comes from its environment, IPv6 included", () => {
  assert.equal(inClusterAccess({ host: undefined, port: "443" }), undefined);
  assert.equal(inClusterAccess({ host: "fd00::1", port: "443" })?.url, "https://[fd00::1]:443");
});
