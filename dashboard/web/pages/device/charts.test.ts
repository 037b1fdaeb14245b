/** A device's charts: what was never read has none, and each says what its values are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { GpuMetrics } from "@axonize/core/contract/gpu";
import { chartsOf } from "./charts.ts";

const none = [null, null];
const series: GpuMetrics["series"] = {
  uuid: "GPU-1",
  stepMs: 6000,
  startMs: [0, 6000],
  utilizationRatio: [0.4, null],
  memoryUsedBytes: [1e9, 2e9],
  powerWatts: none,
  temperatureCelsius: [40, 41],
  smActivityRatio: none,
  tensorActivityRatio: none,
  dramActivityRatio: none,
  smClockMhz: none,
};

test("a reading that nobody took has no chart", () => {
  const charts = chartsOf({ series, memoryTotalBytes: 8e9, powerLimitWatts: null });
  assert.deepEqual(
    charts.map((chart) => [chart.title, chart.max, chart.series.map(({ label }) => label)]),
    [
      ["Activity", 1, ["utilisation"]],
      ["Memory", 8e9, ["used"]],
      ["Temperature", 100, ["GPU"]],
    ],
  );
});

test("a step is a mean of rates and the highest of levels, as the API answers them", () => {
  const all = { ...series, powerWatts: [1, 2], smClockMhz: [3, 4] };
  const charts = chartsOf({ series: all, memoryTotalBytes: null, powerLimitWatts: null });
  assert.deepEqual(Object.fromEntries(charts.map(({ title, each }) => [title, each])), {
    Activity: "mean",
    Memory: "highest",
    Power: "mean",
    Temperature: "highest",
    "SM clock": "mean",
  });
});
