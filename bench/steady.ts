/**
 * A steady 20,000 spans a second into `npm start` for a minute (requests of 512 spans × 22 attributes
 * over OTLP/gRPC, sent on time whether or not the earlier ones were answered): what the process tree
 * holds at most, what it uses of the CPU, how long acknowledgements take, and what was refused.
 *
 * The sender runs in a process of its own and shares the machine; its CPU is told beside.
 */
import { fork } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePorts } from "../test/support/free-ports.ts";
import { grpcClient } from "../ingest/testing/start-ingest.ts";
import { llmRequest, withOtherIds } from "./otlp-payload.ts";
import { processTree, startProduct, totalMb, type Held } from "./support/product.ts";

const spansPerRequest = 512;
const seconds = Number(process.env["AXONIZE_BENCH_SECONDS"] ?? 60);
const spansPerSecond = Number(process.env["AXONIZE_BENCH_RATE"] ?? 20_000);
const barMb = 1_500;

interface Sent {
  acknowledged: number;
  refused: number;
  /** By gRPC status code. */
  failures: Record<number, number>;
  wallMs: number;
  cpuMs: number;
  ackMs: number[];
}

if (process.argv[2] === "send") await send(Number(process.argv[3]));
else await measure();

async function send(port: number): Promise<void> {
  const client = grpcClient(port);
  const originals = Array.from({ length: 4 }, (_, seed) =>
    llmRequest(seed, spansPerRequest, Date.now()),
  );
  const total = Math.round((seconds * spansPerSecond) / spansPerRequest);
  const everyMs = (spansPerRequest / spansPerSecond) * 1000;
  const sent: Sent = { acknowledged: 0, refused: 0, failures: {}, wallMs: 0, cpuMs: 0, ackMs: [] };
  const began = performance.now();
  const waiting: Promise<void>[] = [];
  for (let index = 0; index < total; index += 1) {
    const aheadMs = began + index * everyMs - performance.now();
    if (aheadMs > 0) await sleep(aheadMs);
    const body = withOtherIds(originals[index % originals.length] ?? Buffer.alloc(0), index + 1);
    const at = performance.now();
    waiting.push(
      (async () => {
        const { code } = await client.export("trace.v1.TraceService", body);
        sent.ackMs.push(performance.now() - at);
        if (code === 0) sent.acknowledged += 1;
        else {
          sent.refused += 1;
          sent.failures[code] = (sent.failures[code] ?? 0) + 1;
        }
      })(),
    );
  }
  await Promise.all(waiting);
  sent.wallMs = performance.now() - began;
  const { user, system } = process.cpuUsage();
  sent.cpuMs = Math.round((user + system) / 1000);
  process.send?.(sent, () => process.exit(0));
}

async function measure(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), "axonize-bench-"));
  const { otlpGrpc } = await freePorts("otlpGrpc");
  const product = await startProduct(dataDir, { otlpGrpc });
  const before = processTree(product.pid);
  let most = before;
  const sender = fork(import.meta.filename, ["send", String(otlpGrpc)]);
  const told = new Promise<Sent>((resolve, reject) => {
    sender.once("message", (message) => resolve(message as Sent)); // the sender's one message
    sender.once("exit", () => reject(new Error("the sender ended without a word")));
  });
  const began = performance.now();
  const watching = new AbortController();
  const watched = watch();
  const sent = await told;
  watching.abort();
  await watched;
  const wallMs = performance.now() - began;
  const after = processTree(product.pid);
  await product.stop();
  await rm(dataDir, { recursive: true, force: true });
  const { acknowledged, refused, failures, ackMs } = sent;
  ackMs.sort((a, b) => a - b);
  const figures = {
    machine: `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores, Node ${process.version}`,
    offeredPerSecond: spansPerSecond,
    acknowledgedPerSecond: Math.round((acknowledged * spansPerRequest) / (sent.wallMs / 1000)),
    refusedRequests: refused,
    failures,
    ackP50Ms: Math.round(ackMs[ackMs.length >> 1] ?? 0),
    ackP99Ms: Math.round(ackMs[Math.floor(ackMs.length * 0.99)] ?? 0),
    mostMb: totalMb(most),
    mostByProcess: most,
    coresByProcess: cores(before, after, wallMs),
    senderCores: Number((sent.cpuMs / sent.wallMs).toFixed(2)),
  };
  console.log(figures);
  const holds = figures.mostMb <= barMb && refused === 0;
  console.log(`memory at ${spansPerSecond} spans/s: ${figures.mostMb} MB, bar ${barMb} MB`);
  console.log(holds ? "holds" : "MISSED (or requests were refused)");
  const out = join(import.meta.dirname, "results");
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, "steady.json"), `${JSON.stringify(figures, undefined, 2)}\n`);

  async function watch(): Promise<void> {
    while (!watching.signal.aborted) {
      await sleep(500);
      const now = processTree(product.pid);
      if (totalMb(now) > totalMb(most)) most = now;
    }
  }
}

function cores(
  before: Readonly<Record<string, Held>>,
  after: Readonly<Record<string, Held>>,
  wallMs: number,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(after).map(([name, { cpuMs }]) => [
      name,
      Number(((cpuMs - (before[name]?.cpuMs ?? 0)) / wallMs).toFixed(2)),
    ]),
  );
}
