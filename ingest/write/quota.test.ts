/**
 * Limits with a clock in the test's hand: what `Sample` keeps settles at the limit whatever is offered,
 * `Warn` keeps all and counts, `Reject` refuses; bursts and the day's bytes.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TenantAccess } from "@axonize/core/runtime/access";
import { createFakeClock } from "../../test/support/fake-clock.ts";
import fc from "fast-check";
import type { Counts, QuotaName } from "../usage/excess.ts";
import { createQuota } from "./quota.ts";
import { partOfDay, SampleRate } from "./sample-rate.ts";

const tenant: TenantAccess = {
  id: "t",
  num: 1,
  name: "T",
  capture: "None",
  spansPerSecond: 1_000,
  bytesPerDay: undefined,
  burstSpans: undefined,
  onExceeded: "Sample",
  tracesPerMillion: 1_000_000,
  adminState: "Active",
  lifecycle: "active",
  retentionDays: 30,
  retentionClass: 30,
  payloadDays: 30,
  payloadRetentionClass: 30,
};

function arrange() {
  const clock = createFakeClock();
  const noted: [QuotaName, Counts][] = [];
  const quota = createQuota({
    clock,
    excess: { note: (_tenant, name, counts) => noted.push([name, counts]) },
  });
  return { clock, quota, noted };
}

test("what is kept settles at the limit, whatever is offered", () => {
  fc.assert(
    fc.property(fc.integer({ min: 100, max: 200_000 }), (offered) => {
      const rate = new SampleRate(2_000, 0);
      let kept = 0;
      for (let ms = 100; ms <= 60_000; ms += 100) {
        const part = rate.turn(ms, 1_000, 2_000);
        const here = (offered / 10) * part;
        rate.saw(offered / 10, here);
        if (ms > 30_000) kept += here;
      }
      const perSecond = kept / 30;
      const most = Math.max(1_000, offered * 0.001);
      assert.ok(perSecond <= most * 1.15, `${perSecond} kept of ${offered}`);
      assert.ok(perSecond >= Math.min(offered, 1_000) * 0.85, `${perSecond} kept of ${offered}`);
    }),
  );
});

test("below the limit nothing is left out, and after too much it comes back to all", () => {
  const rate = new SampleRate(2_000, 0);
  let ms = 0;
  const run = (seconds: number, perSecond: number): number => {
    for (const end = ms + seconds * 1000; ms < end;) {
      ms += 100;
      const part = rate.turn(ms, 1_000, 2_000);
      rate.saw(perSecond / 10, (perSecond / 10) * part);
    }
    return rate.part;
  };
  assert.equal(run(10, 900), 1);
  assert.ok(run(10, 10_000) < 0.15);
  assert.equal(run(20, 900), 1);
});

test("a day's bytes are spread over what is left of it, from nine tenths on", () => {
  const day = { limitBytes: 1_000, bytesPerSecond: 10, secondsLeft: 100 };
  assert.equal(partOfDay({ ...day, usedBytes: 899 }), 1);
  assert.equal(partOfDay({ ...day, usedBytes: 950 }), 0.05);
  assert.equal(partOfDay({ ...day, usedBytes: 2_000 }), 0.001, "a thousandth stays visible");
  assert.equal(partOfDay({ ...day, usedBytes: 950, bytesPerSecond: 0.1 }), 1);
});

test("a tenant's own sampling and its limit go together", async () => {
  const { clock, quota, noted } = arrange();
  assert.equal(quota.sampling(tenant, 0), undefined, "nothing to decide per span");
  const half = { ...tenant, tracesPerMillion: 500_000 };
  assert.deepEqual(quota.sampling(half, 0), { wanted: 2 ** 31, allowed: 2 ** 31 });
  quota.spend(half, { kept: 10_000, over: 0, bytes: 1 });
  await clock.advance(1_000);
  const sampling = quota.sampling(half, 0);
  assert.equal(sampling?.wanted, 2 ** 31);
  assert.ok(sampling.allowed < 2 ** 31 * 0.2, String(sampling.allowed));
  quota.spend(half, { kept: 1, over: 9, bytes: 1 });
  assert.deepEqual(noted, [["SpansPerSecond", { sampledSpans: 9 }]]);
  assert.equal(quota.check(half, 0), undefined, "sampling never refuses");
});

test("warning keeps everything and counts what is beyond the limit", async () => {
  const { clock, quota, noted } = arrange();
  const warned = { ...tenant, onExceeded: "Warn" as const };
  quota.spend(warned, { kept: 1_500, over: 0, bytes: 1 });
  assert.deepEqual(noted, []);
  quota.spend(warned, { kept: 1_500, over: 0, bytes: 1 });
  assert.deepEqual(noted, [["SpansPerSecond", { excessSpans: 1_000 }]]);
  assert.equal(quota.check(warned, 0), undefined);
  assert.equal(quota.sampling(warned, 0), undefined);
  await clock.advance(1_000);
  quota.spend(warned, { kept: 1_000, over: 0, bytes: 1 });
  assert.equal(noted.length, 1);
});

test("refusing counts requests; a burst of its own is what may come at once", () => {
  const { quota, noted } = arrange();
  const strict = { ...tenant, onExceeded: "Reject" as const, burstSpans: 5_000 };
  quota.spend(strict, { kept: 4_999, over: 0, bytes: 1 });
  assert.equal(quota.check(strict, 0), undefined);
  quota.spend(strict, { kept: 1, over: 0, bytes: 1 });
  assert.match(quota.check(strict, 0)?.message ?? "", /1000 spans per second/);
  assert.deepEqual(noted, [["SpansPerSecond", { rejectedRequests: 1 }]]);
});
