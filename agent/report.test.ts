/** The tables that reports end in take what the reports' types say. */
import assert from "node:assert/strict";
import test from "node:test";
import { useStores } from "../test/support/stores.ts";
import type { IdentityChange } from "./report.ts";

const tables: Record<IdentityChange["layer"], string> = {
  placement: "gpu_placements",
  resource: "compute_resources",
  allocation: "allocations",
  usage: "usages",
  ordinal: "ordinal_bindings",
};

test("every layer of identity has a table of intervals, named by cluster, node, key and beginning", async () => {
  await using stores = await useStores();
  for (const table of Object.values(tables)) {
    const columns = await stores.sql<{ name: string }[]>`
      SELECT a.attname AS name FROM pg_index i
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
      WHERE i.indrelid = ${table}::regclass AND i.indisprimary
      ORDER BY array_position(i.indkey, a.attnum)`;
    assert.deepEqual(
      columns.map(({ name }) => name),
      ["cluster", "node", "key", "valid_from"],
      table,
    );
  }
});
