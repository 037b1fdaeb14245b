/** Ranges: labels, moving, what people paste. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  absolute,
  around,
  isRelative,
  parseHumanTime,
  rangeLabel,
  resolveRange,
  scaleRange,
  shiftRange,
  timeTicks,
} from "./time.ts";

const nowMs = Date.UTC(2026, 10, 25, 14, 12, 11);
const hour = { from: "-1h", to: "now" };

test("a relative range ends now and has its name", () => {
  assert.deepEqual(resolveRange(hour, nowMs), { fromMs: nowMs - 3600e3, toMs: nowMs });
  assert.equal(rangeLabel(hour, nowMs, "utc"), "Last 1 h");
  assert.equal(rangeLabel({ from: "-90s", to: "now" }, nowMs, "utc"), "Last 90 s");
  assert.equal(isRelative(hour), true);
});

test("an absolute range is named by its ends", () => {
  const range = absolute({ fromMs: nowMs - 2 * 3600e3, toMs: nowMs - 3600e3 });
  assert.equal(rangeLabel(range, nowMs, "utc"), "12:12–13:12");
});

test("a range that is upside down is never asked for", () => {
  const { fromMs, toMs } = resolveRange({ from: "now", to: "-1h" }, nowMs);
  assert.ok(fromMs < toMs);
});

test("shifting moves half a window, scaling keeps the end that is now", () => {
  assert.deepEqual(shiftRange(hour, -1, nowMs), {
    from: String(nowMs - 5400e3),
    to: String(nowMs - 1800e3),
  });
  assert.deepEqual(scaleRange(hour, 2, nowMs), { from: "-7200s", to: "now" });
  const narrow = scaleRange(absolute({ fromMs: 1e12, toMs: 1e12 + 1000e3 }), 0.5, nowMs);
  assert.deepEqual(narrow, { from: String(1e12 + 250e3), to: String(1e12 + 750e3) });
});

for (const [text, ms] of [
  ["2026-11-25T14:02:11Z", Date.UTC(2026, 10, 25, 14, 2, 11)],
  ["2026-11-25 14:02", Date.UTC(2026, 10, 25, 14, 2)],
  ["14:02:11", Date.UTC(2026, 10, 25, 14, 2, 11)],
  ["1764079331", 1_764_079_331_000],
  ["1764079331123", 1_764_079_331_123],
  ["1764079331123456", 1_764_079_331_123.456],
  ["1764079331123456789", 1_764_079_331_123],
  ["-2h", nowMs - 7200e3],
] as const) {
  test(`"${text}" is a time`, () => {
    assert.equal(parseHumanTime(text, nowMs, "utc"), ms);
  });
}

test("what is no time is undefined, and a pasted one opens a window around it", () => {
  assert.equal(parseHumanTime("soon", nowMs, "utc"), undefined);
  assert.equal(parseHumanTime("", nowMs, "utc"), undefined);
  const { fromMs, toMs } = resolveRange(around(nowMs), nowMs);
  assert.ok(fromMs < nowMs && nowMs < toMs);
});

test("ticks are round, in order and not too many", () => {
  const ticks = timeTicks({ fromMs: nowMs - 3600e3, toMs: nowMs }, 8, "utc");
  assert.ok(ticks.length > 3 && ticks.length <= 9);
  for (const { ms } of ticks) assert.equal(ms % 60e3, 0);
});
