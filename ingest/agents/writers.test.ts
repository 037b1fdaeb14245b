/**
 * Who writes for a node: over all replicas exactly one stream, of the node that its token names; and what
 * its pool tells it. Real exporters, real replicas, real stores.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import test from "node:test";
import { allocationOf, gpu, startExporter } from "../../test/support/agent-report.ts";
import { useStores } from "../../test/support/stores.ts";
import { eventually, startIngest } from "../testing/start-ingest.ts";
import { startTokenReviewServer, tokenOf } from "../testing/token-review-server.ts";
import { createIdentityStore, SupersededError } from "./identity-store.ts";

const waitMs = 60_000;
const recentMs = (): number => Math.floor(Date.now() / 1000) * 1000 - 60_000;
const epochAt = (ms: number): string => `${ms.toString(16).padStart(12, "0")}00000000`;

test("of two agents on one node at two replicas the younger one writes and the older one writes nothing more", async () => {
  await using stores = await useStores();
  await using one = await startIngest(stores);
  await using other = await startIngest(stores);
  await using older = await startExporter(one.grpcPort);
  await eventually(() => (older.exporter.state().connected ? true : undefined), waitMs);
  await using younger = await startExporter(other.grpcPort);
  await eventually(() => (younger.exporter.state().connected ? true : undefined), waitMs);

  const atMs = recentMs();
  older.exporter.identity([allocationOf(gpu(0), "from-the-older", atMs)]);
  younger.exporter.identity([allocationOf(gpu(0), "from-the-younger", atMs)]);
  await Promise.all([older.exporter.flush(), younger.exporter.flush()]);
  const end = await eventually(() => older.exporter.state().lastEnd, waitMs);
  assert.equal(end.reason, "superseded", end.detail);
  await eventually(
    () => (younger.exporter.state().pendingBatches === 0 ? true : undefined),
    waitMs,
  );
  assert.deepEqual(
    (await stores.sql`SELECT pod FROM allocations`).map((row) => row["pod"]),
    ["from-the-younger"],
  );
  assert.equal(younger.exporter.state().connected, true);
});

test("an agent that comes again at another replica is its own successor there, and the old stream is fenced", async () => {
  await using stores = await useStores();
  const [here, there] = [createIdentityStore(stores), createIdentityStore(stores)];
  const agent = { cluster: "", node: "node-a" };
  const epoch = epochAt(Date.now());
  const first = await here.greet(agent, [epoch], "test");
  assert.ok(first);
  const old = { ...agent, claim: first.claim };
  await here.mark(old, { epoch, sequence: 7 });
  const second = await there.greet(agent, [epoch], "test");
  assert.ok(second && second.claim > first.claim);
  assert.deepEqual([...second.durable], [{ epoch, sequence: 7 }]);
  const nothing = { identity: [], status: undefined };
  for (const write of [
    async () => await here.hold(old),
    async () => await here.mark(old, { epoch, sequence: 8 }),
    async () => await here.commit(old, { epoch, sequence: 8 }, nothing),
    async () => await here.heard(old, epoch, undefined),
    async () => await here.endForgotten(old, epoch),
  ]) {
    await assert.rejects(write, SupersededError);
  }
  // Ending the fenced stream frees nothing that is not its own.
  await here.release(old);
  await there.hold({ ...agent, claim: second.claim });
  const [row] = await stores.sql`SELECT sequence FROM agents`;
  assert.equal(row?.["sequence"], 7);
});

test("a claim waits for the batch in work, which is either whole before it or not there", async () => {
  await using stores = await useStores();
  const store = createIdentityStore(stores);
  const agent = { cluster: "", node: "node-a" };
  const now = Date.now();
  let held = await store.greet(agent, [epochAt(now)], "test");
  for (let round = 1; round <= 20; round += 1) {
    assert.ok(held);
    const writer = { ...agent, claim: held.claim };
    const batch = { epoch: epochAt(now), sequence: round };
    const [committed, next] = await Promise.all([
      store.commit(writer, batch, { identity: [], status: undefined }).then(
        () => true,
        (error: unknown) => {
          assert.ok(error instanceof SupersededError, String(error));
          return false;
        },
      ),
      store.greet(agent, [epochAt(now)], "test"),
    ]);
    const [row] = await stores.sql`SELECT sequence FROM agents`;
    assert.equal(row?.["sequence"] === round, committed, `round ${round}`);
    // What the new claim was told is durable was so, whatever came of the batch.
    assert.ok((next?.durable[0]?.sequence ?? 0) <= Number(row?.["sequence"]));
    held = next;
  }
});

test("a life of an earlier clock gets the node when its stream ended or was not heard of, and not before", async () => {
  await using stores = await useStores();
  const store = createIdentityStore(stores);
  const agent = { cluster: "", node: "node-a" };
  const now = Date.now();
  const before = [epochAt(now - 3_600_000)];
  const ahead = await store.greet(agent, [epochAt(now)], "test");
  assert.ok(ahead);
  assert.equal(await store.greet(agent, before, "test"), undefined);
  await store.release({ ...agent, claim: ahead.claim });
  assert.ok(await store.greet(agent, before, "test"));
  assert.ok(await store.greet(agent, [epochAt(now)], "test"));
  await stores.sql`UPDATE agent_writers SET heard_at = now() - interval '1 minute'`;
  assert.ok(await store.greet(agent, before, "test"));
});

test("an agent whose token is another node's is refused, and writes for its own", async () => {
  await using stores = await useStores();
  await using api = await startTokenReviewServer();
  await using ingest = await startIngest(stores, {
    agents: {
      cluster: "of-the-server",
      tokenReview: {
        apiServer: api.url,
        tokenFile: join(api.directory, "token"),
        authorityFile: join(api.directory, "ca.crt"),
        serviceAccounts: ["axonize-agents:axonize-agent"],
      },
    },
  });
  const credential = async (): Promise<string> => await Promise.resolve(tokenOf("good"));
  {
    await using agent = await startExporter(ingest.grpcPort, { node: "node-b", credential });
    const end = await eventually(() => agent.exporter.state().lastEnd, waitMs);
    assert.equal(end.reason, "unauthenticated");
    assert.match(end.detail, /speaks for node node-a only/);
  }
  assert.equal((await stores.sql`SELECT FROM agents`).length, 0);
  await using agent = await startExporter(ingest.grpcPort, {
    node: "node-a",
    cluster: "that-the-agent-says",
    credential,
  });
  await eventually(() => (agent.exporter.state().connected ? true : undefined), waitMs);
  const [row] = await stores.sql`SELECT cluster, node FROM agents`;
  assert.deepEqual({ ...row }, { cluster: "of-the-server", node: "node-a" });
});

test("the whole configuration of a node's pool reaches its agent, and again when it changes", async () => {
  await using stores = await useStores();
  const { sql } = stores;
  const config = {
    periodMs: 250,
    slowPeriodMs: 2_000,
    processPeriodMs: 7_000,
    reportPeriodMs: 3_000,
    metricSets: ["Utilization", "Power"],
    hostAccess: "PodResourcesOnly",
    overheadBudgetMillicores: 20,
  };
  await sql`INSERT INTO gpu_pools (cluster, name, uid, vendor, config, epoch)
    VALUES ('', 'h100', 'u1', 'NVIDIA', ${sql.json(config)}, 1)`;
  await using ingest = await startIngest(stores);
  await using agent = await startExporter(ingest.grpcPort);
  await using outside = await startExporter(ingest.grpcPort, { node: "node-of-no-pool" });
  await using file = await startExporter(ingest.grpcPort, { node: "node-with-a-file" });
  const ofFile = { ...file.exporter.config(), periodMs: 500, reportPeriodMs: 100 };
  file.exporter.configure(ofFile);
  await sql`INSERT INTO gpu_pool_nodes (cluster, node_uid, node, pool_uid, pool, epoch)
    VALUES ('', 'n1', 'node-a', 'u1', 'h100', 1), ('', 'n2', 'node-with-a-file', 'u1', 'h100', 1)`;
  const told = async (periodMs: number): Promise<void> =>
    void (await eventually(
      () => (agent.exporter.config().periodMs === periodMs ? true : undefined),
      waitMs,
    ));
  await told(250);
  assert.deepEqual(agent.exporter.config(), config);
  await sql`UPDATE gpu_pools SET config = ${sql.json({ ...config, periodMs: 125 })}`;
  await told(125);
  assert.equal(outside.exporter.config().periodMs, 100);
  // A file decides everything but how often the server wants to hear of it.
  await eventually(
    () => (file.exporter.config().reportPeriodMs === 3_000 ? true : undefined),
    waitMs,
  );
  assert.deepEqual(file.exporter.config(), { ...ofFile, reportPeriodMs: 3_000 });
});
