/**
 * The driver read by hand, for tests: each tick's rows as values under their names, and the reason beside
 * each value that is absent.
 */
import { openDriver, type Driver, type Topology } from "../nvml/driver.ts";
import type { ProcessList } from "../nvml/processes.ts";
import {
  gpmMetrics,
  groups,
  reasons,
  slowMetrics,
  type Group,
  type Metric,
  type ReadSets,
  type Reason,
  type Row,
} from "../nvml/readings.ts";
import { finish } from "../nvml/work.ts";

export interface Reading {
  /** The GPU's or slice's UUID. */
  readonly device: string;
  readonly values: Partial<Record<Metric, number>>;
  readonly missing: Partial<Record<Metric, Reason>>;
}

export const allSets: ReadSets = {
  utilization: true,
  memory: true,
  power: true,
  thermal: true,
  nvlink: true,
  pcie: true,
  profiling: true,
  errors: true,
};
const noSets = Object.fromEntries(
  Object.keys(allSets).map((set) => [set, false]),
) as unknown as ReadSets; // the same keys

export interface ReadDriver extends Disposable {
  readonly driver: Driver;
  topology(): Topology;
  fast(): Reading[];
  /** Everything of the long tick but GPM. */
  slow(): Reading[];
  gpm(): Reading[];
  processes(): ProcessList;
}

/** Opens the driver, which must be there. */
export function readDriver(
  libraryPath: string,
  pidExists: (pid: number) => boolean = () => true,
): ReadDriver {
  const opened = openDriver({ libraryPath, pidExists });
  if (!("driver" in opened)) throw new Error(`${opened.trouble}: ${opened.detail}`);
  const { driver } = opened;
  return {
    driver,
    topology: () => finish(driver.topology()),
    fast: () => collect((commit) => driver.fast(allSets, commit)),
    slow: () =>
      collect((commit) => finish(driver.slow({ ...allSets, profiling: false }, true, commit))).map(
        (reading) => only(reading, slowMetrics),
      ),
    gpm: () =>
      collect((commit) => finish(driver.slow({ ...noSets, profiling: true }, false, commit))).map(
        (reading) => only(reading, gpmMetrics),
      ),
    processes: () => finish(driver.processes()),
    [Symbol.dispose]: () => driver.close(),
  };
}

type Committed = (uuid: string, group: Group, row: Row) => void;

function collect(read: (commit: Committed) => void): Reading[] {
  const readings: Reading[] = [];
  read((device, group, row) => readings.push(readingOf(device, group, row)));
  return readings;
}

function readingOf(device: string, group: Group, row: Row): Reading {
  const reading: Reading = { device, values: {}, missing: {} };
  for (const [at, metric] of groups[group].entries()) {
    if (metric === "graphicsActivityRatio" || metric === "memoryReservedBytes") continue;
    const value = row.values[at] ?? Number.NaN;
    const reason = reasons[(row.reasons[at] ?? 0) - 1];
    if (!Number.isNaN(value)) reading.values[metric] = value;
    if (reason !== undefined) reading.missing[metric] = reason;
  }
  if (group !== "slice") return reading;
  for (const metric of slowMetrics) {
    if (!(groups.slice as readonly Metric[]).includes(metric))
      reading.missing[metric] = "mig_slice";
  }
  return reading;
}

function only(reading: Reading, metrics: readonly Metric[]): Reading {
  const pick = <T>(of: Partial<Record<Metric, T>>): Partial<Record<Metric, T>> =>
    Object.fromEntries(
      Object.entries(of).filter(([metric]) => (metrics as readonly string[]).includes(metric)),
    ) as Partial<Record<Metric, T>>; // a part of what it was
  return { ...reading, values: pick(reading.values), missing: pick(reading.missing) };
}
