/** What an agent had spooled arrives once, whoever is killed and however often. `bench/agent-crash` kills 100 times. */
import assert from "node:assert/strict";
import test from "node:test";
import { crash } from "../../test/support/agent-crashes.ts";
import { useStores } from "../../test/support/stores.ts";

test("agents and ingest are killed while samples flow: nothing spooled is lost, nothing is doubled", async () => {
  await using stores = await useStores();
  const result = await crash(stores, {
    agentKills: 4,
    ingestEvery: 2,
    lifeMs: () => 100 + Math.random() * 400,
  });
  assert.ok(result.spooled > 100, JSON.stringify(result));
  assert.deepEqual([result.lost, result.duplicates], [0, 0], JSON.stringify(result));
  assert.equal(result.ingestKills, 2);
});
