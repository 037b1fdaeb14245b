/**
 * The name of a cluster over the real PostgreSQL: the first has it, the second writes nothing, and a name whose
 * cluster is silent changes hands; with the schema of before, everything goes on as before.
 */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import { useStores, type Stores } from "../../test/support/stores.ts";
import {
  createClusterName,
  createNamedFence,
  isClusterNameTaken,
  tellClusterSeen,
} from "./clusters.ts";
import { createFence, type Fence, type Tx } from "./fence.ts";

let stores: Stores;
before(async () => {
  stores = await useStores();
});

const insert = (id: string) => async (tx: Tx) => {
  await tx`INSERT INTO tenants (id, name) VALUES (${id}, ${id})`;
};
const tenants = async (): Promise<string[]> =>
  (
    await stores.sql<{ id: string }[]>`
      SELECT id FROM tenants WHERE id LIKE 'named-%' ORDER BY id`
  ).map(({ id }) => id);
const nameOf = (fence: Fence, uid: string) => {
  let nowMs = 0;
  // Every answer is too old for the next question.
  const clock = { ...systemClock, monotonic: () => (nowMs += 60_000) };
  return createClusterName({ fence, clock }, { name: "prod", uid });
};

test("the first cluster of a name has it, and the second writes nothing and is told what to do", async () => {
  const fence = createFence(stores);
  const named = createNamedFence(fence, { cluster: "prod" });
  const [one, two] = [
    { clusterUid: "uid-1", epoch: 1 },
    { clusterUid: "uid-2", epoch: 1 },
  ];
  assert.equal(await nameOf(fence, "uid-2").problem(), undefined, "nobody has it yet");
  await named.write(one, insert("named-1"));
  await named.write(one, insert("named-2"));
  await assert.rejects(named.write(two, insert("named-3")), (error: unknown) => {
    assert.ok(isClusterNameTaken(error));
    assert.match(error.message, /UID uid-1\).*"prod".*clusterName.*30 minutes/);
    return true;
  });
  assert.deepEqual(await tenants(), ["named-1", "named-2"]);
  assert.equal(await nameOf(fence, "uid-1").problem(), undefined);
  assert.match(String(await nameOf(fence, "uid-2").problem()), /UID uid-1/);
  // Under a name of its own it works.
  await createNamedFence(fence, { cluster: "prod-2" }).write(two, insert("named-3"));
  assert.deepEqual(await tenants(), ["named-1", "named-2", "named-3"]);
});

test("a cluster that was silent for half an hour gives its name up; one that is heard of keeps it", async () => {
  const fence = createFence(stores);
  const named = createNamedFence(fence, { cluster: "prod" });
  const age = async (minutes: number) =>
    await stores.sql`
    UPDATE clusters SET seen_at = now() - make_interval(mins => ${minutes}) WHERE name = 'prod'`;
  const two = { clusterUid: "uid-2", epoch: 1 };
  await age(29);
  await assert.rejects(named.write(two, insert("named-4")), isClusterNameTaken);
  await age(31);
  await named.write({ clusterUid: "uid-1", epoch: 1 }, async (tx) => {
    await tellClusterSeen(tx, { name: "prod", uid: "uid-1" });
  });
  await assert.rejects(named.write(two, insert("named-4")), isClusterNameTaken);
  await age(31);
  assert.equal(await nameOf(fence, "uid-2").problem(), undefined);
  await named.write(two, insert("named-4"));
  await assert.rejects(
    named.write({ clusterUid: "uid-1", epoch: 1 }, insert("named-5")),
    isClusterNameTaken,
  );
  assert.deepEqual((await tenants()).slice(3), ["named-4"]);
});

test("of two that begin at once one has the name", async () => {
  const fence = createFence(stores);
  const named = createNamedFence(fence, { cluster: "raced" });
  const done = await Promise.allSettled(
    ["uid-1", "uid-2"].map(
      async (clusterUid) =>
        await named.write({ clusterUid, epoch: 1 }, insert(`named-raced-${clusterUid}`)),
    ),
  );
  assert.deepEqual(done.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  assert.equal((await tenants()).filter((id) => id.startsWith("named-raced")).length, 1);
});

test("before the migration nothing is claimed, and writes go on", async () => {
  const fence = createFence(stores);
  await stores.sql`ALTER TABLE clusters RENAME TO clusters_later`;
  try {
    const named = createNamedFence(fence, { cluster: "prod" });
    await named.write({ clusterUid: "uid-3", epoch: 1 }, insert("named-6"));
    assert.equal(await nameOf(fence, "uid-3").problem(), undefined);
  } finally {
    await stores.sql`ALTER TABLE clusters_later RENAME TO clusters`;
  }
});
