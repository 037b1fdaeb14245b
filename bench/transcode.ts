/**
 * OTLP bytes → finished Native blocks, beside protobufjs decoding the same bytes into objects. Each
 * has a process of its own, so that neither pays for the other's garbage, and their passes alternate,
 * so that both meet the same machine. Figures are processor time of all threads of a process (one
 * core's worth, collection included), medians of passes.
 *
 * The payload is that of the Collector's comparison: 512 spans × 22 attributes (7 strings, 14
 * numbers, one array), 10 resource attributes, an event on every eighth span, about 975 B a span.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { createTraceDecoder } from "../ingest/decode/trace-decoder.ts";
import { RequestType } from "../ingest/decode/testing/otlp.ts";
import { llmRequest } from "./otlp-payload.ts";

const spans = 512;
const distinct = 40;
const warmUps = 6;
const passes = 15;
const sides = ["transcode", "protobufjs"] as const;

const [, , side, startedMs] = process.argv;
if (side === undefined) await compare();
else answerPasses(side, Number(startedMs));

/** A child: every message is answered with the µs per span that one pass over all bodies took. */
function answerPasses(side: string, receivedMs: number): void {
  const bodies = Array.from({ length: distinct }, (_, i) => llmRequest(i, spans, receivedMs));
  const pass = side === "protobufjs" ? protobufjs(bodies) : transcode(bodies, receivedMs);
  process.on("message", () => {
    const began = process.cpuUsage();
    const bytes = pass();
    const { user, system } = process.cpuUsage(began);
    process.send?.({ us: (user + system) / spans / distinct, bytes });
  });
}

/** Answers bytes of blocks; they are taken every 16 requests (8,192 spans). */
function transcode(bodies: readonly Uint8Array[], receivedMs: number): () => number {
  const decoder = createTraceDecoder();
  const context = {
    tenantNum: 1,
    capture: "None",
    retentionClass: 30,
    payloadRetentionClass: 30,
    receivedMs,
  } as const;
  return () => {
    let bytes = 0;
    bodies.forEach((body, i) => {
      const result = decoder.decodeProtobuf(body, context);
      if (!result.ok || result.accepted !== spans) throw new Error("the payload must be accepted");
      if (i % 16 !== 15 && i !== distinct - 1) return;
      for (const block of decoder.take()) {
        bytes += block.bytes.length;
        // As the writer does when ClickHouse has it: the block's memory is used again.
        block.committed();
      }
    });
    return bytes;
  };
}

/** Answers bytes of wire. */
function protobufjs(bodies: readonly Uint8Array[]): () => number {
  return () => {
    let bytes = 0;
    for (const body of bodies) {
      if (Object.keys(RequestType.decode(body)).length > 0) bytes += body.length;
    }
    return bytes;
  };
}

async function compare(): Promise<void> {
  const nowMs = Date.now();
  const children = sides.map((side) => fork(import.meta.filename, [side, String(nowMs)]));
  const us = sides.map((): number[] => []);
  const bytes = sides.map(() => 0);
  for (let pass = -warmUps; pass < passes; pass += 1) {
    for (const [i, child] of children.entries()) {
      const answer = await ask(child);
      if (pass >= 0) us[i]?.push(answer.us);
      bytes[i] = answer.bytes;
    }
  }
  for (const child of children) child.disconnect();
  const [ours = NaN, theirs = NaN] = us.map(median);
  const [blockBytes = NaN, wireBytes = NaN] = bytes;
  const result = {
    usPerSpan: Number(ours.toFixed(2)),
    protobufjsUsPerSpan: Number(theirs.toFixed(2)),
    ratio: Number((theirs / ours).toFixed(2)),
    wireBytesPerSpan: Math.round(wireBytes / spans / distinct),
    blockBytesPerSpan: Math.round(blockBytes / spans / distinct),
  };
  console.log(result);
  console.log(`bar: ratio ≥ 6 → ${result.ratio >= 6 ? "held" : "missed"}`);
  await mkdir(join(import.meta.dirname, "results"), { recursive: true });
  await writeFile(
    join(import.meta.dirname, "results", "transcode.json"),
    `${JSON.stringify({ machine: `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores`, ...result }, undefined, 2)}\n`,
  );
}

async function ask(child: ChildProcess): Promise<{ us: number; bytes: number }> {
  const answered = once(child, "message");
  child.send("pass");
  const [answer] = await answered;
  // What answerPasses sends.
  return answer as { us: number; bytes: number };
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? NaN;
}
