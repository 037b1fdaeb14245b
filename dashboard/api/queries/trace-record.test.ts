// A trace from its spans in code and in the engine: one rule, held equal over random traces.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  buildCall,
  buildSpan,
  insertSpans,
  type TestSpan,
} from "../../../test/support/build-span.ts";
import { systemClock } from "@axonize/core/runtime/clock";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { useDashboard } from "../../../test/support/dashboard.ts";
import { createMetrics } from "../metrics.ts";
import { createQueries } from "./query.ts";
import { readTraceSpans, recordsFrom, traceRowsSql } from "./trace-row.sql.ts";
import type { TraceRecord } from "./trace-record.ts";

const dashboard = await useDashboard();
after(async () => await dashboard[Symbol.asyncDispose]());
const { clickhouse } = dashboard.stores;
const queries = createQueries({
  clickhouse,
  clock: systemClock,
  metrics: createMetrics(createRegistry()),
});
const base = Date.now() - 3_600_000;

/** Park and Miller's generator: the same traces for the same seed. */
function randomFrom(seed: number): (most: number) => number {
  let state = seed;
  return (most) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % most;
  };
}

/** Calls, tools and plain spans under each other, under nobody, and at the same instant. */
function randomTrace(random: (most: number) => number): TestSpan[] {
  const spans: TestSpan[] = [];
  const one = <T>(...values: readonly [T, ...T[]]): T => values[random(values.length)] ?? values[0];
  for (let count = 1 + random(9); count > 0; count -= 1) {
    const build = one(buildCall, buildSpan);
    const above = spans[random(spans.length + 1)];
    const phases = { queueMs: one(undefined, 5), prefillMs: one(undefined, 9) };
    const built = build({
      tenantNum: dashboard.a.num,
      startMs: base + random(4) * 10,
      durationMs: 1 + random(50),
      ...(spans[0] === undefined ? {} : { traceId: spans[0].traceId }),
      parentSpanId: above?.spanId ?? one("", "feedfeedfeedfeed"),
      model: one("", "small", "large"),
      provider: one("", "openai"),
      engine: one("", "vllm"),
      operation: one("", "chat", "execute_tool", "invoke_agent"),
      status: random(3),
      kind: 1 + random(3),
      session: one("", "s1", "s2"),
      user: one("", "u1"),
      service: one("web", "engine"),
      pod: one("", "pod-1", "pod-2"),
      gpus: one<string[]>([], ["GPU-b", "GPU-a"], ["GPU-c"]),
      gpuLevel: one("", "exact.single", "ambiguous"),
      marks: random(8),
      ...(build === buildCall ? phases : {}),
    });
    spans.push(built);
  }
  return spans;
}

test("code and engine make the same record of a trace", async () => {
  const seed = 1 + Math.floor(Math.random() * 1_000_000);
  const random = randomFrom(seed);
  const traces = Array.from({ length: 300 }, () => randomTrace(random));
  await insertSpans(clickhouse, traces.flat());
  const tenant = {
    id: dashboard.a.id,
    num: dashboard.a.num,
    name: "",
    capture: "None",
    spansPerSecond: undefined,
    bytesPerDay: undefined,
    retentionDays: 30,
    retentionClass: 30,
    burstSpans: undefined,
    onExceeded: "Reject",
    tracesPerMillion: 1_000_000,
    adminState: "Active",
    lifecycle: "active",
    payloadDays: 30,
    payloadRetentionClass: 30,
  } as const;
  const { signal } = new AbortController();
  const scope = { tenant, signal, fromMs: base - 1000, toMs: base + 60_000 };
  const ids = traces.flatMap(([first]) => (first === undefined ? [] : [first.traceId]));
  const request = {
    from: "{{spansOfTraces}} WHERE 1",
    params: { traceIds: ids },
    matches: "ttft_ns >= 1",
  };
  const spans = await readTraceSpans(queries, scope, request);
  assert.equal(spans?.length, traces.flat().length);
  const { rows } = await queries.rows<TraceRecord>(scope, traceRowsSql(request), request.params);
  const inEngine = new Map(rows.map((record) => [record.traceId, record]));
  assert.equal(inEngine.size, new Set(ids).size);
  for (const { servingPods: _, ...record } of recordsFrom(spans ?? [])) {
    const other = inEngine.get(record.traceId);
    // What the engine's statement needs for itself besides is not compared.
    const same = Object.fromEntries(
      Object.keys(record).map((name) => [name, other?.[name as keyof TraceRecord]]),
    );
    assert.deepEqual(record, same, `seed ${seed}`);
  }
});
