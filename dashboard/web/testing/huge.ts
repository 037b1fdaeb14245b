/**
 * A trace of any number of spans, twenty-odd levels deep, for the budgets: no objects per span.
 */
import type { SpanColumns } from "@axonize/core/contract/trace";
import { createRandom } from "./random.ts";

/** A trace of `count` spans, twenty-odd levels deep, with a few errors and model calls. */
export function makeHugeColumns(count: number, seed: number): SpanColumns {
  const random = createRandom(seed);
  const strings = [
    "",
    "workflow",
    "plan",
    "retrieve",
    "tool call",
    "chat llama-3.1-70b",
    "embed",
    "rerank",
    "write",
    "agent",
    "engine",
    "chat",
    "execute_tool",
    "embeddings",
    "llama-3.1-70b",
  ];
  const totalUs = 600e6;
  const starts = new Float64Array(count);
  const durations = new Float64Array(count);
  const parents = new Int32Array(count);
  const depth = new Uint8Array(count);
  starts[0] = 0;
  durations[0] = totalUs;
  parents[0] = -1;
  // Children of random earlier spans that still have room, then sorted by start.
  for (let i = 1; i < count; i += 1) {
    let p =
      random.next() < 0.3
        ? Math.floor(random.next() * Math.min(i, 40))
        : Math.floor(random.next() * i);
    for (let tries = 0; tries < 4 && ((depth[p] ?? 0) > 22 || (durations[p] ?? 0) < 40); tries += 1)
      p = Math.floor(random.next() * i);
    const room = durations[p] ?? 1;
    starts[i] = (starts[p] ?? 0) + random.next() * room * 0.9;
    durations[i] = Math.max(
      5,
      (room - ((starts[i] ?? 0) - (starts[p] ?? 0))) * random.between(0.05, 0.8),
    );
    parents[i] = p;
    depth[i] = (depth[p] ?? 0) + 1;
  }
  const order = Array.from({ length: count }, (_, i) => i).sort(
    (a, b) => (starts[a] ?? 0) - (starts[b] ?? 0),
  );
  const rowOf = new Int32Array(count);
  order.forEach((draft, row) => (rowOf[draft] = row));
  const calls = order.map(() => random.next() < 0.06);
  const nulls = order.map(() => null);
  return {
    strings,
    spanId: order.map((_, i) => i.toString(16).padStart(16, "0")),
    parent: order.map((i) => ((parents[i] ?? -1) < 0 ? -1 : (rowOf[parents[i] ?? 0] ?? -1))),
    orphan: [],
    nameIndex: order.map((i, row) => (i === 0 ? 1 : calls[row] ? 5 : 2 + (i % 7))),
    serviceIndex: order.map((i, row) => (calls[row] ? 10 : i % 5 === 0 ? 9 : 1)),
    modelIndex: calls.map((call) => (call ? 14 : 0)),
    engineIndex: order.map(() => 0),
    operationIndex: order.map((i, row) =>
      calls[row] ? 11 : i % 7 === 2 ? 12 : i % 7 === 4 ? 13 : 0,
    ),
    kind: order.map((i) => (i % 4 === 0 ? 3 : 1)),
    status: order.map(() => (random.next() < 0.002 ? 2 : 1)),
    startUs: order.map((i) => Math.round(starts[i] ?? 0)),
    durationUs: order.map((i) => Math.round(durations[i] ?? 0)),
    ttftUs: nulls,
    queueUs: order.map((i, row) => (calls[row] ? (durations[i] ?? 0) * 0.1 : null)),
    prefillUs: order.map((i, row) => (calls[row] ? (durations[i] ?? 0) * 0.25 : null)),
    decodeUs: order.map((i, row) => (calls[row] ? (durations[i] ?? 0) * 0.6 : null)),
    inputTokens: nulls,
    outputTokens: nulls,
    marks: order.map(() => 0),
  };
}
