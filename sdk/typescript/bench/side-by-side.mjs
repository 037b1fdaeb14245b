/**
 * One Node's figures: this SDK beside OpenTelemetry's in one process, the same job, back to back. Plain
 * JavaScript, because Node 20 runs nothing else. Prints one line of JSON; bench/sdk-typescript.ts starts
 * it and explains the rows.
 *
 * Loops are bursts that fit both queues; queues are emptied between bursts, outside the measured time,
 * so that nothing is dropped. What is measured is CPU time of the process (a loaded machine stretches the
 * clock, not that), in ns per operation, medians of the rounds. Our worker sleeps during most bursts; where
 * it does not, its work counts against us.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { createRequire } from "node:module";

const [peers, sdk, endpoint, rounds = "31"] = process.argv.slice(2);
const require = createRequire(`${peers}/package.json`);
const { trace } = require("@opentelemetry/api");
const { BatchSpanProcessor, NodeTracerProvider } = require("@opentelemetry/sdk-trace-node");
const { ProtobufTraceSerializer } = require("@opentelemetry/otlp-transformer");
const axonize = await import(sdk);

const burst = 1000;
let exported = [];
const exporter = {
  export(spans, done) {
    exported = spans;
    done({ code: 0 });
  },
  shutdown: async () => undefined,
};
const processor = new BatchSpanProcessor(exporter, {
  maxQueueSize: 1 << 16,
  maxExportBatchSize: burst,
  scheduledDelayMillis: 3_600_000,
});
const provider = new NodeTracerProvider({ spanProcessors: [processor] });
provider.register();
const tracer = trace.getTracer("bench");
axonize.init({ endpoint, serviceName: "bench", batchSize: 8192, flushIntervalMs: 3_600_000 });

const five = (span) => {
  span.setAttribute("gen_ai.request.model", "llama-3-70b");
  span.setAttribute("gen_ai.operation.name", "chat");
  span.setAttribute("gen_ai.usage.input_tokens", 128);
  span.setAttribute("gen_ai.request.temperature", 0.7);
  span.setAttribute("gen_ai.request.stream", true);
};
const nothing = () => undefined;
const otelFive = (span) => {
  five(span);
  span.end();
};
const otelEnd = (span) => span.end();

const ours = async () => {
  if (!(await axonize.flush(30_000))) throw new Error("the sink did not take the spans");
};
const theirs = async () => await processor.forceFlush();
const nowNs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
};
const job = (count, run) => () => {
  const began = nowNs();
  for (let i = 0; i < count; i++) run();
  return (nowNs() - began) / count;
};
const tokens = 20_000;
const rows = {
  "empty span": [
    job(burst, () => axonize.span("work", nothing)),
    job(burst, () => tracer.startActiveSpan("work", otelEnd)),
  ],
  "span with 5 attributes": [
    job(burst, () => axonize.span("work", five)),
    job(burst, () => tracer.startActiveSpan("work", otelFive)),
  ],
  "main thread, 5 attributes and encoding": [
    job(burst, () => axonize.span("work", five)),
    () => {
      const began = nowNs();
      for (let i = 0; i < burst; i++) tracer.startActiveSpan("work", otelFive);
      const created = nowNs() - began;
      return (async () => {
        await processor.forceFlush();
        const serialising = nowNs();
        // 512 at a time, as the processor hands them out by default.
        for (let at = 0; at < burst; at += 512) {
          ProtobufTraceSerializer.serializeRequest(exported.slice(at, at + 512));
        }
        return (created + nowNs() - serialising) / burst;
      })();
    },
  ],
  "recordToken / addEvent": [
    () => {
      const span = axonize.startLlmSpan("call");
      const took = job(tokens, () => span.recordToken())();
      span.end();
      return took;
    },
    () => {
      const span = tracer.startSpan("call");
      const took = job(tokens, () => span.addEvent("token"))();
      span.end();
      return took;
    },
  ],
};

const result = {};
for (const [name, [mine, other]] of Object.entries(rows)) {
  const figures = [[], []];
  for (let round = -5; round < Number(rounds); round++) {
    const a = await mine();
    await ours();
    const b = await other();
    await theirs();
    if (round < 0) continue;
    figures[0].push(a);
    figures[1].push(b);
  }
  const [axonizeNs, otelNs] = figures.map(median);
  result[name] = { axonizeNs, otelNs, ratio: otelNs / axonizeNs };
}

const als = new AsyncLocalStorage();
const floor = {
  "performance.now()": median(
    Array.from(
      { length: 15 },
      job(100_000, () => performance.now()),
    ),
  ),
  "AsyncLocalStorage.run": median(
    Array.from(
      { length: 15 },
      job(100_000, () => als.run(als, nothing)),
    ),
  ),
};
await axonize.shutdown(5000);
const report = { node: process.version, rows: result, floor, dropped: axonize.stats().dropped };
process.stdout.write(`${JSON.stringify(report)}\n`);
process.exit(0);

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
