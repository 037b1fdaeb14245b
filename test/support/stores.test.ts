/** The shared stores of tests: fresh, migrated, independent databases. */
import assert from "node:assert/strict";
import test from "node:test";
import { useStores } from "./stores.ts";

test("each call gets migrated databases of its own in both stores", async () => {
  await using first = await useStores();
  await using second = await useStores();
  await first.sql`INSERT INTO tenants (id, name) VALUES ('one', 'One')`;
  assert.equal((await second.sql`SELECT id FROM tenants`).length, 0);
  assert.equal((await first.sql`SELECT id FROM tenants`).length, 1);
  const tables = async (stores: typeof first): Promise<string[]> => {
    const answer = await stores.clickhouse.query({ query: "SHOW TABLES", format: "JSONEachRow" });
    return (await answer.json<{ name: string }>()).map((row) => row.name);
  };
  assert.ok((await tables(first)).includes("spans"));
  await first.clickhouse.command({ query: "DROP TABLE spans" });
  assert.ok(!(await tables(first)).includes("spans"));
  assert.ok((await tables(second)).includes("spans"));
});
