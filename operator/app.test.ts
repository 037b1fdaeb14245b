/**
 * The operator's configuration, what it says of its health, and whether definitions are as new as it is.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseConfig } from "@axonize/core/runtime/config";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { configFrom, OperatorEnv } from "./config.ts";
import { createOperatorMetrics } from "./metrics.ts";
import { startOps } from "./ops.ts";
import { describeFinding, missingFields } from "./schema-check.ts";

const given = {
  AXONIZE_POSTGRES_URL: "postgres://app:secret@db:5432/axonize",
  AXONIZE_AGENT_IMAGE: "axonize.io/agent:1",
  AXONIZE_INGEST_ENDPOINT: "axonize-ingest.axonize-system.svc:4317",
  AXONIZE_INJECTION_ENDPOINT: "http://axonize-ingest.axonize-system.svc:4318",
};
const about = { version: "1.2.3", host: "pod-1", namespace: "axonize-system" };
const configOf = (env: Record<string, string>, of: Parameters<typeof configFrom>[1] = about) =>
  configFrom(parseConfig(OperatorEnv, env), of);

test("with what the chart sets, the rest has its defaults, and each process an identity of its own", () => {
  const config = configOf(given);
  assert.equal(config.namespace, "axonize-system");
  assert.equal(config.userAgent, "axonize-operator/1.2.3");
  assert.deepEqual(config.opsListen, { host: "0.0.0.0", port: 8080 });
  assert.equal(config.agents.namespace, "axonize-agents");
  assert.deepEqual(config.secretAccess, { kind: "Cluster" });
  assert.equal(config.lease.leaseMs, 15_000);
  assert.match(config.lease.identity, /^pod-1_[0-9a-f-]{36}$/);
  assert.notEqual(configOf(given).lease.identity, config.lease.identity);
  const other = configOf({
    ...given,
    AXONIZE_OPERATOR_NAMESPACE: "elsewhere",
    AXONIZE_SECRET_ACCESS: "PerNamespace",
    AXONIZE_DENIED_NAMESPACES: "a, b,",
    AXONIZE_ALLOW_FORCED_ADOPTION: "true",
    AXONIZE_LEASE_SECONDS: "60",
  });
  assert.equal(other.namespace, "elsewhere");
  assert.equal(other.secretAccess.kind, "PerNamespace");
  assert.deepEqual(other.deniedNamespaces, ["axonize-agents", "a", "b"]);
  assert.equal(other.allowForcedAdoption, true);
  assert.equal(other.lease.leaseMs, 60_000);
});

test("the database's URL may come from a file; without one, or without a namespace, the start says so", () => {
  const dir = mkdtempSync(join(tmpdir(), "axonize-operator-"));
  const file = join(dir, "url");
  writeFileSync(file, "postgres://from-a-file/axonize\n");
  assert.equal(
    configOf({ ...given, AXONIZE_POSTGRES_URL_FILE: file }).postgresUrl,
    "postgres://from-a-file/axonize",
  );
  rmSync(dir, { recursive: true });
  assert.throws(
    () => configOf({ ...given, AXONIZE_POSTGRES_URL_FILE: file }),
    /AXONIZE_POSTGRES_URL_FILE cannot be read/,
  );
  const { AXONIZE_POSTGRES_URL: _, ...without } = given;
  assert.throws(() => configOf(without), /Set AXONIZE_POSTGRES_URL/);
  assert.throws(() => configOf(given, { ...about, namespace: undefined }), /OPERATOR_NAMESPACE/);
  for (const [name, value] of [
    ["AXONIZE_INGEST_ENDPOINT", "http://x:4317"],
    ["AXONIZE_INJECTION_ENDPOINT", "x:4318"],
    ["AXONIZE_LEASE_SECONDS", "1"],
  ] as const) {
    assert.throws(() => configOf({ ...given, [name]: value }), new RegExp(name), name);
  }
});

test("readiness names what is missing, warnings do not end it, metrics follow it, and other paths are told", async () => {
  const registry = createRegistry();
  const metrics = createOperatorMetrics(registry);
  let problems = ["the cache of nodes is not filled: Forbidden"];
  const health = {
    problems: () => problems,
    warnings: () => ["gpupools.axonize.io is older than this operator"],
    isLeading: () => true,
    observe: () => metrics.ready.set(problems.length === 0 ? 1 : 0),
  };
  const ops = await startOps({ registry, health }, { host: "127.0.0.1", port: 0 });
  const ask = async (path: string): Promise<[number, string]> => {
    const answer = await fetch(`http://127.0.0.1:${ops.address.port}${path}`);
    return [answer.status, await answer.text()];
  };
  const [status, text] = await ask("/readyz?verbose");
  assert.equal(status, 503);
  assert.match(text, /^not ready\nthe cache of nodes .*\nwarning: gpupools/);
  assert.match((await ask("/metrics"))[1], /axonize_operator_ready 0/);
  problems = [];
  const [ready, told] = await ask("/readyz");
  assert.equal(ready, 200);
  assert.match(told, /^ready, leading\nwarning: /);
  assert.match((await ask("/metrics"))[1], /axonize_operator_ready 1/);
  assert.deepEqual(await ask("/healthz"), [200, "ok\n"]);
  assert.equal((await ask("/"))[0], 404);
  await assert.rejects(
    startOps({ registry, health }, { host: "127.0.0.1", port: ops.address.port }),
    /AXONIZE_OPERATOR_OPS_LISTEN/,
  );
  await ops.stop();
});

test("fields that a definition lacks are named by their path; fields that it has more are none of our business", () => {
  const text = { type: "string" };
  const wanted = {
    properties: {
      spec: { properties: { a: text, list: { items: { properties: { b: text, c: text } } } } },
      status: { properties: { map: { additionalProperties: { properties: { d: text } } } } },
    },
  };
  assert.deepEqual(missingFields(wanted, wanted), []);
  const live = {
    properties: {
      spec: { properties: { more: text, list: { items: { properties: { b: text } } } } },
      status: { properties: { map: { additionalProperties: { properties: {} } } } },
    },
  };
  assert.deepEqual(missingFields(wanted, live), ["spec.a", "spec.list[].c", "status.map{}.d"]);
  assert.equal(describeFinding({ crd: "x", missing: [] }), undefined);
  assert.match(String(describeFinding({ crd: "x", missing: undefined })), /there is no x/);
  const many = describeFinding({ crd: "x", missing: ["a", "b", "c", "d", "e"] });
  assert.match(String(many), /it lacks a, b, c and 2 more: apply/);
});
