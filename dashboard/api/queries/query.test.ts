// The one function that reads ClickHouse: no table without its bounds, errors a person can act on.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { AxonizeError } from "@axonize/core/runtime/error";
import { expand, operatingError, tablesOf, type TenantScope } from "./query.ts";

const signal = new AbortController().signal;
const tenant = {
  id: "t",
  num: 1,
  name: "t",
  capture: "None",
  spansPerSecond: undefined,
  bytesPerDay: undefined,
  retentionDays: 30,
  retentionClass: 30,
  burstSpans: undefined,
  onExceeded: "Reject",
  tracesPerMillion: 1_000_000,
  adminState: "Active",
  lifecycle: "active",
  payloadDays: 30,
  payloadRetentionClass: 30,
} as const;
const scope: TenantScope = { tenant, fromMs: 0, toMs: 1, signal };

test("a macro becomes a subquery with tenant and time as parameters", () => {
  const sql = expand("SELECT count() FROM {{spans}}", tablesOf(scope));
  assert.match(sql, /FROM spans FINAL WHERE tenant_id = \{tenantNum:UInt32\}/);
  assert.match(sql, /start >= .*\{fromMs:Int64\}/);
  assert.match(sql, /start < .*\{toMs:Int64\}/);
});

for (const sql of [
  "SELECT 1 FROM spans",
  "SELECT 1 FROM {{spans}} AS s JOIN trace_index USING trace_id",
  "SELECT 1 from system.tables",
  "SELECT 1 FROM (SELECT 2 FROM\n  span_payloads)",
]) {
  test(`a table without macro is refused: ${sql.replace("\n", " ")}`, () => {
    assert.throws(() => expand(sql, tablesOf(scope)), /without a macro/);
  });
}

test("a tenant's query cannot name devices, nor a device's query spans", () => {
  assert.throws(() => expand("SELECT 1 FROM {{gpuSamples}}", tablesOf(scope)), /no table macro/);
  const devices = tablesOf({ devices: "all", fromMs: 0, toMs: 1, signal });
  assert.throws(() => expand("SELECT 1 FROM {{spans}}", devices), /no table macro/);
});

test("nothing else in the API speaks to ClickHouse", () => {
  const root = join(import.meta.dirname, "..");
  const others = globSync("**/*.ts", { cwd: root })
    .filter((path) => !path.endsWith(".test.ts") && path !== "queries/query.ts")
    .filter((path) =>
      /clickhouse\.(query|command|exec|insert)\(/.test(readFileSync(join(root, path), "utf8")),
    );
  assert.deepEqual(others, []);
});

test("the engine's refusals become problems; what is ours stays ours", () => {
  const failure = (code: string, message = "x") => Object.assign(new Error(message), { code });
  const codeOf = (error: unknown): unknown => {
    const made = operatingError(error, signal);
    return made instanceof AxonizeError ? made.code : made;
  };
  assert.equal(codeOf(failure("159")), "query-timeout");
  assert.equal(codeOf(failure("241")), "query-timeout");
  assert.equal(codeOf(failure("202")), "unavailable");
  assert.equal(codeOf(failure("ECONNREFUSED")), "unavailable");
  assert.equal(codeOf(new Error("Timeout error.")), "unavailable");
  const bug = failure("47", "unknown column");
  assert.equal(codeOf(bug), bug);
});
