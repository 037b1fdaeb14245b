/**
 * AxonizeTenant on a real control plane and a real PostgreSQL: what a tenant gets, whose a namespace is,
 * what is put right again, and what is not written when there is nothing to do.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "./support/eventually.ts";
import { keyIdIn, keyIn, operatorNamespace, useTenantSuite } from "./support/tenant-cluster.ts";

const suite = useTenantSuite();

test("a tenant gets a row, keys, Secrets, profiles and labels, and its status says so", async () => {
  await suite.t.namespace("vision-prod", "vision-dev");
  await suite.t.tenant("vision", {
    displayName: "Vision team",
    namespaces: [
      { name: "vision-prod", environment: "prod", injection: "OptOut" },
      { name: "vision-dev", environment: "dev" },
    ],
    apiKeys: [
      { name: "ingest", scopes: ["Ingest"] },
      { name: "reader", scopes: ["Query"], distribution: "OperatorNamespace" },
    ],
    quotas: { spansPerSecond: 2000, ingestBytesPerDay: "200Gi" },
    retention: { traceDays: 60, payloadDays: 10 },
    sampling: { tracesPerMillion: 500_000 },
  });
  await suite.t.reason("vision", "Ready", "Reconciled");
  const [row] = await suite.stores.sql`SELECT * FROM tenants WHERE id = 'vision'`;
  assert.deepEqual(
    [row?.["name"], row?.["spans_per_second"], row?.["bytes_per_day"], row?.["retention_days"]],
    ["Vision team", 2000, 200 * 2 ** 30, 60],
  );
  assert.deepEqual(
    [row?.["payload_days"], row?.["on_exceeded"], row?.["traces_per_million"], row?.["owner"]],
    [10, "Sample", 500_000, "operator"],
  );
  const secret = await suite.t.secret("vision-prod");
  assert.equal(secret?.type, "axonize.io/api-key");
  const key = keyIn(secret);
  assert.match(key, /^axk_/);
  const text = (name: string): string =>
    Buffer.from(secret.data?.[name] ?? "", "base64").toString();
  assert.equal(text("OTEL_EXPORTER_OTLP_HEADERS"), `x-axonize-key=${key}`);
  assert.equal(text("AXONIZE_API_KEY_ID"), key.split("_")[1]);
  assert.match(text("AXONIZE_ENDPOINT"), /^http:/);
  assert.notEqual(keyIn(await suite.t.secret("vision-dev")), key, "a key per namespace");
  assert.match(keyIn(await suite.t.secret(operatorNamespace, "axonize-vision-reader")), /^axk_/);
  assert.equal(await suite.t.secret("vision-prod", "axonize-reader"), undefined);
  assert.deepEqual(await suite.t.labels("vision-prod"), {
    "axonize.io/tenant": "vision",
    "axonize.io/injection": "OptOut",
    "kubernetes.io/metadata.name": "vision-prod",
  });
  assert.deepEqual((await suite.t.profile("vision-prod"))?.spec, {
    endpoint: "http://axonize-ingest.axonize-system.svc:4318",
    secretName: "axonize-ingest",
    mode: "OptOut",
    containers: "All",
    delivery: "Env",
    resourceAttributes: { "deployment.environment.name": "prod" },
  });
  const status = await suite.t.statusOf("vision");
  assert.equal(status?.boundNamespaces, 2);
  assert.deepEqual(
    status.namespaces?.map(({ name, state, keyID }) => [name, state, typeof keyID]),
    [
      ["vision-prod", "Bound", "string"],
      ["vision-dev", "Bound", "string"],
    ],
  );
  assert.equal(status.apiKeys?.[1]?.currentKeyID?.length, 12);
  assert.ok(!JSON.stringify(status).includes(key.split("_")[2] ?? key), "no secret in the status");
  const states = await suite.keysOf("vision");
  assert.deepEqual(
    states.map(({ state }) => state),
    ["active", "active", "active"],
  );
});

test("at rest nothing is written to the API and no ingest process is woken, whatever is looked at again", async () => {
  await suite.t.reason("vision", "Ready", "Reconciled");
  const writes = (): string[] =>
    suite.cluster
      .auditEvents()
      .filter(
        ({ stage, userAgent }) => stage === "ResponseComplete" && userAgent?.includes("of-tenant"),
      )
      .filter(
        ({ verb, objectRef }) =>
          !/^(get|list|watch)$/.test(verb) && objectRef?.resource !== "leases",
      )
      .map(({ verb, requestURI }) => `${verb} ${requestURI}`);
  const runs = async (): Promise<number> =>
    Number(
      /controller_runtime_reconcile_total\{controller="tenant",result="requeue_after"\} (\d+)/.exec(
        await suite.operator.metrics(),
      )?.[1] ?? 0,
    );
  // What follows the first time: caches that see what was written.
  let quiet = writes().length;
  await eventually("it is quiet", async () => {
    const was = quiet;
    const before = await runs();
    suite.operator.nudge("vision");
    await eventually("a run", async () => ((await runs()) > before ? true : undefined));
    quiet = writes().length;
    return quiet === was ? true : undefined;
  });
  let woken = 0;
  const listening = suite.stores.sql.listen("axonize_access", () => {
    woken += 1;
  });
  // It is called once as soon as it listens.
  await eventually("it listens", async () => await Promise.resolve(woken > 0 ? true : undefined));
  woken = 0;
  for (let i = 0; i < 5; i += 1) {
    const before = await runs();
    suite.operator.nudge("vision");
    await eventually("a run", async () => ((await runs()) > before ? true : undefined));
  }
  assert.deepEqual(writes().slice(quiet), []);
  listening[Symbol.dispose]();
  assert.equal(woken, 0);
});

test("two tenants claim one namespace: the first has it, the other nothing there, until it is free", async () => {
  await suite.t.namespace("contested");
  await suite.t.tenant("first", { namespaces: [{ name: "contested" }] });
  await suite.t.reason("first", "Ready", "Reconciled");
  await suite.t.tenant("second", { namespaces: [{ name: "contested" }] });
  const message = await suite.t.reason("second", "NamespacesBound", "NamespaceConflict");
  assert.match(message, /contested \(of first\)/);
  assert.equal((await suite.keysOf("second")).length, 0);
  const before = keyIdIn(await suite.t.secret("contested"));
  const status = await suite.t.statusOf("second");
  assert.equal(status?.namespaces?.[0]?.conflictingTenant, "first");
  assert.ok(status.conditions?.some(({ type, status: is }) => type === "Stalled" && is === "True"));
  await suite.t.tenant("first", { displayName: "First" });
  await suite.t.reason("second", "Ready", "Reconciled");
  const secret = await eventually("the other's Secret", async () => {
    const found = await suite.t.secret("contested");
    return found !== undefined && keyIdIn(found) !== before ? found : undefined;
  });
  assert.equal(secret.metadata.labels?.["axonize.io/tenant"], "second");
  const old = (await suite.keysOf("first")).filter(({ state }) => state !== "revoked");
  assert.deepEqual(old, [], "the keys of what was given up are revoked");
});

test("a namespace that is made anew is another one: new key, the old one revoked", async () => {
  await suite.t.namespace("phoenix");
  await suite.t.tenant("phoenix", { namespaces: [{ name: "phoenix" }] });
  await suite.t.reason("phoenix", "Ready", "Reconciled");
  const before = keyIdIn(await suite.t.secret("phoenix"));
  await suite.cluster.kubectl("delete", "namespace", "phoenix", "--timeout=90s");
  await suite.t.reason("phoenix", "NamespacesBound", "NamespaceMissing");
  await suite.t.namespace("phoenix");
  await suite.t.reason("phoenix", "Ready", "Reconciled");
  const secret = await eventually("a new Secret", async () => await suite.t.secret("phoenix"));
  assert.notEqual(keyIdIn(secret), before);
  const keys = await suite.keysOf("phoenix");
  assert.equal(keys.find(({ id }) => id === before)?.state, "revoked");
  assert.equal(keys.find(({ id }) => id === keyIdIn(secret))?.state, "active");
});

test("labels that are stripped come back, and somebody who strips them in a loop gets no writes in a loop", async () => {
  const strip = async (): Promise<void> => {
    await suite.cluster.kubectl(
      "label",
      "namespace",
      "vision-dev",
      "axonize.io/tenant-",
      "axonize.io/injection-",
    );
  };
  await strip();
  await eventually("the labels", async () =>
    (await suite.t.labels("vision-dev"))["axonize.io/tenant"] === "vision" ? true : undefined,
  );
  for (let i = 0; i < 8; i += 1) await strip();
  await eventually("the contest is told", async () =>
    (await suite.t.events("LabelsContested")).length > 0 ? true : undefined,
  );
  const binding = await suite.stores.sql`
    SELECT tenant_id FROM tenant_namespaces WHERE namespace = 'vision-dev'`;
  assert.equal(binding[0]?.["tenant_id"], "vision", "labels decide nothing");
});

test("PostgreSQL away: the condition says so, what is there stays, and it goes on by itself", async () => {
  await suite.t.namespace("patient");
  await suite.cutInTransaction(
    async () => await suite.t.tenant("patient", { namespaces: [{ name: "patient" }] }),
  );
  try {
    await suite.t.reason("patient", "DatabaseSynced", "DatabaseUnavailable");
    await suite.t.reason("patient", "Ready", "DatabaseUnavailable");
    assert.match(keyIn(await suite.t.secret("vision-prod")), /^axk_/);
  } finally {
    suite.proxy.mend();
  }
  await suite.t.reason("patient", "Ready", "Reconciled");
});
