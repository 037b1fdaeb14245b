/** What System says of refusals: summed over the live ingest processes, with what a sender can do. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { adviceOf } from "@axonize/core/contract/refusal-advice";
import type { System } from "@axonize/core/contract/system";
import { useDashboard } from "../../../test/support/dashboard.ts";

const dashboard = await useDashboard();
after(async () => await dashboard[Symbol.asyncDispose]());
const { sql } = dashboard.stores;

async function beat(instance: string, rejects: Record<string, number>, agoS = 0): Promise<void> {
  await sql`
    INSERT INTO component_status (component, instance, version, updated_at, status)
    VALUES ('ingest', ${instance}, 'test', now() - make_interval(secs => ${agoS}),
            ${sql.json({ rejects })})`;
}

test("refusals of all live processes come with advice where the reason has some", async () => {
  await beat("one", { "wrong-path-traces": 3, "too-large": 1 });
  await beat("two", { "wrong-path-traces": 4, constructor: 2 });
  await beat("stopped", { "wrong-path-traces": 1000 }, 120);
  const { body } = await dashboard.get<System>("/api/v1/system");
  assert.deepEqual(body.ingest.rejects, [
    { reason: "wrong-path-traces", count: 7, advice: adviceOf("wrong-path-traces") },
    { reason: "constructor", count: 2, advice: "" },
    { reason: "too-large", count: 1, advice: "" },
  ]);
  const tenants = await dashboard.get<System>("/api/v1/system", dashboard.a.headers);
  assert.deepEqual(tenants.body.ingest.rejects, [], "the installation's, not a tenant's");
});
