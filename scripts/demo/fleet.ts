/**
 * The whole generated fleet, as a clock that is turned by its caller: `advance` gives every span that
 * ended and every GPU point that fell due since the last call.
 *
 * Pure and seeded: the same seed, start and anchor give the same spans, whatever the steps of
 * `advance` are. Nothing here reads a clock or the network, so benches and screenshots can use it.
 */
import { createCluster, type Cluster } from "./cluster.ts";
import { createGpuLoad } from "./gpu-load.ts";
import { createIncident, type Incident } from "./incident.ts";
import type { DemoPoint, DemoSpan } from "./otlp.ts";
import { createRandom, type Random } from "./random.ts";
import { createScene, type Person, type Scene } from "./scene.ts";
import { researchAgent, supportAgent } from "./agents.ts";
import { chatWeb, codeReview, image, indexer, mobile, reasoner, summarizer } from "./scenes.ts";

export interface FleetOptions {
  seed: number;
  /** Where generated time begins. */
  startMs: number;
  /** "Now": the incident is 38 to 16 minutes before it. */
  anchorMs: number;
  /** Mean of new traces a second over a day; a trace has about ten spans. */
  tracesPerSecond: number;
  /** Time between the GPU points of a device. */
  gpuTickMs: number;
}

export interface Fleet {
  readonly cluster: Cluster;
  readonly incident: Incident;
  advance(toMs: number): { spans: DemoSpan[]; points: DemoPoint[] };
  /** GPU points come this often from now on. */
  setGpuTick(tickMs: number): void;
}

interface Workload {
  readonly write: (scene: Scene, startMs: number) => void;
  /** Share of all traces. */
  readonly share: number;
  /** UTC hour at which it is busiest, and how much the day shapes it (0 flat, 1 silent at night). */
  readonly peakHour: number;
  readonly swing: number;
}

const workloads: readonly Workload[] = [
  { write: chatWeb, share: 0.4, peakHour: 14, swing: 0.7 },
  { write: supportAgent, share: 0.13, peakHour: 10, swing: 0.8 },
  { write: researchAgent, share: 0.03, peakHour: 15, swing: 0.6 },
  { write: codeReview, share: 0.1, peakHour: 13, swing: 0.8 },
  { write: reasoner, share: 0.08, peakHour: 16, swing: 0.5 },
  { write: summarizer, share: 0.07, peakHour: 9, swing: 0.4 },
  { write: mobile, share: 0.1, peakHour: 19, swing: 0.8 },
  { write: image, share: 0.04, peakHour: 20, swing: 0.6 },
  { write: indexer, share: 0.05, peakHour: 2, swing: 0.9 },
];

export function createFleet(options: FleetOptions): Fleet {
  const { seed, startMs, anchorMs } = options;
  const cluster = createCluster(createRandom(seed));
  const incident = createIncident(cluster.vllm[0], anchorMs);
  const gpuLoad = createGpuLoad(cluster, incident, createRandom(seed + 1), startMs);
  const people = createPeople(createRandom(seed + 2));
  const arrivals = workloads.map((workload, index) =>
    createArrivals(workload, options, createRandom(seed + 100 + index)),
  );
  const rng = createRandom(seed + 3);
  let pending: DemoSpan[] = [];
  let gpuTickMs = options.gpuTickMs;
  let nextTickMs = Math.ceil(startMs / gpuTickMs) * gpuTickMs + gpuTickMs;
  return {
    cluster,
    incident,
    setGpuTick: (tickMs) => {
      gpuTickMs = tickMs;
    },
    advance: (toMs) => {
      const points: DemoPoint[] = [];
      const generateUntil = (untilMs: number): void => {
        for (;;) {
          const next = arrivals.reduce((a, b) => (b.nextMs < a.nextMs ? b : a));
          if (next.nextMs >= untilMs) return;
          const scene = createScene({ cluster, incident }, rng, people.at(next.nextMs));
          next.workload.write(scene, next.nextMs);
          pending.push(...scene.spans);
          next.step();
        }
      };
      for (; nextTickMs <= toMs; nextTickMs += gpuTickMs) {
        generateUntil(nextTickMs);
        points.push(...gpuLoad.tick(nextTickMs, gpuTickMs));
      }
      generateUntil(toMs);
      const spans = pending.filter((span) => span.endMs <= toMs);
      pending = pending.filter((span) => span.endMs > toMs);
      return { spans, points };
    },
  };
}

interface Arrivals {
  readonly workload: Workload;
  readonly nextMs: number;
  step(): void;
}

/** Poisson arrivals whose rate follows the hour of the day: drawn at the peak rate, then thinned. */
function createArrivals(workload: Workload, options: FleetOptions, rng: Random): Arrivals {
  const perMs = (options.tracesPerSecond * workload.share) / 1000;
  const most = 1 + workload.swing;
  let nextMs = options.startMs;
  const step = (): void => {
    do nextMs += rng.exponential(1 / (perMs * most));
    while (rng.next() * most > dayFactor(workload, nextMs));
  };
  step();
  return {
    workload,
    get nextMs() {
      return nextMs;
    },
    step,
  };
}

/** Mean 1 over the day. */
function dayFactor({ peakHour, swing }: Workload, timeMs: number): number {
  const hour = (timeMs / 3_600_000) % 24;
  return 1 + swing * Math.cos(((hour - peakHour) / 24) * 2 * Math.PI);
}

const userCount = 400;
/** A session ends after this long without a question. */
const sessionGapMs = 25 * 60_000;

function createPeople(rng: Random): { at(timeMs: number): Person } {
  const sessions = new Map<number, { id: string; lastMs: number; turn: number }>();
  return {
    at: (timeMs) => {
      // The square makes a few users ask often and most seldom.
      const index = Math.floor(rng.next() ** 2 * userCount);
      const old = sessions.get(index);
      const session =
        old !== undefined && timeMs - old.lastMs < sessionGapMs
          ? { ...old, lastMs: timeMs, turn: old.turn + 1 }
          : { id: `sess-${rng.hex(10)}`, lastMs: timeMs, turn: 0 };
      sessions.set(index, session);
      return {
        user: `user-${String(index).padStart(3, "0")}`,
        session: session.id,
        turn: session.turn,
      };
    },
  };
}
