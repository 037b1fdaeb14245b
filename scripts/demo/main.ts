/**
 * `npm run demo`: sends the generated fleet (fleet.ts) to a running Axonize, first the past as fast
 * as it is taken, then the present in real time. Reads the clock and the command line; all load is
 * made elsewhere.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { bar, clockTime, count, createShow, duration, summary, type Show } from "./console.ts";
import { createFleet, type Fleet } from "./fleet.ts";
import { help, readOptions, type DemoOptions } from "./options.ts";
import type { DemoPoint, DemoSpan } from "./otlp.ts";
import { createSender, DemoError, type Sender } from "./send.ts";

/** Spans in one request: about 1.5 MB, far below what receivers allow. */
const spansPerRequest = 2000;
const pointsPerRequest = 8000;
/** Requests under way at once in the back-fill. */
const requestsAtOnce = 4;
/** Generated time between two looks at the fleet in the back-fill. */
const backfillStepMs = 5000;
const backfillGpuTickMs = 5000;
const liveGpuTickMs = 1000;
const liveStepMs = 1000;

const options = readOptions(process.argv.slice(2), process.env);
if (options === "help") {
  process.stdout.write(help);
  process.exit(0);
}
if ("problem" in options) {
  process.stderr.write(`${options.problem}.\n\n${help}`);
  process.exit(2);
}
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
process.exitCode = await demo(options, createShow(process.stdout), stop.signal);

async function demo(options: DemoOptions, show: Show, signal: AbortSignal): Promise<number> {
  const sender = createSender({ ...options, signal });
  const anchorMs = Date.now();
  const fleet = createFleet({
    ...options,
    startMs: anchorMs - options.backfillMs,
    anchorMs,
    gpuTickMs: backfillGpuTickMs,
  });
  show.line("");
  show.line("  Axonize demo: generated load. Nothing is really called, and no GPU really works;");
  show.line("  every resource says axonize.demo=true.");
  show.line(`  To ${options.endpoint}, seed ${options.seed}, ${options.tracesPerSecond} traces/s.`);
  show.line("");
  try {
    if (options.backfillMs > 0)
      await backfill(fleet, sender, { ...options, anchorMs }, show, signal);
    if (options.backfillMs > anchorMs - fleet.incident.fromMs) hint(fleet, show);
    if (options.durationMs !== 0) await live(fleet, sender, options.durationMs, show, signal);
  } catch (error) {
    show.end();
    if (error instanceof DemoError) {
      process.stderr.write(`\n${error.message}\n`);
      return 1;
    }
    // Ctrl-C ends whatever was waiting; everything else is a bug.
    if (!signal.aborted) throw error;
  }
  show.line("");
  show.line(`  ${signal.aborted ? "Stopped" : "Done"}: ${summary(sender.sent)}.`);
  return 0;
}

function hint(fleet: Fleet, show: Show): void {
  const { fromMs, toMs } = fleet.incident;
  show.line("");
  show.line(
    `  Worth finding: users had to wait between ${clockTime(fromMs)} and ${clockTime(toMs)}.`,
  );
  show.line(
    "  Which model, which pod, and which GPU was it? The dashboard's Overview shows the way.",
  );
  show.line("");
}

/** The past, as fast as the receiver takes it. */
async function backfill(
  fleet: Fleet,
  sender: Sender,
  options: { backfillMs: number; anchorMs: number },
  show: Show,
  signal: AbortSignal,
): Promise<void> {
  const startMs = options.anchorMs - options.backfillMs;
  const begun = performance.now();
  const span = duration(options.backfillMs);
  const queue = createQueue(sender);
  for (let toMs = startMs; toMs < options.anchorMs;) {
    signal.throwIfAborted();
    toMs = Math.min(options.anchorMs, toMs + backfillStepMs);
    const { spans, points } = fleet.advance(toMs);
    await queue.add(spans, points);
    const share = (toMs - startMs) / options.backfillMs;
    const perSecond = (sender.sent.spans / (performance.now() - begun)) * 1000;
    show.progress(
      `  Back-fill ${span}  ${bar(share)} ${String(Math.floor(share * 100)).padStart(3)} %  ${count(sender.sent.spans)} spans, ${count(perSecond)}/s`,
    );
  }
  await queue.drain();
  const seconds = (performance.now() - begun) / 1000;
  show.progress(`  Back-fill ${span}  ${bar(1)} 100 %`);
  show.line(`  Back-fill of ${span} done in ${seconds.toFixed(1)} s: ${summary(sender.sent)}.`);
}

/** Collects to full requests and keeps a few under way. */
function createQueue(sender: Sender): {
  add(spans: readonly DemoSpan[], points: readonly DemoPoint[]): Promise<void>;
  drain(): Promise<void>;
} {
  let spans: DemoSpan[] = [];
  let points: DemoPoint[] = [];
  const underWay = new Set<Promise<void>>();
  let failure: unknown;
  const start = async (sending: Promise<void>): Promise<void> => {
    const settled: Promise<void> = sending
      .catch((error: unknown) => {
        // Kept and thrown at the next await of the caller, so that no rejection goes unheard.
        failure ??= error;
      })
      .finally(() => underWay.delete(settled));
    underWay.add(settled);
    if (underWay.size >= requestsAtOnce) await Promise.race(underWay);
    if (failure !== undefined) throw failure;
  };
  const flush = async (spansAtLeast: number, pointsAtLeast: number): Promise<void> => {
    while (spans.length >= spansAtLeast) {
      await start(sender.spans(spans.slice(0, spansPerRequest)));
      spans = spans.slice(spansPerRequest);
    }
    while (points.length >= pointsAtLeast) {
      await start(sender.points(points.slice(0, pointsPerRequest)));
      points = points.slice(pointsPerRequest);
    }
  };
  return {
    add: async (moreSpans, morePoints) => {
      spans.push(...moreSpans);
      points.push(...morePoints);
      await flush(spansPerRequest, pointsPerRequest);
    },
    drain: async () => {
      await flush(1, 1);
      await Promise.all(underWay);
      if (failure !== undefined) throw failure;
    },
  };
}

/** The present: once a second what ended in it, as real senders do. */
async function live(
  fleet: Fleet,
  sender: Sender,
  durationMs: number | undefined,
  show: Show,
  signal: AbortSignal,
): Promise<void> {
  fleet.setGpuTick(liveGpuTickMs);
  const queue = createQueue(sender);
  const endMs = durationMs === undefined ? Infinity : Date.now() + durationMs;
  const advanceTo = async (nowMs: number): Promise<void> => {
    const { spans, points } = fleet.advance(nowMs);
    await queue.add(spans, points);
    await queue.drain();
  };
  show.line("  Live from here on. Ctrl-C stops it.");
  // What ended while the back-fill ran is sent first and does not count as the live rate.
  await advanceTo(Date.now());
  const before = sender.sent.spans;
  const begun = performance.now();
  while (!signal.aborted && Date.now() < endMs) {
    await advanceTo(Date.now());
    const seconds = (performance.now() - begun) / 1000;
    const perSecond = (sender.sent.spans - before) / Math.max(1, seconds);
    show.progress(
      `  Live ${duration(seconds * 1000)}  ${perSecond.toFixed(0)} spans/s  ${summary(sender.sent)}`,
    );
    await sleep(liveStepMs, undefined, { signal });
  }
}
