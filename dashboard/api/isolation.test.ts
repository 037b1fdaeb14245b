// Every endpoint is asked for one tenant's things with another's key, and tells nothing.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { api, type Endpoint } from "@axonize/core/contract/api";
import type {
  GpuList as GpuListSchema,
  GpuMetrics,
  TraceGpuLanes,
} from "@axonize/core/contract/gpu";
import { startEventsPath } from "@axonize/core/contract/routes";
import { buildCall, buildSpan, insertSpans } from "../../test/support/build-span.ts";
import type * as z from "zod";
import { useDashboard } from "../../test/support/dashboard.ts";

type GpuList = z.infer<typeof GpuListSchema>;

const dashboard = await useDashboard({ mode: "cluster", keylessLoopback: false });
after(async () => await dashboard[Symbol.asyncDispose]());
const { a, b } = dashboard;
const { clickhouse } = dashboard.stores;
const now = Date.now();

/** Words that stand in team-a's data and nowhere else. */
const secret = "secretive";
const root = buildSpan({
  startMs: now - 60_000,
  tenantNum: a.num,
  name: `${secret}-root`,
  service: `${secret}-service`,
});
const call = buildCall({
  startMs: now - 59_900,
  tenantNum: a.num,
  traceId: root.traceId,
  parentSpanId: root.spanId,
  name: `${secret}-call`,
  model: `${secret}-model`,
  namespace: `${secret}-namespace`,
  pod: `${secret}-pod`,
  gpus: ["GPU-secretive"],
});
await insertSpans(clickhouse, [root, call]);
await clickhouse.command({
  query: `INSERT INTO gpu_samples (cluster, device, time, name, node, namespace, pod, utilization)
    SELECT '', 'GPU-secretive', fromUnixTimestamp64Milli({ms:Int64} + number * 1000, 'UTC'), 'secretive-gpu', 'secretive-node', 'secretive-namespace', 'secretive-pod', 0.5 FROM numbers(600)`,
  query_params: { ms: now - 300_000 },
});

// The operator bound team-a's namespace, and its pod held the device while it was called.
const heldFromMs = now - 120_000;
const heldToMs = now - 30_000;
await dashboard.stores.sql`
  INSERT INTO tenant_namespaces (namespace, namespace_uid, tenant_id)
  VALUES ('secretive-namespace', 'uid-a', ${a.id}), ('other-namespace', 'uid-b', ${b.id})`;
await dashboard.stores.sql`
  INSERT INTO allocations (node, key, valid_from, valid_to, namespace, pod, container, resource_name, resource_id, resource_uuid, stale)
  VALUES
    ('secretive-node', 'a', ${new Date(heldFromMs)}, ${new Date(heldToMs)}, 'secretive-namespace', 'secretive-pod', 'main', 'nvidia.com/gpu', 'r', 'GPU-secretive', false),
    ('secretive-node', 'c', ${new Date(heldFromMs)}, NULL, 'third-namespace', 'third-pod', 'main', 'nvidia.com/gpu', 'r', 'GPU-secretive', false)`;

const values: Record<string, string> = {
  traceId: root.traceId,
  spanId: call.spanId,
  uuid: "GPU-secretive",
  tenantId: "team-a",
  prefix: a.key.split("_")[1] ?? "",
};
const pathOf = (endpoint: Endpoint): string =>
  endpoint.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "");
const bodies: Record<string, unknown> = {
  createTenant: { name: "mine" },
  updateTenant: { name: "mine" },
  createKey: {},
};

const endpoints = Object.entries(api) as [string, Endpoint][];

for (const [name, endpoint] of endpoints) {
  test(`${name} tells team-b nothing of team-a`, async () => {
    const reply = await dashboard.send(
      endpoint.method,
      pathOf(endpoint),
      endpoint.body ? bodies[name] : undefined,
      b.headers,
    );
    const text = JSON.stringify(reply.body);
    assert.ok(!text.replaceAll(/GPU-secretive|No device .*?range/g, "").includes(secret), text);
    assert.ok(reply.status < 500, text);
    if (endpoint.auth === "admin") assert.equal(reply.status, 403, text);
    if (/traceId|uuid/.test(endpoint.path)) assert.equal(reply.status, 404, text);
  });
}

for (const [name, endpoint] of endpoints.filter(([, { auth }]) => auth !== "none")) {
  test(`${name} refuses who has no key, or a wrong one`, async () => {
    const ask = async (headers: Record<string, string>) =>
      await dashboard.send(
        endpoint.method,
        pathOf(endpoint),
        endpoint.body ? bodies[name] : undefined,
        headers,
      );
    for (const headers of [
      {},
      { authorization: "Bearer nonsense" },
      { "x-axonize-key": b.key.slice(0, -1) },
      { authorization: `Basic ${b.key}` },
    ]) {
      const reply = await ask(headers);
      assert.equal(reply.status, 401, JSON.stringify(reply.body));
      assert.match(reply.headers.get("www-authenticate") ?? "", /^Bearer/);
    }
  });
}

test("the event stream needs a key as well", async () => {
  assert.equal((await dashboard.get(startEventsPath)).status, 401);
});

test("a key cannot point itself at another tenant", async () => {
  const reply = await dashboard.get(`/api/v1/traces/${root.traceId}`, {
    ...b.headers,
    "x-axonize-tenant": "team-a",
  });
  assert.equal(reply.status, 404);
});

test("the owner sees all of it: the test above can fail", async () => {
  for (const path of [
    "/api/v1/traces",
    `/api/v1/traces/${root.traceId}`,
    `/api/v1/traces/${root.traceId}/spans/${call.spanId}`,
    "/api/v1/facets",
    "/api/v1/analytics/overview",
    "/api/v1/gpus",
    "/api/v1/gpus/GPU-secretive",
    `/api/v1/traces/${root.traceId}/gpu`,
  ]) {
    const reply = await dashboard.get(path, a.headers);
    assert.equal(reply.status, 200, path);
    assert.ok(JSON.stringify(reply.body).includes(secret), path);
  }
});

test("a tenant sees a device only while its own pods held it, whatever its spans say", async () => {
  const reply = await dashboard.get<{
    series: { startMs: number[]; utilizationRatio: (number | null)[] };
  }>("/api/v1/gpus/GPU-secretive/metrics?from=-10m&buckets=600", a.headers);
  const { startMs, utilizationRatio } = reply.body.series;
  const seen = startMs.filter((_, at) => utilizationRatio[at] !== null);
  assert.ok(seen.length > 0);
  assert.ok(Math.min(...seen) >= heldFromMs - 1000, "not before it held it");
  assert.ok(Math.max(...seen) <= heldToMs, "not after it let go");
});

test("who shares a device with a tenant has no name", async () => {
  const { body } = await dashboard.get<GpuMetrics>(
    "/api/v1/gpus/GPU-secretive/metrics?from=-10m",
    a.headers,
  );
  assert.deepEqual(
    body.holders.map(({ own, namespace, pod }) => [own, namespace, pod]),
    [
      [true, "secretive-namespace", "secretive-pod"],
      [false, "", ""],
    ],
  );
  assert.ok(!JSON.stringify(body).includes("third"));
  assert.equal(body.holders[1]?.to, new Date(heldToMs).toISOString(), "nor a life after ours");
});

test("a span that names a device of another's pod shows its sender nothing of it", async () => {
  const claim = buildCall({
    startMs: now - 60_000,
    tenantNum: b.num,
    namespace: "secretive-namespace",
    pod: "secretive-pod",
    gpus: ["GPU-secretive"],
  });
  await insertSpans(clickhouse, [claim]);
  const list = await dashboard.get<GpuList>("/api/v1/gpus?from=-10m", b.headers);
  assert.deepEqual(list.body.items, []);
  const one = await dashboard.get("/api/v1/gpus/GPU-secretive/metrics?from=-10m", b.headers);
  assert.equal(one.status, 404);
  const lanes = await dashboard.get<TraceGpuLanes>(
    `/api/v1/traces/${claim.traceId}/gpu`,
    b.headers,
  );
  assert.equal(lanes.status, 200);
  assert.deepEqual(lanes.body.lanes, []);
});

test("the admin, for a tenant, sees a device always and everybody's names", async () => {
  const { body } = await dashboard.get<GpuMetrics>("/api/v1/gpus/GPU-secretive/metrics?from=-10m", {
    ...dashboard.admin,
    "x-axonize-tenant": b.id,
  });
  assert.deepEqual(
    body.holders.map(({ pod }) => pod),
    ["secretive-pod", "third-pod"],
  );
  const { startMs, utilizationRatio } = body.series;
  const seen = startMs.filter((_, at) => utilizationRatio[at] !== null);
  assert.ok(Math.min(...seen) < heldFromMs);
});

test("a key without scope Query reads nothing", async () => {
  const reply = await dashboard.send<{ key: string }>(
    "POST",
    "/api/v1/admin/tenants/team-a/keys",
    { scopes: ["Ingest"] },
    dashboard.admin,
  );
  assert.equal(reply.status, 201);
  const read = await dashboard.get("/api/v1/traces", { "x-axonize-key": reply.body.key });
  assert.equal(read.status, 403);
});

test("the admin key reads a tenant's data only when it says whose", async () => {
  assert.equal((await dashboard.get("/api/v1/traces", dashboard.admin)).status, 403);
  const reply = await dashboard.get<{ items: unknown[] }>("/api/v1/traces", {
    ...dashboard.admin,
    "x-axonize-tenant": "team-a",
  });
  assert.equal(reply.body.items.length, 1);
});
