/** Agents' streams end to end: the real exporter, the real receiver, the real stores. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import {
  allocationOf,
  gpu,
  gpuFacts,
  gpuSample,
  startExporter,
} from "../../test/support/agent-report.ts";
import { readRows } from "../../test/support/engine-client.ts";
import { useStores } from "../../test/support/stores.ts";
import { eventually, startIngest } from "../testing/start-ingest.ts";
import { startTcpProxy } from "../testing/tcp-proxy.ts";

const waitMs = 60_000;

/** A moment in the recent past, on a whole second. */
const recentMs = (): number => Math.floor(Date.now() / 1000) * 1000 - 60_000;

async function acked(exporter: { state(): { connected: boolean; pendingBatches: number } }) {
  await eventually(() => {
    const { connected, pendingBatches } = exporter.state();
    return connected && pendingBatches === 0 ? true : undefined;
  }, waitMs);
}

test("samples, events, identity and status of an agent end in both stores, and the clock is measured", async () => {
  await using stores = await useStores();
  await using ingest = await startIngest(stores);
  await using agent = await startExporter(ingest.grpcPort);
  const { exporter } = agent;
  const atMs = recentMs();
  exporter.devices([gpuFacts(0), gpuFacts(1)]);
  exporter.identity([allocationOf(gpu(0), "vllm-0", atMs)]);
  exporter.samples([
    gpuSample(0, atMs, {
      utilizationRatio: 0.37,
      powerWatts: 412.345,
      energyMillijoules: 1e12 + 1,
    }),
    gpuSample(1, atMs + 100, { powerWatts: 0, memoryUsedBytes: 80 * 2 ** 30 }),
  ]);
  exporter.event({
    atMs,
    gpuUuid: gpu(1),
    kind: "xid",
    detail: { code: 79, message: "off the bus" },
  });
  exporter.event({ atMs: atMs + 5, gpuUuid: gpu(1), kind: "recovered", detail: {} });
  exporter.status({
    driverVersion: "580.82.07",
    trouble: undefined,
    costs: {},
    cpuRatio: 0.01,
    periodMs: 100,
    wantedPeriodMs: 100,
    drops: {},
    unjoinedSeconds: { no_pod: 3 },
    doctor: [],
  });
  await exporter.flush();
  await acked(exporter);

  const samples = await readRows(
    stores.clickhouse,
    `SELECT device, node, name, utilization, power_watts, toString(energy_mj) AS energy, memory_used
     FROM gpu_samples ORDER BY time`,
  );
  assert.deepEqual(samples, [
    {
      device: gpu(0),
      node: "node-a",
      name: "NVIDIA H100 80GB HBM3",
      utilization: 0.37,
      power_watts: 412.345,
      energy: "1000000000001",
      memory_used: null,
    },
    {
      device: gpu(1),
      node: "node-a",
      name: "NVIDIA H100 80GB HBM3",
      utilization: null,
      power_watts: 0,
      energy: null,
      memory_used: 80 * 2 ** 30,
    },
  ]);
  assert.deepEqual(
    await readRows(stores.clickhouse, "SELECT kind, code, message FROM gpu_events ORDER BY time"),
    [
      { kind: "xid", code: 79, message: "off the bus" },
      { kind: "recovered", code: null, message: "" },
    ],
  );
  const [allocation] =
    await stores.sql`SELECT node, pod, pod_uid, resource_uuid, valid_to FROM allocations`;
  assert.deepEqual(
    { ...allocation },
    {
      node: "node-a",
      pod: "vllm-0",
      pod_uid: "uid-of-vllm-0",
      resource_uuid: gpu(0),
      valid_to: null,
    },
  );
  const [silicon] = await stores.sql`SELECT count(*) AS n FROM physical_gpus WHERE node = 'node-a'`;
  assert.equal(silicon?.["n"], 2);
  const row = await eventually(async () => {
    const [found] = await stores.sql<
      { version: string; status: Record<string, unknown>; offset_ms: number | null }[]
    >`SELECT version, status, offset_ms FROM agents`;
    return found?.offset_ms === null ? undefined : found;
  }, waitMs);
  assert.equal(row.version, "test");
  assert.deepEqual(row.status["unjoinedSeconds"], { no_pod: 3 });
  assert.ok(Math.abs(exporter.state().clockOffsetMs ?? Infinity) < 1_000);
});

test("an interval that closes replaces itself, and one that nobody closed ends where the next begins", async () => {
  await using stores = await useStores();
  await using ingest = await startIngest(stores);
  await using agent = await startExporter(ingest.grpcPort);
  const { exporter } = agent;
  const atMs = recentMs();
  exporter.identity([allocationOf(gpu(0), "a", atMs), allocationOf(gpu(1), "b", atMs)]);
  exporter.identity([
    allocationOf(gpu(0), "a", atMs, { toMs: atMs + 1_000, reason: "pod_gone" }),
    allocationOf(gpu(1), "b", atMs + 2_000),
  ]);
  await exporter.flush();
  await acked(exporter);
  const rows = await stores.sql`
    SELECT pod, extract(epoch FROM valid_from) * 1000 - ${atMs} AS from_ms,
      extract(epoch FROM valid_to) * 1000 - ${atMs} AS to_ms, close_reason
    FROM allocations ORDER BY pod, valid_from`;
  assert.deepEqual(
    rows.map((row) => [
      row["pod"],
      Number(row["from_ms"]),
      row["to_ms"] === null ? null : Number(row["to_ms"]),
      row["close_reason"],
    ]),
    [
      ["a", 0, 1_000, "pod_gone"],
      ["b", 0, 2_000, "superseded"],
      ["b", 2_000, null, null],
    ],
  );
});

test("batches that were sealed while no server was there arrive later, once, in a new life of the agent", async () => {
  await using stores = await useStores();
  const directory = await mkdtemp(join(tmpdir(), "axonize-spool-"));
  const atMs = recentMs();
  {
    // Nobody listens on port 1.
    await using agent = await startExporter(1, { spoolDirectory: directory });
    agent.exporter.devices([gpuFacts(0)]);
    for (let tick = 0; tick < 50; tick += 1) {
      agent.exporter.samples([gpuSample(0, atMs + tick * 100, { powerWatts: tick })]);
      await agent.exporter.flush();
    }
    assert.equal(agent.exporter.state().connected, false);
  }
  await using ingest = await startIngest(stores);
  await using agent = await startExporter(ingest.grpcPort, { spoolDirectory: directory });
  agent.exporter.devices([gpuFacts(0)]);
  agent.exporter.samples([gpuSample(0, atMs + 5_000, { powerWatts: 50 })]);
  await agent.exporter.flush();
  await acked(agent.exporter);
  const [row] = await readRows<{ rows: number; distinct: number; sum: number }>(
    stores.clickhouse,
    "SELECT count() AS rows, uniqExact(device, time) AS distinct, sum(power_watts) AS sum FROM gpu_samples",
  );
  assert.deepEqual(row, { rows: 51, distinct: 51, sum: 1275 });
  await rm(directory, { recursive: true });
});

test("a connection that is cut or half open loses nothing and doubles nothing", async () => {
  await using stores = await useStores();
  await using ingest = await startIngest(stores);
  await using proxy = await startTcpProxy({ host: "127.0.0.1", port: ingest.grpcPort });
  await using agent = await startExporter(proxy.port, { keepaliveMs: 500 });
  const { exporter } = agent;
  const atMs = recentMs();
  exporter.devices([gpuFacts(0)]);
  let sent = 0;
  const send = async (count: number): Promise<void> => {
    for (let tick = 0; tick < count; tick += 1) {
      exporter.samples([gpuSample(0, atMs + sent * 10, { powerWatts: 1 })]);
      sent += 1;
      await exporter.flush();
    }
  };
  await send(20);
  await acked(exporter);
  proxy.cut();
  await send(20);
  proxy.mend();
  await acked(exporter);
  // Bytes vanish and both ends believe in their connection until a keepalive stays unanswered.
  proxy.freeze();
  await send(20);
  await eventually(() => (exporter.state().connected ? undefined : true), waitMs);
  proxy.mend();
  await send(20);
  await acked(exporter);
  const [row] = await readRows<{ rows: number; distinct: number }>(
    stores.clickhouse,
    "SELECT count() AS rows, uniqExact(device, time) AS distinct FROM gpu_samples",
  );
  assert.deepEqual(row, { rows: 80, distinct: 80 });
});

test("who has no key, or a tenant's, does not get in; a stream is told why", async () => {
  await using stores = await useStores();
  await using ingest = await startIngest(stores);
  for (const credential of [undefined, "axk_none", "not-a-key", "a.b.c"]) {
    await using agent = await startExporter(ingest.grpcPort, {
      credential: async () => await Promise.resolve(credential),
    });
    const end = await eventually(() => agent.exporter.state().lastEnd, waitMs);
    assert.equal(end.reason, "unauthenticated", `${String(credential)}: ${end.detail}`);
  }
  await using inside = await startIngest(stores, {
    agents: { processSecret: "secret-of-this-process" },
  });
  await using agent = await startExporter(inside.grpcPort, {
    credential: async () => await Promise.resolve("secret-of-this-process"),
  });
  await eventually(() => (agent.exporter.state().connected ? true : undefined), waitMs);
});

test("of two agents on one node the younger one reports and the older one waits", async () => {
  await using stores = await useStores();
  await using ingest = await startIngest(stores);
  await using older = await startExporter(ingest.grpcPort);
  await eventually(() => (older.exporter.state().connected ? true : undefined), waitMs);
  await using younger = await startExporter(ingest.grpcPort);
  await eventually(() => (younger.exporter.state().connected ? true : undefined), waitMs);
  const end = await eventually(() => older.exporter.state().lastEnd, waitMs);
  assert.equal(end.reason, "superseded");
  assert.equal(younger.exporter.state().connected, true);
});

test("an agent that knows ingest by a name goes on at another replica when its own stops, losing and doubling nothing", async () => {
  await using stores = await useStores();
  const replicas = [await startIngest(stores), await startIngest(stores)];
  // As a Service does: whoever connects gets a replica that listens.
  const up = new Set(replicas.map(({ grpcPort }) => grpcPort));
  const chosen: number[] = [];
  await using service = await startTcpProxy({
    host: "127.0.0.1",
    port: () => {
      const [port = 1] = up;
      chosen.push(port);
      return port;
    },
  });
  await using agent = await startExporter(0, { endpoint: `localhost:${service.port}` });
  const { exporter } = agent;
  const atMs = recentMs();
  exporter.devices([gpuFacts(0)]);
  for (let tick = 0; tick < 60; tick += 1) {
    exporter.samples([gpuSample(0, atMs + tick * 10, { powerWatts: 1 })]);
    await exporter.flush();
    if (tick === 10) await acked(exporter);
    if (tick !== 30) continue;
    const [first] = replicas;
    assert.ok(first);
    up.delete(first.grpcPort);
    await first[Symbol.asyncDispose]();
  }
  await acked(exporter);
  assert.deepEqual(new Set(chosen), new Set(replicas.map(({ grpcPort }) => grpcPort)));
  const [row] = await readRows<{ rows: number; distinct: number }>(
    stores.clickhouse,
    "SELECT count() AS rows, uniqExact(device, time) AS distinct FROM gpu_samples",
  );
  assert.deepEqual(row, { rows: 60, distinct: 60 });
  await replicas[1]?.[Symbol.asyncDispose]();
});
