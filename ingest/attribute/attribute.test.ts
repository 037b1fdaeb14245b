/** Spans get their devices at write time, from what agents reported; those that came first, later. */
import assert from "node:assert/strict";
import test from "node:test";
import { allocationOf, gpu, gpuFacts, startExporter } from "../../test/support/agent-report.ts";
import { readRows } from "../../test/support/engine-client.ts";
import { useStores } from "../../test/support/stores.ts";
import { adminKey, eventually, startIngest } from "../testing/start-ingest.ts";
import { podOf, send, stored } from "../../test/support/attributed-calls.ts";

const waitMs = 60_000;

test("a call of a pod gets what the pod was given at the call's start, also after the pod is gone", async () => {
  await using stores = await useStores();
  await using ingest = await startIngest(stores);
  await using agent = await startExporter(ingest.grpcPort);
  const { exporter } = agent;
  const atMs = Math.floor(Date.now() / 1000) * 1000 - 600_000;
  exporter.devices([gpuFacts(0), gpuFacts(1), gpuFacts(2)]);
  exporter.identity([
    allocationOf(gpu(0), "gone", atMs, { toMs: atMs + 60_000, reason: "pod_gone" }),
    allocationOf(gpu(0), "next", atMs + 60_000),
    allocationOf(gpu(1), "pair", atMs),
    allocationOf(gpu(2), "pair", atMs),
  ]);
  await exporter.flush();
  await eventually(async () => {
    const [row] = await stores.sql<{ n: number }[]>`SELECT count(*) AS n FROM allocations`;
    return row?.n === 4 ? true : undefined;
  }, waitMs);
  await ingest.ingest.refreshIdentity();
  await send(ingest, { name: "a late call", resource: podOf("gone"), startMs: atMs + 30_000 });
  await send(ingest, { name: "b after the end", resource: podOf("gone"), startMs: atMs + 61_000 });
  await send(ingest, { name: "c the next pod", resource: podOf("next"), startMs: atMs + 61_000 });
  await send(ingest, { name: "d both", resource: podOf("pair"), startMs: atMs });
  await send(ingest, {
    name: "e one of two",
    resource: podOf("pair"),
    startMs: atMs,
    ordinals: [1],
  });
  await send(ingest, { name: "f a stranger", resource: podOf("unheard-of"), startMs: atMs });
  const rows = await stored(stores.clickhouse);
  assert.deepEqual(
    rows.map(({ name, gpu_devices, gpu_level, gpu_candidates, gpu_reason }) => [
      name,
      gpu_devices,
      gpu_level,
      gpu_candidates,
      gpu_reason,
    ]),
    [
      ["a late call", [gpu(0)], "exact.single", [], ""],
      ["b after the end", [], "unattributed", [], "no_device"],
      ["c the next pod", [gpu(0)], "exact.single", [], ""],
      ["d both", [gpu(1), gpu(2)], "exact.set", [], ""],
      ["e one of two", [], "ambiguous", [gpu(1), gpu(2)], "environment_unknown"],
      ["f a stranger", [], "", [], ""],
    ],
  );
});

/** The next millisecond before whose nanoseconds, as a double, lie in the one before it. */
function roundedDown(ms: number): number {
  for (let at = ms; ; at -= 1) if (Number(BigInt(at) * 1_000_000n) / 1e6 < at) return at;
}

test("a span that came before its binding is joined when the binding comes, and says so", async () => {
  await using stores = await useStores();
  await using ingest = await startIngest(stores);
  const atMs = roundedDown(Date.now() - 5_000);
  await send(ingest, { name: "early", resource: podOf("loading"), startMs: atMs });
  await send(ingest, { name: "other", resource: podOf("elsewhere"), startMs: atMs });
  const before = await readRows<{ rest: string }>(stores.clickhouse, unchanged);
  await using agent = await startExporter(ingest.grpcPort);
  agent.exporter.identity([allocationOf(gpu(0), "loading", atMs + 2_000)]);
  const rows = await eventually(async () => {
    const found = await stored(stores.clickhouse);
    return found.some(({ gpu_devices }) => gpu_devices.length > 0) ? found : undefined;
  }, waitMs);
  assert.deepEqual(rows, [
    {
      name: "early",
      gpu_devices: [gpu(0)],
      gpu_level: "exact.single",
      gpu_candidates: [],
      gpu_reason: "",
      gpu_evidence: [
        "the container's whole allocation",
        "its binding was first seen after the span had begun",
        "joined after it was stored, when its binding became known",
      ],
    },
    {
      name: "other",
      gpu_devices: [],
      gpu_level: "",
      gpu_candidates: [],
      gpu_reason: "",
      gpu_evidence: [],
    },
  ]);
  assert.deepEqual(await readRows(stores.clickhouse, unchanged), before);
});

/** Everything of the spans but what attribution writes. */
const unchanged = `
  SELECT toString(tuple(* EXCEPT (gpu_devices, gpu_level, gpu_candidates, gpu_reason, gpu_evidence, received))) AS rest
  FROM spans FINAL ORDER BY name`;

test("among tenants a process's own word waits for its container's, which shows a lie as one", async () => {
  await using stores = await useStores();
  await using ingest = await startIngest(stores, { agents: { checksTenants: true } });
  await stores.sql`INSERT INTO tenants (id, name) VALUES ('owner', 'owner')`;
  await stores.sql`
    INSERT INTO tenant_namespaces (namespace, namespace_uid, tenant_id) VALUES ('team-a', 'u1', 'owner')`;
  await ingest.access.refresh();
  await ingest.ingest.refreshIdentity();
  const atMs = Date.now() - 5_000;
  const headers = { authorization: `Bearer ${adminKey}`, "x-axonize-tenant": "owner" };
  const says = (name: string, uuid: string) =>
    send(ingest, {
      name,
      resource: { ...podOf("loading"), "service.name": name, "axonize.gpu.uuids": uuid },
      startMs: atMs,
      headers,
    });
  await says("liar", gpu(7));
  await says("teller", gpu(0));
  const level = async (): Promise<unknown[]> =>
    (await stored(stores.clickhouse)).map(({ name, gpu_level, gpu_devices, gpu_reason }) => [
      name,
      gpu_level,
      gpu_devices,
      gpu_reason,
    ]);
  assert.deepEqual(await level(), [
    ["liar", "ambiguous", [], "allocation_unknown"],
    ["teller", "ambiguous", [], "allocation_unknown"],
  ]);
  await using agent = await startExporter(ingest.grpcPort);
  agent.exporter.identity([allocationOf(gpu(0), "loading", atMs + 2_000)]);
  const rows = await eventually(async () => {
    const found = await stored(stores.clickhouse);
    return found.every(({ gpu_level }) => gpu_level !== "ambiguous") ? found : undefined;
  }, waitMs);
  assert.deepEqual(rows.find(({ name }) => name === "teller")?.gpu_evidence.slice(0, 2), [
    "the process reported its UUID",
    "its container has it",
  ]);
  assert.deepEqual(await level(), [
    ["liar", "identity.conflict", [], "sdk_contradicts"],
    ["teller", "exact.single", [gpu(0)], ""],
  ]);
});

test("among tenants a pod binds only the spans of its namespace's tenant", async () => {
  await using stores = await useStores();
  await using ingest = await startIngest(stores, { agents: { checksTenants: true } });
  await stores.sql`INSERT INTO tenants (id, name) VALUES ('owner', 'owner'), ('thief', 'thief')`;
  await stores.sql`
    INSERT INTO tenant_namespaces (namespace, namespace_uid, tenant_id) VALUES ('team-a', 'u1', 'owner')`;
  await ingest.access.refresh();
  await using agent = await startExporter(ingest.grpcPort);
  const atMs = Date.now() - 60_000;
  agent.exporter.identity([allocationOf(gpu(0), "vllm", atMs)]);
  await eventually(async () => {
    const [row] = await stores.sql<{ n: number }[]>`SELECT count(*) AS n FROM allocations`;
    return row?.n === 1 ? true : undefined;
  }, waitMs);
  await ingest.ingest.refreshIdentity();
  const as = (tenant: string) => ({
    authorization: `Bearer admin-key-of-the-tests-0123456789`,
    "x-axonize-tenant": tenant,
  });
  const resource = podOf("vllm");
  await send(ingest, { name: "owner", resource, startMs: atMs + 1, headers: as("owner") });
  await send(ingest, { name: "thief", resource, startMs: atMs + 1, headers: as("thief") });
  await send(ingest, {
    name: "thief by uuid",
    resource: { "service.name": "x", "axonize.gpu.uuids": gpu(0) },
    startMs: atMs + 1,
    headers: as("thief"),
  });
  assert.deepEqual(
    (await stored(stores.clickhouse)).map(({ name, gpu_devices, gpu_level, gpu_reason }) => [
      name,
      gpu_devices,
      gpu_level,
      gpu_reason,
    ]),
    [
      ["owner", [gpu(0)], "exact.single", ""],
      ["thief", [], "identity.conflict", "namespace_of_another_tenant"],
      ["thief by uuid", [], "ambiguous", "allocation_unknown"],
    ],
  );
});
