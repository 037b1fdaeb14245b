/**
 * `npm run bench -- queries`: how fast the API answers over five million spans of one day, through
 * HTTP as a browser asks, for a tenant that has 80 % of them.
 *
 * Bars (issue "Foundation" §7): list with any filter p95 ≤ 300 ms, trace by id p95 ≤ 100 ms,
 * overview of 24 h p95 ≤ 300 ms. Each query is asked for other moments and values each time, so
 * that no figure is that of one lucky answer. `AXONIZE_BENCH_SPANS` makes it smaller.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { createAccess } from "@axonize/core/runtime/access";
import { systemClock } from "@axonize/core/runtime/clock";
import { silentLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { createDashboard } from "../dashboard/api/app.ts";
import { openDatabases, startTestStores } from "../test/support/start-stores.ts";
import { generateSpans, spansPerTrace } from "./spans-generator.ts";

const spans = Number(process.env["AXONIZE_BENCH_SPANS"] ?? 5_000_000);
const adminKey = "bench-admin-key-0123456789abcdef";
const dayMs = 86_400_000;

await using stack = new AsyncDisposableStack();
const engines = await startTestStores();
stack.defer(async () => await engines.stop());
const stores = stack.use(await openDatabases(engines));
const tenants: number[] = [];
for (const id of ["large", "second", "third"]) {
  const [row] = await stores.sql<{ num: number }[]>`
    INSERT INTO tenants (id, name) VALUES (${id}, ${id}) RETURNING num`;
  tenants.push(row?.num ?? 0);
}
const toMs = Math.floor(Date.now() / 60_000) * 60_000;
const [large = 0, second = 0, third = 0] = tenants;
const loadStarted = performance.now();
await generateSpans(stores.clickhouse, {
  tenants: [large, second, third],
  traces: Math.floor(spans / spansPerTrace),
  fromMs: toMs - dayMs,
  toMs,
  tracesPerBlock: 6_250,
});
console.log(`${spans} spans generated in ${seconds(performance.now() - loadStarted)}`);
await settle();

const access = stack.use(
  await createAccess(
    { sql: stores.sql, clock: systemClock, log: silentLog },
    { adminKey, loopbackTenant: undefined },
  ),
);
const dashboard = stack.use(
  await createDashboard(
    {
      clickhouse: stores.clickhouse,
      sql: stores.sql,
      access,
      clock: systemClock,
      log: silentLog,
      registry: createRegistry(),
    },
    {
      listen: { host: "127.0.0.1", port: 0 },
      mode: "standalone",
      keylessLoopback: false,
      otlpGrpcEndpoint: "",
      otlpHttpEndpoint: "",
      webRoot: undefined,
      version: "bench",
    },
  ),
);

const day = `from=${toMs - dayMs}&to=${toMs}`;
/** The n-th of several hours of the day, for lists that a person pages through. */
const moment = (n: number): string =>
  `from=${toMs - dayMs}&to=${toMs - ((n * 7) % 20) * 3_600_000}`;
const list = (filter: (n: number) => string) => (n: number) =>
  `/api/v1/traces?${moment(n)}&${filter(n)}`;
const traceIds = await sampleTraceIds();

const cases: { name: string; rounds: number; barMs?: number; path: (n: number) => string }[] = [
  { name: "list, no filter", rounds: 20, barMs: 300, path: list(() => "") },
  { name: "list, service", rounds: 20, barMs: 300, path: list(() => "service=gateway") },
  { name: "list, model", rounds: 20, barMs: 300, path: list(() => "model=qwen3-32b") },
  { name: "list, engine", rounds: 20, barMs: 300, path: list(() => "engine=sglang") },
  { name: "list, environment", rounds: 20, barMs: 300, path: list(() => "environment=staging") },
  { name: "list, errors", rounds: 20, barMs: 300, path: list(() => "status=error") },
  { name: "list, slow", rounds: 20, barMs: 300, path: list(() => "minDurationMs=8000") },
  { name: "list, TTFT", rounds: 20, barMs: 300, path: list(() => "minTtftMs=1500") },
  { name: "list, tokens", rounds: 20, barMs: 300, path: list(() => "minTokens=4700") },
  { name: "list, GPU", rounds: 20, barMs: 300, path: list((n) => `gpu=GPU-${n % 32}`) },
  { name: "list, pod", rounds: 20, barMs: 300, path: list((n) => `pod=engine-${n % 64}`) },
  {
    name: "list, session",
    rounds: 20,
    barMs: 300,
    path: list((n) => `session=session-${n * 700}`),
  },
  { name: "list, user", rounds: 20, barMs: 300, path: list((n) => `user=user-${n * 997}`) },
  { name: "list, text", rounds: 20, barMs: 300, path: list(() => "q=documents") },
  { name: "list, nothing found", rounds: 10, barMs: 300, path: list(() => "model=none") },
  { name: "list, calls", rounds: 10, barMs: 300, path: list(() => "calls=true") },
  {
    name: "list, calls, tokens",
    rounds: 10,
    barMs: 300,
    path: list(() => "calls=true&minTokens=4700"),
  },
  {
    name: "list, slowest of the day",
    rounds: 5,
    path: () => `/api/v1/traces?${day}&sort=duration`,
  },
  { name: "list, by TTFT", rounds: 5, path: () => `/api/v1/traces?${day}&sort=ttft` },
  {
    name: "trace by id",
    rounds: 40,
    barMs: 100,
    path: (n) => `/api/v1/traces/${traceIds[n % traceIds.length]}`,
  },
  {
    name: "facets, 1 h",
    rounds: 10,
    path: () => `/api/v1/facets?from=${toMs - 3_600_000}&to=${toMs}`,
  },
  { name: "facets, 24 h", rounds: 3, path: () => `/api/v1/facets?${day}` },
  { name: "heat map, 24 h, first", rounds: 1, path: () => `/api/v1/analytics/heatmap?${day}` },
  { name: "heat map, 24 h", rounds: 20, path: () => `/api/v1/analytics/heatmap?${day}` },
  { name: "overview, 24 h, first", rounds: 1, path: () => `/api/v1/analytics/overview?${day}` },
  {
    name: "overview, 24 h",
    rounds: 20,
    barMs: 300,
    path: () => `/api/v1/analytics/overview?${day}`,
  },
];

const results: Record<string, unknown>[] = [];
for (const { name, rounds, barMs, path } of cases) {
  const times: number[] = [];
  for (let n = 0; n < rounds; n += 1) times.push(await timed(path(n)));
  times.sort((x, y) => x - y);
  const p50 = times[Math.floor(times.length * 0.5)] ?? 0;
  const p95 = times[Math.min(times.length - 1, Math.floor(times.length * 0.95))] ?? 0;
  const verdict = barMs === undefined ? "" : p95 <= barMs ? `≤ ${barMs}` : `MISSES ${barMs}`;
  console.log(
    `${name.padEnd(26)} p50 ${p50.toFixed(0).padStart(5)} ms   p95 ${p95.toFixed(0).padStart(5)} ms   ${verdict}`,
  );
  results.push({ name, rounds, p50Ms: p50, p95Ms: p95, barMs });
}
const folder = join(import.meta.dirname, "results");
await mkdir(folder, { recursive: true });
await writeFile(
  join(folder, "queries.json"),
  `${JSON.stringify({ machine: cpus()[0]?.model, cores: cpus().length, spans, results }, undefined, 2)}\n`,
);

async function timed(path: string): Promise<number> {
  const started = performance.now();
  const response = await fetch(
    `http://${dashboard.address.host}:${dashboard.address.port}${path}`,
    { headers: { authorization: `Bearer ${adminKey}`, "x-axonize-tenant": "large" } },
  );
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text.slice(0, 300)}`);
  return performance.now() - started;
}

async function sampleTraceIds(): Promise<string[]> {
  const answer = await stores.clickhouse.query({
    query: `SELECT lower(hex(trace_id)) AS id FROM trace_index WHERE tenant_id = {tenant:UInt32}
      ORDER BY cityHash64(trace_id) LIMIT 40`,
    query_params: { tenant: large },
    format: "JSONEachRow",
  });
  return (await answer.json<{ id: string }>()).map(({ id }) => id);
}

/** Waits until background merges have caught up, as they have on a store that has run for a day. */
async function settle(): Promise<void> {
  for (let waited = 0; waited < 60; waited += 1) {
    const answer = await stores.clickhouse.query({
      query: "SELECT count() AS n FROM system.merges",
      format: "JSONEachRow",
    });
    const [row] = await answer.json<{ n: number }>();
    if (row === undefined || row.n === 0) return;
    await systemClock.sleep(1000);
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
