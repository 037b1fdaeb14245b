// The day's bytes while they travel to PostgreSQL: a limit holds through every flush.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createAccess } from "@axonize/core/runtime/access";
import { systemClock } from "@axonize/core/runtime/clock";
import { silentLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { useStores } from "../../test/support/stores.ts";
import { createIngestMetrics } from "../metrics.ts";
import { createIntake } from "./intake.ts";

test("bytes on their way to PostgreSQL count for the day's limit", async () => {
  const { sql } = await useStores();
  await sql`INSERT INTO tenants (id, name, bytes_per_day) VALUES ('small', 'small', 1000)`;
  const base = { sql, clock: systemClock, log: silentLog };
  await using access = await createAccess(base, { adminKey: undefined, loopbackTenant: undefined });
  const metrics = createIngestMetrics(createRegistry());
  await using intake = await createIntake({ ...base, access, metrics });
  const tenant = access.tenants().find(({ id }) => id === "small");
  assert.ok(tenant);
  intake.add(tenant, 600);
  assert.equal(intake.dayBytes(tenant), 600);

  const locked = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const holding = sql.begin(async (held) => {
    await held`LOCK TABLE intake_hourly IN ACCESS EXCLUSIVE MODE`;
    locked.resolve();
    await release.promise;
  });
  await locked.promise;
  const flushed = intake.flush();
  intake.add(tenant, 100);
  assert.equal(intake.dayBytes(tenant), 700, "while the flush waits for the table");
  release.resolve();
  await Promise.all([holding, flushed]);
  assert.equal(intake.dayBytes(tenant), 700, "the sum has it now, and it counts once");
  await intake.flush();
  assert.equal(intake.dayBytes(tenant), 700);
});
