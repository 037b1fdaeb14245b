/**
 * Managers as processes would run them, over one server: who works, from what, in which order it ends.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock, type Clock } from "@axonize/core/runtime/clock";
import { silentLog } from "@axonize/core/runtime/log";
import { createRegistry, type Registry } from "@axonize/core/runtime/metrics";
import { createFakeClock } from "../../test/support/fake-clock.ts";
import { configMaps, secrets } from "./kinds.ts";
import { createManager, runResync, type Manager } from "./manager.ts";
import { startFaultServer, status, type FaultServer } from "./testing/fault-server.ts";
import { hurried, openAccess, until, valueOf } from "./testing/cluster.ts";
import type { ControllerBuilder, KubeObject, ReconcileContext } from "./types.ts";

const path = "/api/v1/configmaps";
const leasePath = "/apis/coordination.k8s.io/v1/namespaces/ns/leases";

interface Replica extends AsyncDisposable {
  readonly manager: Manager;
  readonly registry: Registry;
  readonly runs: { key: string; context: ReconcileContext }[];
  readonly fatal: string[];
}

async function startReplica(
  server: FaultServer,
  name: string,
  reconcile: (key: string, context: ReconcileContext, builder: ControllerBuilder) => Promise<void>,
  clock: Clock = systemClock,
): Promise<Replica> {
  const registry = createRegistry();
  const fatal: string[] = [];
  const manager = createManager(
    {
      access: openAccess(server.url),
      clock,
      log: silentLog,
      registry,
      random: Math.random,
      onFatal: (reason) => void fatal.push(reason),
    },
    {
      userAgent: `axonize-operator/${name}`,
      lease: { namespace: "ns", name: "axonize-operator", identity: name, leaseMs: 15_000 },
    },
  );
  const runs: Replica["runs"] = [];
  manager.add("test", {
    wire: (builder) => {
      const informer = builder.informer<KubeObject>(configMaps);
      assert.equal(builder.informer(configMaps), informer, "one cache per kind and selector");
      builder.watch(informer, ({ object }) => [object.metadata.name]);
      return {
        name: "test",
        reconcile: async (key, context) => {
          runs.push({ key, context });
          await reconcile(key, context, builder);
          return undefined;
        },
      };
    },
  });
  await manager.start();
  return {
    manager,
    registry,
    runs,
    fatal,
    [Symbol.asyncDispose]: async () => await manager.stop(),
  };
}

test("every replica fills its caches, one works: first on what is there, then on what changes; a stop hands over at once", async () => {
  const stray: unknown[] = [];
  const onStray = (error: unknown): void => void stray.push(error);
  process.on("unhandledRejection", onStray);
  await using server = await startFaultServer();
  for (const name of ["x", "y"]) server.set(path, { metadata: { name } });
  const order: string[] = [];
  const finish = Promise.withResolvers<void>();
  const first = await startReplica(server, "first", async (key) => {
    if (key !== "slow") return;
    order.push("begun");
    await finish.promise;
    order.push("finished");
  });
  assert.deepEqual(first.manager.problems(), [
    "the cache of configmaps is not filled: not listed yet",
  ]);
  await until(() => first.runs.length === 2, "it works on what is there");
  await using second = await startReplica(server, "second", async () => undefined);
  await until(() => second.manager.problems().length === 0, "the second is ready, too");
  assert.deepEqual(
    first.runs.map(({ context }) => context.priority),
    ["resync", "resync"],
  );
  const epoch = first.runs[0]?.context.epoch ?? 0;
  assert.ok(epoch > 29_000_000);
  server.set(path, { metadata: { name: "changed" } });
  await until(() => first.runs.length === 3, "it works on what changes");
  assert.equal(first.runs[2]?.context.priority, "change");
  server.set(path, { metadata: { name: "slow" } });
  await until(() => order.length === 1, "one is in flight");
  assert.equal(second.runs.length, 0);
  assert.deepEqual([first.manager.isLeading(), second.manager.isLeading()], [true, false]);

  const stopping = first.manager.stop();
  assert.deepEqual(first.manager.problems(), ["stopping"]);
  server.set(path, { metadata: { name: "not-begun" } });
  await until(() => second.manager.metrics !== undefined, "a moment");
  assert.ok(first.manager.isLeading(), "it leads until what is in flight is done");
  finish.resolve();
  await stopping;
  assert.deepEqual(order, ["begun", "finished"]);
  assert.equal(
    first.runs.some(({ key }) => key === "not-begun"),
    false,
  );
  const lease = server.get(leasePath, "axonize-operator");
  assert.ok(lease);
  await until(() => second.runs.length === 5, "the second works on everything");
  assert.equal(second.runs[0]?.context.epoch, epoch + 1);
  assert.equal(
    second.runs.every(({ context }) => context.priority === "resync"),
    true,
  );
  assert.deepEqual([first.fatal, second.fatal, stray], [[], [], []]);
  const { length } = server.requests.filter(
    (r) => r.headers["user-agent"] === "axonize-operator/first",
  );
  await until(() => second.manager.isLeading(), "it leads");
  const after = server.requests.filter((r) => r.headers["user-agent"] === "axonize-operator/first");
  assert.equal(after.length, length, "a stopped manager asks for nothing");
  assert.equal(await valueOf(second.registry, "leader_election_master_status"), 1);
  process.off("unhandledRejection", onStray);
});

test("a lease that somebody takes away ends everything: the signal aborts, writes are refused, the process is told to end", async () => {
  await using server = await startFaultServer();
  server.set(path, { metadata: { name: "x" } });
  const seen = { aborted: false, write: "" };
  const replica = await startReplica(server, "first", async (_key, { signal }, { client }) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    seen.aborted = true;
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "s", namespace: "n" } };
    seen.write = await client.create(secret, secrets).then(
      () => "written",
      (error: unknown) => String(error),
    );
  });
  await until(() => replica.runs.length === 1, "it works");
  const lease = server.get(leasePath, "axonize-operator");
  assert.ok(lease);
  server.set(leasePath, {
    ...lease,
    spec: { ...(lease["spec"] as object), holderIdentity: "thief" },
  });
  await until(() => replica.fatal.length === 1, "it is told");
  assert.equal(replica.manager.isLeading(), false);
  // Soon: the elector's thread leaves the process a few seconds to end by itself.
  await replica.manager.stop();
  assert.deepEqual(seen, {
    aborted: true,
    write: "ApiError: this process does not hold the lease: nothing is written",
  });
  assert.equal(server.get("/api/v1/namespaces/n/secrets", "s"), undefined);
  assert.equal(await valueOf(replica.registry, "leader_election_master_status"), 0);
});

test("caches that a server does not let it fill are named, and nothing works before they are", async () => {
  await using server = await startFaultServer();
  server.fault((asked, response) => {
    if (asked.url.pathname !== path) return false;
    status(response, 403, "Forbidden");
    return true;
  });
  await using replica = await startReplica(server, "first", async () => undefined);
  await until(
    () => valueOf(replica.registry, "leader_election_master_status").then((is) => is === 1),
    "it leads",
  );
  await until(() => /Forbidden/.test(replica.manager.problems().join()), "and says what is wrong");
  assert.equal(replica.runs.length, 0);
  server.set(path, { metadata: { name: "x" } });
  server.fault(undefined);
  await until(() => replica.runs.length === 1, "then it works");
  assert.deepEqual(replica.manager.problems(), []);
});

test("a process whose caches are not filled within two minutes is told to end, and by which", async () => {
  await using server = await startFaultServer();
  server.fault((asked, response) => {
    if (asked.url.pathname !== path) return false;
    status(response, 403, "Forbidden");
    return true;
  });
  const startMs = hurried.monotonic();
  await using replica = await startReplica(server, "first", async () => undefined, hurried);
  await until(() => replica.fatal.length === 1, "it is told");
  assert.ok(hurried.monotonic() - startMs >= 120_000);
  assert.match(replica.fatal.join(), /configmaps is not filled: Forbidden/);
});

test("a reconcile that ignores its signal does not keep a stop from giving the lease back", async () => {
  await using server = await startFaultServer();
  server.set(path, { metadata: { name: "deaf" } });
  const never = Promise.withResolvers<void>();
  const replica = await startReplica(server, "first", async () => await never.promise, hurried);
  await until(() => replica.runs.length === 1, "it runs");
  const startMs = hurried.monotonic();
  await replica.manager.stop();
  assert.ok(hurried.monotonic() - startMs >= 23_000, "it had its time");
  const lease = server.get(leasePath, "axonize-operator");
  assert.match(JSON.stringify(lease), /"holderIdentity":""/);
  never.resolve();
});

test("everything is looked at again about every ten hours, from the caches alone", async () => {
  const clock = createFakeClock();
  const stop = new AbortController();
  let rounds = 0;
  const wirings = [{ enqueueAll: () => void (rounds += 1) }];
  const deps = { clock, log: silentLog, random: () => 0.5 };
  const running = runResync(deps, wirings, stop.signal);
  await clock.advance(9 * 3_600_000);
  assert.equal(rounds, 0);
  await clock.advance(3_600_000);
  assert.equal(rounds, 1);
  await clock.advance(20 * 3_600_000);
  assert.equal(rounds, 3);
  stop.abort();
  await running;
});
