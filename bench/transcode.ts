/**
 * OTLP bytes → finished Native blocks, beside protobufjs decoding the same bytes into objects, in
 * the same process: medians of alternating passes, so that both meet the same machine.
 *
 * The payload is that of the Collector's comparison: 512 spans × 22 attributes (7 strings, 14
 * numbers, one array), 10 resource attributes, an event on every eighth span, about 975 B a span.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { createTraceDecoder } from "../ingest/decode/trace-decoder.ts";
import { RequestType } from "../ingest/decode/testing/otlp.ts";
import { llmRequest } from "./otlp-payload.ts";

const spans = 512;
const distinct = 40;
const passes = 15;
const receivedMs = Date.now();
const bodies = Array.from({ length: distinct }, (_, i) => llmRequest(i, spans, receivedMs));
const wireBytes = bodies.reduce((sum, body) => sum + body.length, 0) / distinct / spans;

const decoder = createTraceDecoder();
const context = {
  tenantNum: 1,
  capture: "None",
  retentionClass: 30,
  payloadRetentionClass: 30,
  receivedMs,
} as const;

/** Spans per second of one pass over all bodies; blocks are taken every 16 requests (8,192 spans). */
function transcode(): number {
  const began = performance.now();
  let bytes = 0;
  bodies.forEach((body, i) => {
    const result = decoder.decodeProtobuf(body, context);
    if (!result.ok || result.accepted !== spans) throw new Error("the payload must be accepted");
    if (i % 16 === 15) for (const block of decoder.take()) bytes += block.bytes.length;
  });
  for (const block of decoder.take()) bytes += block.bytes.length;
  blockBytes = bytes / distinct / spans;
  return (spans * distinct) / ((performance.now() - began) / 1000);
}
let blockBytes = 0;

let sink = 0;
function protobufjs(): number {
  const began = performance.now();
  for (const body of bodies) {
    sink += Object.keys(RequestType.decode(body)).length;
  }
  return (spans * distinct) / ((performance.now() - began) / 1000);
}

const ours: number[] = [];
const theirs: number[] = [];
for (let pass = -4; pass < passes; pass += 1) {
  const a = transcode();
  const b = protobufjs();
  if (pass < 0) continue;
  ours.push(a);
  theirs.push(b);
}
if (sink === 0) throw new Error("protobufjs decoded nothing");
const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? 0;
const result = {
  spansPerSecond: Math.round(median(ours)),
  protobufjsSpansPerSecond: Math.round(median(theirs)),
  ratio: Number((median(ours) / median(theirs)).toFixed(2)),
  wireBytesPerSpan: Math.round(wireBytes),
  blockBytesPerSpan: Math.round(blockBytes),
};
console.log(result);
console.log(`bar: ratio ≥ 6 → ${result.ratio >= 6 ? "held" : "missed"}`);
await mkdir(join(import.meta.dirname, "results"), { recursive: true });
await writeFile(
  join(import.meta.dirname, "results", "transcode.json"),
  `${JSON.stringify({ machine: `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores`, ...result }, undefined, 2)}\n`,
);
