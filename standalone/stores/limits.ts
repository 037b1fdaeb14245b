/** Bounds in time of the stores' process; what the stores themselves are bounded by is beside them. */

/** A fast shutdown writes a checkpoint of at most 128 MB of log; slow disks take some seconds. */
export const postgresStopMs = 30_000;
/** Both stores stop at the same time, ClickHouse within 3 s. The chart gives the pod 60 s. */
export const processStopBudgetMs = 40_000;
/** A probe is answered in this time; the chart's probes wait for 3 s. */
export const readyBudgetMs = 2_000;
