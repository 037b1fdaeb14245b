/**
 * The runtime under a real API server: caches across its restart and etcd's compaction, server-side apply,
 * events, tokens that end, and silence in steady state by the audit log.
 */
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { systemClock as clock } from "@axonize/core/runtime/clock";
import { silentLog as log } from "@axonize/core/runtime/log";
import { createRegistry, type Registry } from "@axonize/core/runtime/metrics";
import { createAccess, type ClusterAccess } from "../../operator/kube/access.ts";
import { isConflict } from "../../operator/kube/api-error.ts";
import { createApplyStatus, release } from "../../operator/kube/apply.ts";
import { createKubeClient, openGate } from "../../operator/kube/client.ts";
import { setReady } from "../../operator/kube/conditions.ts";
import { createInformer, type RunningInformer } from "../../operator/kube/informer.ts";
import { configMaps, events, gpuPools, secrets } from "../../operator/kube/kinds.ts";
import { createManager } from "../../operator/kube/manager.ts";
import { createKubeMetrics } from "../../operator/kube/metrics.ts";
import { createRecorder } from "../../operator/kube/recorder.ts";
import { createTransport, type Transport } from "../../operator/kube/transport.ts";
import type { Condition, KubeClient, KubeObject } from "../../operator/kube/types.ts";
import { startControlPlane, type ControlPlane } from "../../tools/k8s/control-plane.ts";
import { eventually } from "./support/eventually.ts";
import { crdFiles } from "../../scripts/generate/crds.ts";

let cluster: ControlPlane;
let access: ClusterAccess;
let transport: Transport;
let client: KubeClient;

before(async () => {
  cluster = await startControlPlane();
  access = await createAccess(
    { clock },
    { kubeconfig: cluster.kubeconfigFile, serviceHost: undefined, servicePort: undefined },
  );
  transport = createTransport({ access, clock }, { userAgent: "axonize-operator/test" });
  client = createKubeClient({ transport, gate: openGate });
});
after(async () => {
  await transport.close();
  await cluster[Symbol.asyncDispose]();
});

const map = (name: string, data: Record<string, string> = {}, namespace = "default") => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace },
  data,
});
const ref = (name: string, namespace = "default") => ({ kind: configMaps, name, namespace });
type Data = KubeObject & { readonly data?: Readonly<Record<string, string>> };

interface Cache extends AsyncDisposable {
  readonly informer: RunningInformer<Data>;
  readonly registry: Registry;
  readonly told: string[];
}

function runCache(to: ClusterAccess): Cache {
  const registry = createRegistry();
  const metrics = createKubeMetrics(registry);
  const own = createTransport(
    { access: to, clock, metrics },
    { userAgent: "axonize-operator/cache" },
  );
  const informer = createInformer<Data>(
    { transport: own, clock, log, random: Math.random, metrics },
    configMaps,
    { namespace: "default", labelSelector: "watched" },
  );
  const told: string[] = [];
  informer.onEvent(({ type, object }) => void told.push(`${type} ${object.metadata.name}`));
  const stop = new AbortController();
  const running = informer.run(stop.signal);
  return {
    informer,
    registry,
    told,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running;
      await own.close();
    },
  };
}

const watched = (name: string, data: Record<string, string> = {}) => {
  const { metadata, ...rest } = map(name, data);
  return { ...rest, metadata: { ...metadata, labels: { watched: "yes" } } };
};
const put = async (name: string, data: Record<string, string> = {}): Promise<void> => {
  await client.apply(watched(name, data), configMaps, { manager: "test", force: true });
};
const has = async (cache: Cache, names: string): Promise<void> => {
  await eventually(`the cache has ${names}`, async () => {
    const there = cache.informer.list().map(({ metadata }) => metadata.name);
    return there.sort().join() === names ? true : undefined;
  });
};
const count = async (registry: Registry, name: string): Promise<number> =>
  ((await registry.getSingleMetric(name)?.get())?.values ?? []).reduce(
    (sum, v) => sum + v.value,
    0,
  );

/** A way to the API server that can be closed. */
async function startGateway(): Promise<{
  access: ClusterAccess;
  close(): void;
  open(): void;
  stop(): void;
}> {
  const sockets = new Set<Socket>();
  let isOpen = true;
  const { hostname, port } = new URL(cluster.url);
  const server: Server = createServer((socket) => {
    if (!isOpen) {
      socket.destroy();
      return;
    }
    const upstream = connect(Number(port), hostname);
    for (const [one, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      sockets.add(one);
      one.pipe(other);
      one.on("error", () => other.destroy());
      one.on("close", () => (sockets.delete(one), other.destroy()));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  // It listens on TCP.
  const at = server.address() as AddressInfo;
  return {
    access: { ...access, url: `https://127.0.0.1:${at.port}` },
    close: () => {
      isOpen = false;
      for (const socket of sockets) socket.destroy();
    },
    open: () => (isOpen = true),
    stop: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test("a cache lives through a restart of the API server, and lacks nothing afterwards", async () => {
  await put("a");
  await using cache = runCache(access);
  await has(cache, "a");
  await cluster.killApiserver();
  await eventually("it says what is wrong", async () => cache.informer.trouble());
  assert.equal(cache.informer.get("default/a")?.metadata.name, "a", "away is not empty");
  await cluster.startApiserver();
  await put("b");
  await has(cache, "a,b");
  assert.equal(await cache.informer.audit(AbortSignal.timeout(180_000)), 0);
  assert.deepEqual(cache.told, ["added a", "added b"]);
});

test("a version that etcd has compacted leads to a new list that is compared by UID", async () => {
  for (const name of ["a", "changes", "goes", "reborn"]) await put(name);
  await client.delete(ref("b"));
  const gateway = await startGateway();
  await using cache = runCache(gateway.access);
  await has(cache, "a,changes,goes,reborn");
  cache.told.length = 0;
  gateway.close();
  await put("changes", { x: "1" });
  await client.delete(ref("goes"));
  await client.delete(ref("reborn"));
  await put("reborn");
  await put("comes");
  await cluster.compactEtcd();
  await cluster.killApiserver();
  await cluster.startApiserver();
  gateway.open();
  await has(cache, "a,changes,comes,reborn");
  await eventually("all is told", async () => (cache.told.length === 5 ? true : undefined));
  assert.deepEqual(cache.told.toSorted(), [
    "added comes",
    "added reborn",
    "deleted goes",
    "deleted reborn",
    "updated changes",
  ]);
  assert.equal(await count(cache.registry, "axonize_operator_list_operations_total"), 2);
  assert.equal(await count(cache.registry, "axonize_operator_cache_divergence_total"), 0);
  gateway.stop();
});

test("server-side apply: fields of others survive, a conflict is one, what is released goes", async () => {
  await client.apply(map("shared", { ours: "1" }), configMaps, { manager: "axonize-operator/x" });
  await client.apply(map("shared", { theirs: "1" }), configMaps, { manager: "somebody" });
  const data = async () => (await client.get<Data>(ref("shared")))?.data;
  assert.deepEqual(await data(), { ours: "1", theirs: "1" });
  const taking = client.apply(map("shared", { theirs: "2" }), configMaps, {
    manager: "axonize-operator/x",
  });
  await assert.rejects(taking, (error) => isConflict(error));
  assert.deepEqual(await data(), { ours: "1", theirs: "1" });
  await client.apply(map("shared", { ours: "2" }), configMaps, { manager: "axonize-operator/x" });
  await release(client, ref("shared"), { manager: "axonize-operator/x" });
  assert.deepEqual(await data(), { theirs: "1" });
  await assert.rejects(client.create(map("shared"), configMaps), { reason: "AlreadyExists" });
  const stale = client.delete(ref("shared"), { uid: "of-another" });
  await assert.rejects(stale, (error) => isConflict(error));
  assert.equal(await client.delete(ref("shared")), true);
});

test("metadata of Secrets is told without their data", async () => {
  await client.create(
    { ...map("s"), kind: "Secret", stringData: { password: "hunter2" } },
    secrets,
  );
  const { items } = await client.list(secrets, { namespace: "default", metadataOnly: true });
  assert.deepEqual(
    items.map(({ metadata }) => metadata.name),
    ["s"],
  );
  assert.doesNotMatch(JSON.stringify(items), /hunter2|aHVudGVyMg/);
});

test("the API server takes our events, and their series", async () => {
  const object = await client.create(map("talked-of"), configMaps);
  let nowMs = 0;
  const turned = { ...clock, monotonic: () => nowMs };
  const registry = createRegistry();
  const recorder = createRecorder(
    { transport, clock: turned, log, metrics: createKubeMetrics(registry) },
    { controller: "tenant", instance: "pod-1" },
  );
  const event = { type: "Warning", reason: "Refused", action: "Bind", note: "because" } as const;
  recorder.event(object, event);
  recorder.event(object, event);
  await recorder.idle();
  nowMs = 300_000;
  recorder.event(object, event);
  await recorder.idle();
  assert.equal(await count(registry, "axonize_operator_events_dropped_total"), 0);
  const { items } = await client.list<
    KubeObject & { reason?: string; note?: string; series?: { count: number }; regarding?: object }
  >(events, { namespace: "default" });
  const told = items.find(({ reason }) => reason === "Refused");
  assert.ok(told);
  assert.deepEqual([told.note, told.series?.count], ["because", 3]);
  const described = await cluster.kubectl("describe", "configmap", "talked-of");
  assert.match(described, /Warning\s+Refused/);
});

test("a ServiceAccount's token that is no longer valid is read again and the next one works", async () => {
  const dir = mkdtempSync(join(tmpdir(), "axonize-account-"));
  await cluster.kubectl("create", "serviceaccount", "op");
  const rights = ["--verb=list", "--resource=configmaps"];
  await cluster.kubectl("create", "clusterrole", "lists-maps", ...rights);
  await cluster.kubectl(
    "create",
    "clusterrolebinding",
    "op",
    "--clusterrole=lists-maps",
    "--serviceaccount=default:op",
  );
  copyFileSync(cluster.caFile, join(dir, "ca.crt"));
  const renew = async (): Promise<void> =>
    writeFileSync(join(dir, "token"), await cluster.tokenFor("default", "op"));
  await renew();
  const { hostname, port } = new URL(cluster.url);
  const pod = { kubeconfig: undefined, serviceHost: hostname, servicePort: port, accountDir: dir };
  const own = createTransport(
    { access: await createAccess({ clock }, pod), clock },
    { userAgent: "axonize-operator/pod" },
  );
  const reader = createKubeClient({ transport: own, gate: openGate });
  assert.ok((await reader.list(configMaps, { namespace: "default" })).items.length > 0);
  // With the account its tokens end; a new one of the same name is another account.
  await cluster.kubectl("delete", "serviceaccount", "op");
  await cluster.kubectl("create", "serviceaccount", "op");
  await eventually("the old token is refused", async () => {
    const refused = await reader.list(configMaps, { namespace: "default" }).then(
      () => undefined,
      (error: unknown) => (error as { status?: number }).status,
    );
    return refused === 401 ? true : undefined;
  });
  await renew();
  assert.ok((await reader.list(configMaps, { namespace: "default" })).items.length > 0);
  await assert.rejects(reader.create(map("no"), configMaps), { status: 403 });
  await own.close();
  rmSync(dir, { recursive: true });
});

test("in steady state nothing is written but the lease, however often everything is looked at again", async () => {
  for (const [path, text] of crdFiles()) if (path.startsWith("crds/")) await cluster.apply(text);
  await cluster.kubectl("wait", "--for=condition=Established", "crd/gpupools.axonize.io");
  const fatal: string[] = [];
  const manager = createManager(
    {
      access,
      clock,
      log,
      registry: createRegistry(),
      random: Math.random,
      onFatal: (reason) => void fatal.push(reason),
    },
    {
      userAgent: "axonize-operator/quiet",
      lease: { namespace: "default", name: "quiet", identity: "quiet_1", leaseMs: 15_000 },
    },
  );
  let runs = 0;
  let ask: (key: string) => void = () => undefined;
  manager.add("gpupool", {
    wire: (builder) => {
      ask = (key) => builder.enqueue(key);
      type Pool = KubeObject & { readonly status?: { readonly conditions: readonly Condition[] } };
      const pools = builder.informer<Pool>(gpuPools);
      const applyStatus = createApplyStatus(builder, { controller: "gpupool" });
      builder.watch(pools, ({ object }) => [object.metadata.name]);
      return {
        name: "gpupool",
        reconcile: async (key) => {
          const pool = pools.get(key);
          if (pool === undefined) return undefined;
          const { generation } = pool.metadata;
          const conditions = setReady(
            pool.status?.conditions,
            { generation, ready: "True", reason: "AgentsReady", message: "all is well" },
            new Date(clock.now()),
          );
          await applyStatus(pool, gpuPools, { ...pool.status, conditions });
          builder.recorder.event(pool, {
            type: "Normal",
            reason: "Looked",
            action: "Look",
            note: "once in five minutes",
          });
          runs += 1;
          return undefined;
        },
      };
    },
  });
  await manager.start();
  await cluster.apply([
    {
      apiVersion: "axonize.io/v1alpha1",
      kind: "GpuPool",
      metadata: { name: "quiet" },
      spec: { nodeSelector: { matchLabels: { gpu: "yes" } } },
    },
  ]);
  const written = () =>
    cluster
      .auditEvents()
      .filter(
        ({ userAgent, verb }) =>
          userAgent === "axonize-operator/quiet" && /^(create|update|patch|delete)$/.test(verb),
      )
      .filter(({ stage }) => stage === "ResponseComplete")
      .map(
        ({ objectRef, verb }) =>
          `${verb} ${objectRef?.resource}${objectRef?.subresource ? "/" + objectRef.subresource : ""}`,
      );
  const others = (): string[] =>
    written()
      .filter((each) => !each.endsWith("leases"))
      .toSorted();
  await eventually("its status is written", async () => (others().length >= 2 ? true : undefined));
  for (let i = 1; i <= 50; i += 1) {
    const before = runs;
    ask("quiet");
    await eventually("it ran", async () => (runs > before ? true : undefined));
  }
  assert.deepEqual(others(), ["create events", "patch gpupools/status"], "of 50 looks and more");
  assert.ok(written().some((each) => each.endsWith("leases")));
  assert.deepEqual(fatal, []);
  await manager.stop();
});
