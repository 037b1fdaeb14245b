/**
 * AxonizeTenant on a real control plane and a real PostgreSQL, with the real ingest where keys are used:
 * claims, namespaces made anew, Secrets deleted, edited and in the way, labels stripped, PostgreSQL away,
 * an operator that dies within a key's steps, and ends of tenants.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startTcpProxy, type TcpProxy } from "../../ingest/testing/tcp-proxy.ts";
import { startControlPlane, type ControlPlane } from "../../tools/k8s/control-plane.ts";
import { useStores, type Stores } from "../support/stores.ts";
import { eventually } from "./support/eventually.ts";
import {
  createTenantCluster,
  keyIdIn,
  keyIn,
  operatorNamespace,
  type Operator,
  type TenantCluster,
} from "./support/tenant-cluster.ts";

const root = join(import.meta.dirname, "../..");
let cluster: ControlPlane;
let stores: Stores;
let proxy: TcpProxy;
let postgresUrl: string;
let t: TenantCluster;
let operator: Operator;

before(async () => {
  [cluster, stores] = await Promise.all([startControlPlane({ controllers: true }), useStores()]);
  for (const plural of ["axonizetenants", "injectionprofiles"]) {
    await cluster.apply(readFileSync(join(root, `crds/axonize.io_${plural}.yaml`), "utf8"));
    await cluster.kubectl("wait", "--for=condition=Established", `crd/${plural}.axonize.io`);
  }
  const url = new URL(stores.postgresUrl);
  proxy = await startTcpProxy({ host: url.hostname, port: Number(url.port) });
  url.port = String(proxy.port);
  url.hostname = "127.0.0.1";
  postgresUrl = url.href;
  t = createTenantCluster(cluster);
  await t.namespace(operatorNamespace, "axonize-agents");
  operator = await t.operator({ postgresUrl });
});
after(async () => {
  await operator?.stop();
  await proxy?.[Symbol.asyncDispose]();
  await cluster?.[Symbol.asyncDispose]();
});

const keysOf = async (tenant: string) =>
  await stores.sql<{ id: string; state: string; namespace: string }[]>`
    SELECT id, state, namespace FROM api_keys WHERE tenant_id = ${tenant} ORDER BY created_at`;

test("a tenant gets a row, keys, Secrets, profiles and labels, and its status says so", async () => {
  await t.namespace("vision-prod", "vision-dev");
  await t.tenant("vision", {
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
  await t.reason("vision", "Ready", "Reconciled");
  const [row] = await stores.sql`SELECT * FROM tenants WHERE id = 'vision'`;
  assert.deepEqual(
    [row?.["name"], row?.["spans_per_second"], row?.["bytes_per_day"], row?.["retention_days"]],
    ["Vision team", 2000, 200 * 2 ** 30, 60],
  );
  assert.deepEqual(
    [row?.["payload_days"], row?.["on_exceeded"], row?.["traces_per_million"], row?.["owner"]],
    [10, "Sample", 500_000, "operator"],
  );
  const secret = await t.secret("vision-prod");
  assert.equal(secret?.type, "axonize.io/api-key");
  const key = keyIn(secret);
  assert.match(key, /^axk_/);
  const text = (name: string): string =>
    Buffer.from(secret.data?.[name] ?? "", "base64").toString();
  assert.equal(text("OTEL_EXPORTER_OTLP_HEADERS"), `x-axonize-key=${key}`);
  assert.equal(text("AXONIZE_API_KEY_ID"), key.split("_")[1]);
  assert.match(text("AXONIZE_ENDPOINT"), /^http:/);
  assert.notEqual(keyIn(await t.secret("vision-dev")), key, "a key per namespace");
  assert.match(keyIn(await t.secret(operatorNamespace, "axonize-vision-reader")), /^axk_/);
  assert.equal(await t.secret("vision-prod", "axonize-reader"), undefined);
  assert.deepEqual(await t.labels("vision-prod"), {
    "axonize.io/tenant": "vision",
    "axonize.io/injection": "OptOut",
    "kubernetes.io/metadata.name": "vision-prod",
  });
  assert.deepEqual((await t.profile("vision-prod"))?.spec, {
    endpoint: "http://axonize-ingest.axonize-system.svc:4318",
    secretName: "axonize-ingest",
    mode: "OptOut",
    containers: "All",
    delivery: "Env",
    resourceAttributes: { "deployment.environment.name": "prod" },
  });
  const status = await t.statusOf("vision");
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
  const states = await keysOf("vision");
  assert.deepEqual(
    states.map(({ state }) => state),
    ["active", "active", "active"],
  );
});

test("at rest nothing is written to the API, whatever is looked at again", async () => {
  await t.reason("vision", "Ready", "Reconciled");
  const writes = (): string[] =>
    cluster
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
        await operator.metrics(),
      )?.[1] ?? 0,
    );
  // What follows the first time: caches that see what was written.
  let quiet = writes().length;
  await eventually("it is quiet", async () => {
    const was = quiet;
    const before = await runs();
    operator.nudge("vision");
    await eventually("a run", async () => ((await runs()) > before ? true : undefined));
    quiet = writes().length;
    return quiet === was ? true : undefined;
  });
  for (let i = 0; i < 5; i += 1) {
    const before = await runs();
    operator.nudge("vision");
    await eventually("a run", async () => ((await runs()) > before ? true : undefined));
  }
  assert.deepEqual(writes().slice(quiet), []);
});

test("two tenants claim one namespace: the first has it, the other nothing there, until it is free", async () => {
  await t.namespace("contested");
  await t.tenant("first", { namespaces: [{ name: "contested" }] });
  await t.reason("first", "Ready", "Reconciled");
  await t.tenant("second", { namespaces: [{ name: "contested" }] });
  const message = await t.reason("second", "NamespacesBound", "NamespaceConflict");
  assert.match(message, /contested \(of first\)/);
  assert.equal((await keysOf("second")).length, 0);
  const before = keyIdIn(await t.secret("contested"));
  const status = await t.statusOf("second");
  assert.equal(status?.namespaces?.[0]?.conflictingTenant, "first");
  assert.ok(status.conditions?.some(({ type, status: is }) => type === "Stalled" && is === "True"));
  await t.tenant("first", { displayName: "First" });
  await t.reason("second", "Ready", "Reconciled");
  const secret = await eventually("the other's Secret", async () => {
    const found = await t.secret("contested");
    return found !== undefined && keyIdIn(found) !== before ? found : undefined;
  });
  assert.equal(secret.metadata.labels?.["axonize.io/tenant"], "second");
  const old = (await keysOf("first")).filter(({ state }) => state !== "revoked");
  assert.deepEqual(old, [], "the keys of what was given up are revoked");
});

test("a namespace that is made anew is another one: new key, the old one revoked", async () => {
  await t.namespace("phoenix");
  await t.tenant("phoenix", { namespaces: [{ name: "phoenix" }] });
  await t.reason("phoenix", "Ready", "Reconciled");
  const before = keyIdIn(await t.secret("phoenix"));
  await cluster.kubectl("delete", "namespace", "phoenix", "--timeout=90s");
  await t.reason("phoenix", "NamespacesBound", "NamespaceMissing");
  await t.namespace("phoenix");
  await t.reason("phoenix", "Ready", "Reconciled");
  const secret = await eventually("a new Secret", async () => await t.secret("phoenix"));
  assert.notEqual(keyIdIn(secret), before);
  const keys = await keysOf("phoenix");
  assert.equal(keys.find(({ id }) => id === before)?.state, "revoked");
  assert.equal(keys.find(({ id }) => id === keyIdIn(secret))?.state, "active");
});

test("a Secret that is deleted or edited comes back with a new key; the old one goes on for its overlap", async () => {
  await t.namespace("careless");
  await t.tenant("careless", { namespaces: [{ name: "careless" }] });
  await t.reason("careless", "Ready", "Reconciled");
  const first = keyIdIn(await t.secret("careless"));
  const next = async (before: string) =>
    await eventually("another key", async () => {
      const found = await t.secret("careless");
      const id = keyIdIn(found);
      return found !== undefined && id !== before && id.length === 12 ? found : undefined;
    });
  await cluster.kubectl("-n", "careless", "delete", "secret", "axonize-ingest");
  const second = keyIdIn(await next(first));
  const data = Buffer.from("axk_mine").toString("base64");
  await cluster.kubectl(
    ...["-n", "careless", "patch", "secret", "axonize-ingest", "--type=merge"],
    ...["-p", JSON.stringify({ data: { AXONIZE_API_KEY: data } })],
  );
  const third = keyIdIn(await next(second));
  // Everything but the key is put right without a new one.
  await cluster.kubectl(
    ...["-n", "careless", "patch", "secret", "axonize-ingest", "--type=merge"],
    ...[
      "-p",
      JSON.stringify({
        data: { AXONIZE_ENDPOINT: data },
        metadata: { labels: { "axonize.io/tenant": "x" } },
      }),
    ],
  );
  const repaired = await eventually("the rest is put right", async () => {
    const found = await t.secret("careless");
    const endpoint = Buffer.from(found?.data?.["AXONIZE_ENDPOINT"] ?? "", "base64").toString();
    return /^http:/.test(endpoint) && found?.metadata.labels?.["axonize.io/tenant"] === "careless"
      ? found
      : undefined;
  });
  assert.equal(keyIdIn(repaired), third);
  const states = new Map((await keysOf("careless")).map(({ id, state }) => [id, state]));
  assert.deepEqual(
    [first, second, third].map((id) => states.get(id)),
    ["retiring", "retiring", "active"],
  );
  await t.reason("careless", "CredentialsRotating", "OverlapActive");
  await eventually("events tell of it", async () => {
    const edited = await t.events("SecretEdited");
    return edited.some((note) => note.includes(third)) ? true : undefined;
  });
});

test("a Secret that is in the way is left alone until it is gone", async () => {
  await t.namespace("squatted");
  await cluster.kubectl(
    "-n",
    "squatted",
    "create",
    "secret",
    "generic",
    "axonize-ingest",
    "--from-literal=a=b",
  );
  await t.tenant("squatted", { namespaces: [{ name: "squatted" }] });
  const message = await t.reason("squatted", "CredentialsReady", "SecretConflict");
  assert.match(message, /squatted\/axonize-ingest/);
  assert.deepEqual(Object.keys((await t.secret("squatted"))?.data ?? {}), ["a"]);
  assert.equal((await keysOf("squatted")).length, 0);
  await cluster.kubectl("-n", "squatted", "delete", "secret", "axonize-ingest");
  operator.nudge("squatted");
  await t.reason("squatted", "Ready", "Reconciled");
  assert.match(keyIn(await t.secret("squatted")), /^axk_/);
});

test("labels that are stripped come back, and somebody who strips them in a loop gets no writes in a loop", async () => {
  const strip = async (): Promise<void> => {
    await cluster.kubectl(
      "label",
      "namespace",
      "vision-dev",
      "axonize.io/tenant-",
      "axonize.io/injection-",
    );
  };
  await strip();
  await eventually("the labels", async () =>
    (await t.labels("vision-dev"))["axonize.io/tenant"] === "vision" ? true : undefined,
  );
  for (let i = 0; i < 8; i += 1) await strip();
  await eventually("the contest is told", async () =>
    (await t.events("LabelsContested")).length > 0 ? true : undefined,
  );
  const binding = await stores.sql`
    SELECT tenant_id FROM tenant_namespaces WHERE namespace = 'vision-dev'`;
  assert.equal(binding[0]?.["tenant_id"], "vision", "labels decide nothing");
});

test("an operator that dies within a key's steps locks nobody out, and the next one goes on", async () => {
  await operator.stop();
  const { kill } = createKiller();
  const cases = ["before create", "after create", "before apply", "after apply"] as const;
  for (const [index, point] of cases.entries()) {
    const name = `killed-${index}`;
    await t.namespace(name);
    const spec = { namespaces: [{ name }] };
    if (point.endsWith("apply")) {
      await using first = await t.operator({ postgresUrl });
      await t.tenant(name, spec);
      await t.reason(name, "Ready", "Reconciled");
      await first.stop();
    }
    const before = keyIdIn(await t.secret(name));
    await t.tenant(name, spec, point.endsWith("apply") ? { "axonize.io/rotate-keys": "1" } : {});
    const killer = kill(point);
    const dying = await t.operator({ postgresUrl, wrap: killer.wrap });
    await killer.reached;
    await dying.stop();
    const pod = keyIn(await t.secret(name));
    if (pod !== "") await assertTaken(pod, `the key in the Secret, ${point}`);
    await using next = await t.operator({ postgresUrl });
    await t.reason(name, "Ready", "Reconciled");
    const secret = await eventually("the key is settled", async () => {
      const found = await t.secret(name);
      const keys = await keysOf(name);
      const active = keys.filter(({ state }) => state === "active");
      const isSettled =
        active.length === 1 &&
        active[0]?.id === keyIdIn(found) &&
        keys.every(({ state }) => state !== "pending");
      return isSettled && keyIdIn(found) !== before ? found : undefined;
    });
    await assertTaken(keyIn(secret), `the key that settled, ${point}`);
    if (pod !== "") await assertTaken(pod, `the key of a pod that started meanwhile, ${point}`);
    await next.stop();
  }
  operator = await t.operator({ postgresUrl });
});

/** Stops the operator's writing of a Secret for good, before its effect or after it. */
function createKiller() {
  return {
    kill: (point: string) => {
      const [when, verb] = point.split(" ");
      let tell: () => void = () => undefined;
      const reached = new Promise<void>((resolve) => {
        tell = resolve;
      });
      let isDead = false;
      const die = (): never => {
        isDead = true;
        tell();
        throw new Error(`killed ${point}`);
      };
      return {
        reached,
        wrap: (
          client: Parameters<NonNullable<Parameters<TenantCluster["operator"]>[0]["wrap"]>>[0],
        ) => {
          const guard = async <R>(
            called: string,
            kind: string,
            work: () => Promise<R>,
          ): Promise<R> => {
            if (isDead) throw new Error("it is dead");
            const isIt = called === verb && kind === "Secret";
            if (isIt && when === "before") die();
            const result = await work();
            if (isIt && when === "after") die();
            return result;
          };
          return {
            ...client,
            create: async (...args: Parameters<typeof client.create>) =>
              await guard("create", args[1].kind, async () => await client.create(...args)),
            apply: async (...args: Parameters<typeof client.apply>) =>
              await guard("apply", args[1].kind, async () => await client.apply(...args)),
          } as typeof client; // the same functions, guarded
        },
      };
    },
  };
}

async function assertTaken(key: string, what: string): Promise<void> {
  const { createAccess, isRefusal } = await import("@axonize/core/runtime/access");
  const { systemClock } = await import("@axonize/core/runtime/clock");
  const { silentLog } = await import("@axonize/core/runtime/log");
  await using access = await createAccess(
    { sql: stores.sql, clock: systemClock, log: silentLog },
    { adminKey: undefined, loopbackTenant: undefined },
  );
  const grant = access.authenticate(key, { peerLoopback: false });
  assert.ok(!isRefusal(grant), `${what}: ${isRefusal(grant) ? grant.message : ""}`);
}

test("PostgreSQL away: the condition says so, what is there stays, and it goes on by itself", async () => {
  await t.namespace("patient");
  proxy.cut();
  try {
    await t.tenant("patient", { namespaces: [{ name: "patient" }] });
    await t.reason("patient", "DatabaseSynced", "DatabaseUnavailable");
    await t.reason("patient", "Ready", "DatabaseUnavailable");
    assert.match(keyIn(await t.secret("vision-prod")), /^axk_/);
  } finally {
    proxy.mend();
  }
  await t.reason("patient", "Ready", "Reconciled");
});

test("a deleted tenant leaves nothing in its namespaces; its data waits and is adopted again", async () => {
  await t.namespace("leaving");
  await t.tenant("leaving", { namespaces: [{ name: "leaving" }] });
  await t.reason("leaving", "Ready", "Reconciled");
  const [before] = await stores.sql`SELECT num FROM tenants WHERE id = 'leaving'`;
  await cluster.kubectl("delete", "axonizetenant", "leaving", "--timeout=60s");
  assert.equal(await t.secret("leaving"), undefined);
  assert.equal(await t.profile("leaving"), undefined);
  assert.deepEqual(Object.keys(await t.labels("leaving")), ["kubernetes.io/metadata.name"]);
  const [row] = await stores.sql`SELECT * FROM tenants WHERE id = 'leaving'`;
  assert.deepEqual([row?.["lifecycle"], row?.["owner_uid"]], ["orphaned", null]);
  assert.ok((await keysOf("leaving")).every(({ state }) => state === "revoked"));
  await t.tenant("leaving-2", { tenantID: "leaving", namespaces: [{ name: "leaving" }] });
  await t.reason("leaving-2", "Ready", "Reconciled");
  const [adopted] = await stores.sql`SELECT num, lifecycle FROM tenants WHERE id = 'leaving'`;
  assert.deepEqual([adopted?.["num"], adopted?.["lifecycle"]], [before?.["num"], "active"]);
  await t.tenant("leaving-3", { tenantID: "leaving" });
  await t.reason("leaving-3", "DatabaseSynced", "OwnedByOtherTenant");
});

test("a tenant of another cluster is left alone while its owner is seen, and adopted when it is silent", async () => {
  await stores.sql`
    INSERT INTO tenants (id, name, owner, owner_cluster_uid, owner_uid, owner_seen_at)
    VALUES ('abroad', 'Abroad', 'operator', 'another-cluster', 'another-uid', now())`;
  await t.tenant("abroad", { adoptionPolicy: "Force" });
  await t.reason("abroad", "DatabaseSynced", "OwnedByOtherCluster");
  const [kept] = await stores.sql`SELECT owner_uid FROM tenants WHERE id = 'abroad'`;
  assert.equal(kept?.["owner_uid"], "another-uid", "force needs the operator's leave, too");
  await stores.sql`
    UPDATE tenants SET owner_seen_at = now() - interval '31 minutes' WHERE id = 'abroad'`;
  operator.nudge("abroad");
  await t.reason("abroad", "Ready", "Reconciled");
});

test("with Delete the data is queued for deletion, and the id is free when that is done", async () => {
  await t.tenant("purged", { deletionPolicy: "Delete" });
  await t.reason("purged", "Ready", "Reconciled");
  await cluster.kubectl("delete", "axonizetenant", "purged", "--timeout=60s");
  const [job] = await stores.sql`SELECT tenant_num FROM purge_jobs WHERE tenant_id = 'purged'`;
  assert.ok(typeof job?.["tenant_num"] === "number");
  await t.tenant("purged", {});
  await t.reason("purged", "DatabaseSynced", "Pending");
  await stores.sql`DELETE FROM tenants WHERE id = 'purged'`;
  operator.nudge("purged");
  await t.reason("purged", "Ready", "Reconciled");
});

test("a deletion without PostgreSQL waits and says so, never holds a namespace, and can be forced", async () => {
  await t.namespace("stuck");
  await t.tenant("stuck", { namespaces: [{ name: "stuck" }] });
  await t.reason("stuck", "Ready", "Reconciled");
  const pod = keyIn(await t.secret("stuck"));
  proxy.cut();
  try {
    await cluster.kubectl("delete", "axonizetenant", "stuck", "--wait=false");
    await t.reason("stuck", "Ready", "DatabaseUnavailable");
    await eventually("it is told", async () =>
      (await t.events("DeletionWaits")).length > 0 ? true : undefined,
    );
    await cluster.kubectl("delete", "namespace", "stuck", "--timeout=90s");
    await cluster.kubectl("annotate", "axonizetenant", "stuck", "axonize.io/force-delete=true");
    await cluster.kubectl("wait", "--for=delete", "axonizetenant/stuck", "--timeout=60s");
    await assertTaken(pod, "the row is the tombstone");
  } finally {
    proxy.mend();
  }
  operator.nudge("/rows");
  await eventually("the row without a resource is found", async () => {
    const [row] = await stores.sql`SELECT lifecycle FROM tenants WHERE id = 'stuck'`;
    return row?.["lifecycle"] === "orphaned" ? true : undefined;
  });
  assert.ok((await keysOf("stuck")).every(({ state }) => state === "revoked"));
});
