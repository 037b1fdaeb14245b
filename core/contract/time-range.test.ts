// Times of a query: every accepted form, and refusals.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseTime } from "./time-range.ts";

const now = Date.UTC(2026, 10, 25, 12, 0, 0);

const accepted: readonly [string, number][] = [
  ["now", now],
  ["-1h", now - 3_600_000],
  ["now-15m", now - 900_000],
  ["-90s", now - 90_000],
  ["-7d", now - 604_800_000],
  ["-2w", now - 1_209_600_000],
  ["1790000000000", 1_790_000_000_000],
  ["2026-11-25T12:00:00Z", now],
  ["2026-11-25T13:00:00+01:00", now],
  ["2026-11-25T12:00:00.000000001Z", now],
  ["2026-11-25T12:00:00", now],
  ["2026-11-25", Date.UTC(2026, 10, 25)],
  ["-999999999w", 0],
];
for (const [input, expected] of accepted) {
  test(`"${input}" is read`, () => {
    assert.equal(parseTime(input, now), expected);
  });
}

for (const input of ["yesterday", "-1y", "1h", "2026-13-01", "12345678901234567", "9e99", "-h"]) {
  test(`"${input}" is refused`, () => {
    assert.equal(parseTime(input, now), undefined);
  });
}

test("any RFC 3339 instant comes back to the millisecond", () => {
  fc.assert(
    fc.property(fc.date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true }), (date) => {
      assert.equal(parseTime(date.toISOString(), now), date.getTime());
    }),
  );
});

test("any text gives a time in range or undefined, never NaN", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 40 }), (text) => {
      const ms = parseTime(text, now);
      assert.ok(ms === undefined || (ms >= 0 && ms <= 7_258_118_400_000));
    }),
  );
});
