// Milliseconds of a time in nanoseconds: exact, also where a double of the nanoseconds is not.
import assert from "node:assert/strict";
import { test } from "node:test";
import { msOf } from "./start-clock.ts";

const words = (ns: bigint): [lo: number, hi: number] => [
  Number(ns & 0xffff_ffffn),
  Number(ns >> 32n),
];

test("every nanosecond belongs to its own millisecond", () => {
  let wrongAsDouble = 0;
  for (let at = 0; at < 20_000; at += 1) {
    // Primes apart, so that all residues come up; 1970 to 2262.
    const ms = (BigInt(at) * 461_168_601_842_738n) / 1_000_000n;
    for (const more of [0n, 1n, 499_999n, 999_999n]) {
      const [lo, hi] = words(ms * 1_000_000n + more);
      assert.equal(msOf(lo, hi), Number(ms), `${ms} ms and ${more} ns`);
      if (Math.floor((hi * 2 ** 32 + lo) / 1e6) !== Number(ms)) wrongAsDouble += 1;
    }
  }
  assert.ok(wrongAsDouble > 0, "the simple way is wrong for some of these");
});
