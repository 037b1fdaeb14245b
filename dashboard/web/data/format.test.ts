/** How numbers and times read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ago,
  axisTime,
  bytes,
  change,
  changePoints,
  clock,
  count,
  durationMs,
  percent,
  say,
  tick,
  timeMs,
} from "./format.ts";

const plainSpace = (text: string): string => text.replaceAll("\u2009", " ");

for (const [ms, text] of [
  [0, "0 ms"],
  [0.00042, "420 ns"],
  [0.0123, "12.3 µs"],
  [0.9999, "1.00 ms"],
  [12, "12 ms"],
  [12.34, "12.3 ms"],
  [812.4, "812 ms"],
  [999.6, "1.00 s"],
  [3412, "3.41 s"],
  [51_200, "51.2 s"],
  [60_000, "1 min"],
  [5_400_000, "1.50 h"],
  [864_000_000, "10 d"],
] as const) {
  test(`${ms} milliseconds read ${text}`, () => {
    assert.equal(plainSpace(say(durationMs(ms))), text);
  });
}

test("what is not known is a dash, never zero", () => {
  for (const q of [
    durationMs(null),
    durationMs(undefined),
    durationMs(Number.NaN),
    count(null),
    bytes(undefined),
    percent(null),
  ]) {
    assert.equal(say(q), "–");
  }
});

test("counts, bytes and ratios keep three digits", () => {
  assert.deepEqual(
    [412, 1284, 77_123, 4_120_000].map((n) => plainSpace(say(count(n)))),
    ["412", "1,284", "77.1 k", "4.12 M"],
  );
  assert.deepEqual(
    [0, 1000, 38.1 * 1024 ** 3].map((n) => plainSpace(say(bytes(n)))),
    ["0 B", "0.977 KiB", "38.1 GiB"],
  );
  assert.deepEqual(
    [0, 0.0041, 0.5, 0.97].map((n) => plainSpace(say(percent(n)))),
    ["0 %", "0.41 %", "50 %", "97 %"],
  );
});

test("axis labels drop the zeros that say nothing", () => {
  assert.equal(plainSpace(tick({ value: "10.0", unit: "s" })), "10 s");
  assert.equal(plainSpace(tick({ value: "2.50", unit: "s" })), "2.5 s");
  assert.equal(tick({ value: "100", unit: "" }), "100");
});

test("a change has a direction and a size, and none without a before", () => {
  assert.deepEqual(change(138, 100)?.direction, "up");
  assert.equal(plainSpace(change(138, 100)?.text ?? ""), "+38 %");
  assert.equal(change(340, 100)?.text, "×3.4");
  assert.equal(plainSpace(change(98, 100)?.text ?? ""), "−2.0 %");
  assert.equal(change(5, 0), undefined);
  assert.equal(change(5, null), undefined);
  assert.equal(plainSpace(changePoints(0.0062, 0.0041)?.text ?? ""), "+0.21 pt");
});

test("times keep nanoseconds of the wire and read in the chosen zone", () => {
  assert.equal(
    timeMs("2026-11-25T14:02:11.123456789Z"),
    Date.UTC(2026, 10, 25, 14, 2, 11, 123) + 0.456789,
  );
  assert.equal(clock(Date.UTC(2026, 10, 25, 4, 2, 1, 7), "utc", "ms"), "04:02:01.007");
  assert.equal(axisTime(Date.UTC(2026, 10, 25, 4, 2), 7 * 86_400e3, "utc"), "25 Nov");
  assert.equal(plainSpace(ago(1_000, 4_000)), "3 s ago");
  assert.equal(ago(1_000, 1_400), "now");
});
