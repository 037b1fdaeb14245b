/**
 * Ingest end to end over the embedded stores: requests of 512 spans × 22 attributes from a generator
 * in a process of its own, acknowledged when ClickHouse has them.
 *
 * Tells spans per CPU-second of the ingest process alone (receiving, decoding, sending, durable ack;
 * the engine has its own process) and how long an acknowledgement takes, saturated and at ease.
 */
import { fork } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { cpus } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { openDatabases, startTestStores } from "../test/support/start-stores.ts";
import { grpcClient, startIngest } from "../ingest/testing/start-ingest.ts";
import { llmRequest, withOtherIds } from "./otlp-payload.ts";

const spansPerRequest = 512;

interface Job {
  transport: "grpc" | "http" | "http+gzip";
  port: number;
  requests: number;
  concurrency: number;
  seed: number;
}

interface Result {
  wallMs: number;
  ackMs: number[];
}

if (process.argv[2] === "generate") await generate();
else await measure();

async function generate(): Promise<void> {
  // The parent below is the one sender.
  const job = await new Promise<Job>((resolve) =>
    process.once("message", (m) => resolve(m as Job)),
  );
  const now = Date.now();
  const originals = Array.from({ length: 4 }, (_, seed) => llmRequest(seed, spansPerRequest, now));
  const bodies = Array.from({ length: job.requests }, (_, index) => {
    const body = withOtherIds(
      originals[index % originals.length] ?? Buffer.alloc(0),
      job.seed + index,
    );
    return job.transport === "http+gzip" ? gzipSync(body, { level: 1 }) : body;
  });
  const send = job.transport === "grpc" ? overGrpc(job.port) : overHttp(job);
  const go = new Promise((resolve) => process.once("message", resolve));
  process.send?.("ready");
  await go;
  const began = performance.now();
  const ackMs: number[] = [];
  const worker = async (): Promise<void> => {
    for (let body = bodies.pop(); body !== undefined; body = bodies.pop()) {
      const sentAt = performance.now();
      // Told to wait, as on a machine that does other work besides: the wait is part of the time.
      while (!(await send(body))) await new Promise((resolve) => setTimeout(resolve, 200));
      ackMs.push(performance.now() - sentAt);
    }
  };
  await Promise.all(Array.from({ length: job.concurrency }, worker));
  const result: Result = { wallMs: performance.now() - began, ackMs };
  process.send?.(result, () => process.exit(0));
}

/** True when acknowledged, false when told to wait. */
type Send = (body: Uint8Array) => Promise<boolean>;

function overGrpc(port: number): Send {
  const client = grpcClient(port);
  return async (body) => {
    const answer = await client.export("trace.v1.TraceService", body);
    if (answer.code !== 0 && answer.code !== 14) throw new Error(answer.message);
    return answer.code === 0;
  };
}

function overHttp(job: Job): Send {
  const agent = new Agent({ keepAlive: true, maxSockets: job.concurrency });
  const headers = {
    "content-type": "application/x-protobuf",
    ...(job.transport === "http+gzip" ? { "content-encoding": "gzip" } : {}),
  };
  return async (body) => {
    return await new Promise<boolean>((resolve, reject) => {
      const sending = request(
        {
          agent,
          port: job.port,
          host: "127.0.0.1",
          path: "/v1/traces",
          method: "POST",
          headers: { ...headers, "content-length": body.length },
        },
        (answer) => {
          answer.resume();
          answer.once("end", () => {
            const { statusCode = 0 } = answer;
            if ([200, 429, 503].includes(statusCode)) resolve(statusCode === 200);
            else reject(new Error(`HTTP status ${statusCode}`));
          });
        },
      );
      sending.on("error", reject);
      sending.end(body);
    });
  };
}

async function measure(): Promise<void> {
  const engines = await startTestStores();
  const stores = await openDatabases(engines);
  const running = await startIngest(stores);
  const ports = { grpc: running.grpcPort, http: running.httpPort, "http+gzip": running.httpPort };
  const results: Record<string, unknown>[] = [];
  let seed = 0;
  const run = async (transport: Job["transport"], requests: number, concurrency: number) => {
    seed += 10_000;
    const child = fork(import.meta.filename, ["generate"]);
    const next = async <T>(): Promise<T> =>
      await new Promise((resolve) => child.once("message", (message) => resolve(message as T)));
    child.send({ transport, port: ports[transport], requests, concurrency, seed } satisfies Job);
    await next<string>();
    const cpu = process.cpuUsage();
    child.send("go");
    const { wallMs, ackMs } = await next<Result>();
    const used = process.cpuUsage(cpu);
    const spans = requests * spansPerRequest;
    const sorted = ackMs.sort((a, b) => a - b);
    return {
      transport,
      concurrency,
      spansPerCpuSecond: Math.round(spans / ((used.user + used.system) / 1e6)),
      spansPerSecond: Math.round(spans / (wallMs / 1000)),
      ackP50Ms: Math.round(sorted[sorted.length >> 1] ?? 0),
      ackP99Ms: Math.round(sorted[Math.floor(sorted.length * 0.99)] ?? 0),
      rssMiB: Math.round(process.memoryUsage().rss / 2 ** 20),
    };
  };
  const report = (figures: Record<string, unknown>): void => {
    results.push(figures);
    console.log(
      Object.entries(figures)
        .map(([name, value]) => `${name} ${String(value)}`)
        .join("  "),
    );
  };
  await run("http", 120, 16); // warm
  await run("grpc", 120, 16);
  for (const transport of ["grpc", "http", "http+gzip"] as const) {
    const passes = [];
    for (let pass = 0; pass < 3; pass += 1) passes.push(await run(transport, 120, 16));
    passes.sort((a, b) => a.spansPerCpuSecond - b.spansPerCpuSecond);
    report({ load: "saturated, median of 3", ...passes[1] });
  }
  report({ load: "one at a time", ...(await run("grpc", 30, 1)) });
  const stored = await stores.clickhouse.query({
    query: "SELECT count() AS n FROM spans FINAL",
    format: "JSONEachRow",
  });
  const [count] = await stored.json<{ n: string | number }>();
  const expected = (2 * 120 + 9 * 120 + 30) * spansPerRequest;
  console.log(`stored ${Number(count?.n)} of ${expected} acknowledged spans`);
  const out = join(import.meta.dirname, "results");
  mkdirSync(out, { recursive: true });
  writeFileSync(
    join(out, "ingest.json"),
    `${JSON.stringify({ cpu: cpus()[0]?.model, cores: cpus().length, node: process.version, results }, null, 2)}\n`,
  );
  await running[Symbol.asyncDispose]();
  await stores[Symbol.asyncDispose]();
  await engines.stop();
  process.exit(Number(count?.n) === expected ? 0 : 1);
}
