/**
 * What one opened driver is asked, and when: short ticks and long ones, what there is, who computes on it,
 * and a batch of all that each report period. Ends when the driver is gone, which it tells as trouble.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { Driver, Topology } from "../nvml/driver.ts";
import { groups, reasonCode, type Group, type Row } from "../nvml/readings.ts";
import { createBatchWriter } from "./batch.ts";
import type { Grid } from "./grid.ts";
import { createJobs } from "./jobs.ts";
import { clockJumpMs, topologyLeastMs } from "./limits.ts";
import { createMeter, type Meter } from "./meter.ts";
import { createOutbox } from "./outbox.ts";
import { createGrids, createPacing } from "./pacing.ts";
import type { FromWorker, Settings } from "./protocol.ts";
import { createSchedule } from "./schedule.ts";

export interface LoopDeps {
  readonly clock: Clock;
  /** CPU of this thread so far. */
  readonly cpuMs: () => number;
  readonly driver: Driver;
  readonly emit: (message: FromWorker) => void;
}

export interface Loop {
  /** Runs until the signal aborts or the driver is gone. */
  run(signal: AbortSignal): Promise<void>;
  configure(settings: Settings): void;
  /** The main thread took a batch. */
  took(): void;
  /** Something happened to the devices: enumerate soon. */
  refresh(): void;
}

export function createLoop(deps: LoopDeps, first: Settings): Loop {
  const { clock, driver } = deps;
  const grids = createGrids(clock.monotonic(), first);
  const meter = createMeter({ cpuMs: deps.cpuMs, startMs: clock.monotonic() });
  const writer = createBatchWriter();
  const outbox = createOutbox(writer, (batch) => deps.emit({ type: "batch", batch }));
  const pacing = createPacing(grids, first);
  let ended = false;

  const send = (): void => {
    outbox.send({ costs: meter.costs(), periods: pacing.periods(), cpuRatio: pacing.cpuRatio() });
  };
  const losses = createLosses(clock, grids.topology);
  const commit = (uuid: string, group: Group, row: Row): void => {
    losses.look(uuid, group, row);
    writer.add(uuid, group, row, clock.now());
  };
  const enumerated = createEnumerated(deps, {
    send,
    use: (devices) => writer.use(devices),
    end: () => {
      ended = true;
    },
  });
  const jobs = createJobs(
    deps,
    { grids, commit, settings: () => pacing.settings() },
    (topology) => {
      losses.enumerated(topology);
      enumerated(topology);
    },
  );
  const schedule = createSchedule({
    clock,
    meter,
    fast: grids.fast,
    jobs,
    onFast(tick) {
      outbox.ticked(tick);
      driver.fast(pacing.settings().sets, commit);
    },
  });
  const settle = createSettle(deps, { grid: grids.report, meter, pacing, send });
  return {
    async run(signal) {
      for (;;) {
        const pauseMs = schedule.turn();
        if (ended || signal.aborted) return;
        settle();
        try {
          await clock.sleep(Math.min(pauseMs, pacing.settings().reportMs), signal);
        } catch {
          return; // aborted: the only way sleep rejects
        }
      }
    },
    configure: (settings) => pacing.configure(settings),
    took: () => outbox.took(),
    refresh: () => losses.refresh(),
  };
}

/** What is looked at after each turn: the clock, the budget, and whether a batch is due. */
function createSettle(
  { clock, emit }: LoopDeps,
  of: {
    readonly grid: Grid;
    readonly meter: Meter;
    readonly pacing: ReturnType<typeof createPacing>;
    readonly send: () => void;
  },
): () => void {
  const jumps = createJumpDetector(clock);
  return () => {
    const jumpedMs = jumps();
    if (jumpedMs !== undefined) emit({ type: "jump", ms: jumpedMs });
    const now = clock.monotonic();
    const window = of.meter.closeWindow(now);
    if (window) of.pacing.judge(window);
    if (!of.grid.isDue(now)) return;
    of.grid.take(now);
    of.send();
  };
}

/** A batch names devices by their order: what was gathered goes out before the order changes. */
function createEnumerated(
  { clock, emit }: LoopDeps,
  loop: { send(): void; use(devices: readonly string[]): void; end(): void },
): (topology: Topology) => void {
  let known = "";
  return ({ trouble, gpus, refused }) => {
    if (trouble !== undefined) {
      loop.end();
      const detail = "the driver does not answer nvmlDeviceGetCount_v2 any more";
      emit({ type: "trouble", reason: trouble, detail });
      return;
    }
    const now = JSON.stringify(gpus);
    const changed = now !== known;
    known = now;
    if (changed) {
      loop.send();
      loop.use(gpus.flatMap((gpu) => [gpu.uuid, ...gpu.slices.map(({ uuid }) => uuid)]));
    }
    emit({ type: "topology", atMs: clock.now(), gpus, refused, changed });
  };
}

/** Asks for an enumeration when a row says that something is not there that the last one showed. */
function createLosses(clock: Clock, grid: Grid) {
  const lost = new Set<string>();
  let enumeratedMs = Number.NEGATIVE_INFINITY;
  const refresh = (): void => {
    grid.bring(Math.max(clock.monotonic(), enumeratedMs + topologyLeastMs));
  };
  return {
    refresh,
    look(uuid: string, group: Group, row: Row): void {
      if (isLoss(group, row) && !lost.has(uuid)) refresh();
    },
    enumerated({ gpus }: Topology): void {
      enumeratedMs = clock.monotonic();
      lost.clear();
      for (const gpu of gpus) if (gpu.lost) lost.add(gpu.uuid);
    },
  };
}

const powerAt = groups.fast.indexOf("powerWatts");

/** The driver says that what it showed is not there any more. */
function isLoss(group: Group, row: Row): boolean {
  const reason = row.reasons[group === "fast" ? powerAt : 0];
  if (reason === reasonCode.library_mismatch || reason === reasonCode.slice_gone) return true;
  return reason === reasonCode.gpu_lost && group === "fast";
}

/** Answers by how much the wall clock jumped since the last asking. */
function createJumpDetector(clock: Clock): () => number | undefined {
  let offsetMs = clock.now() - clock.monotonic();
  return () => {
    const now = clock.now() - clock.monotonic();
    const jumpedMs = now - offsetMs;
    offsetMs = now;
    return Math.abs(jumpedMs) >= clockJumpMs ? jumpedMs : undefined;
  };
}
