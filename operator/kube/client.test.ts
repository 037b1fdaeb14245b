/**
 * The client on the wire: what is sent for which call, what an error says, when is waited, tried again and
 * not sent at all; credentials and authorities that rotate.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import { createFakeClock } from "../../test/support/fake-clock.ts";
import { createAccess, type ClusterAccess, type Credentials } from "./access.ts";
import { ApiError, isApiError } from "./api-error.ts";
import { release } from "./apply.ts";
import { createKubeClient, openGate, type WriteGate } from "./client.ts";
import { axonizeTenants, configMaps, secrets } from "./kinds.ts";
import { createRateBucket } from "./rate-bucket.ts";
import { runInScope } from "./scope.ts";
import {
  startFaultServer,
  status,
  statusOf,
  json,
  type FaultServer,
} from "./testing/fault-server.ts";
import { kitFor, openAccess, until, valueOf } from "./testing/cluster.ts";
import { createTransport } from "./transport.ts";
import type { KubeClient } from "./types.ts";

const path = "/api/v1/namespaces/n/configmaps";
const map = (name: string, fields: object = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "n" },
  ...fields,
});
const ref = (name: string) => ({ kind: configMaps, namespace: "n", name });

function clientFor(server: FaultServer, gate: WriteGate = openGate) {
  const kit = kitFor(server.url);
  return { ...kit, client: createKubeClient({ transport: kit.transport, gate }) };
}

/** What it is rejected with. */
const refusal = async (call: Promise<unknown>): Promise<unknown> => {
  try {
    await call;
  } catch (error) {
    return error;
  }
  return assert.fail("it was not refused");
};

test("each call is one request with its own content type, manager and preconditions", async () => {
  await using server = await startFaultServer();
  const { client, transport } = clientFor(server);
  const last = () => server.requests.at(-1);
  await client.apply({ ...map("a"), data: { x: "1" } }, configMaps, {
    manager: "axonize-operator/test",
    force: true,
  });
  assert.equal(last()?.method, "PATCH");
  assert.equal(last()?.headers["content-type"], "application/apply-patch+yaml");
  assert.equal(last()?.url.search, "?fieldManager=axonize-operator%2Ftest&force=true");
  const tenant = {
    apiVersion: "axonize.io/v1alpha1",
    kind: "AxonizeTenant",
    metadata: { name: "t" },
  };
  await client.apply({ ...tenant, status: {} }, axonizeTenants, {
    manager: "m",
    subresource: "status",
    dryRun: true,
  });
  assert.equal(last()?.url.pathname, "/apis/axonize.io/v1alpha1/axonizetenants/t/status");
  assert.equal(last()?.url.searchParams.get("dryRun"), "All");
  assert.equal(last()?.url.searchParams.get("force"), null);
  await client
    .jsonPatch(ref("a"), [{ op: "remove", path: "/metadata/finalizers/0" }])
    .catch(() => undefined); // it merges
  assert.equal(last()?.headers["content-type"], "application/json-patch+json");
  await release(client, ref("a"), { manager: "axonize-operator/test" });
  assert.deepEqual(JSON.parse(last()?.body ?? ""), map("a"));
  const { uid, resourceVersion } = (await client.get(ref("a")))?.metadata ?? {};
  assert.equal(
    await client.delete(ref("a"), { uid: uid ?? "", resourceVersion: resourceVersion ?? "" }),
    true,
  );
  assert.deepEqual(JSON.parse(last()?.body ?? ""), {
    apiVersion: "v1",
    kind: "DeleteOptions",
    propagationPolicy: "Background",
    preconditions: { uid, resourceVersion },
  });
  assert.equal(await client.delete(ref("a")), false);
  assert.equal(await client.get(ref("a")), undefined);
  assert.equal(last()?.headers["user-agent"], "axonize-operator/test");
  await transport.close();
});

test("a list has all pages and names the kind on every item", async () => {
  await using server = await startFaultServer();
  for (let i = 0; i < 1_001; i += 1)
    server.set(path, { metadata: { name: `c${i}`, namespace: "n" } });
  const { client, transport } = clientFor(server);
  const { items, resourceVersion } = await client.list(configMaps, { namespace: "n" });
  assert.equal(items.length, 1_001);
  assert.equal(resourceVersion, String(server.version));
  assert.equal(
    items.every(({ kind, apiVersion }) => kind === "ConfigMap" && apiVersion === "v1"),
    true,
  );
  await transport.close();
});

test("an error has the server's status, reason, message and causes; a page of a proxy is no reason", async () => {
  await using server = await startFaultServer();
  const { client, transport } = clientFor(server);
  server.fault((_, response) => {
    const details = { causes: [{ field: "spec.x", message: "too long" }] };
    json(response, 422, { ...statusOf(422, "Invalid", "x is invalid"), details });
    return true;
  });
  const error = await refusal(client.get(ref("a")));
  assert.ok(isApiError(error, 422));
  assert.deepEqual([error.reason, error.message], ["Invalid", "x is invalid"]);
  assert.deepEqual(error.causes, [{ field: "spec.x", message: "too long" }]);
  server.fault((_, response) => (response.writeHead(502).end("<html>bad gateway</html>"), true));
  const proxy = await refusal(client.create(map("a"), configMaps));
  assert.ok(isApiError(proxy, 502));
  assert.match(proxy.message, /bad gateway/);
  server.fault((_, response) => (response.destroy(), true));
  const before = server.requests.length;
  await assert.rejects(client.get(ref("a")), { status: 0, reason: "Network" });
  assert.equal(server.requests.length, before + 2, "a read is asked for once more");
  await assert.rejects(client.create(map("a"), configMaps), { status: 0 });
  assert.equal(server.requests.length, before + 3, "a write is not: it may have arrived");
  await transport.close();
});

test("429 is waited out as long as the server says, by the whole client, and given up after some tries", async () => {
  await using server = await startFaultServer();
  const clock = createFakeClock();
  const bucket = createRateBucket({ clock }, { perSecond: 100, burst: 200 });
  const transport = createTransport(
    { access: openAccess(server.url), clock, bucket },
    { userAgent: "test" },
  );
  const client = createKubeClient({ transport, gate: openGate });
  let left = 2;
  server.fault((_, response) => {
    left -= 1;
    if (left < 0) return false;
    status(response, 429, "TooManyRequests", { "retry-after": "7" });
    return true;
  });
  const created = client.create(map("a"), configMaps);
  const startMs = clock.monotonic();
  let done = false;
  void created.then(() => (done = true));
  await until(async () => {
    await clock.advance(100);
    return done;
  }, "created at last");
  assert.ok(clock.monotonic() - startMs >= 14_000, "two times 7 s");
  left = Infinity;
  const refused = refusal(client.create(map("b"), configMaps));
  let error: unknown;
  void refused.then((thrown) => (error = thrown));
  await until(async () => {
    await clock.advance(1_000);
    return error !== undefined;
  }, "given up");
  assert.ok(error instanceof ApiError && error.status === 429 && error.retryAfterMs === 7_000);
  await transport.close();
});

test("the client's own rate: 200 at once, then 100 a second, in order; a pause stops all", async () => {
  const clock = createFakeClock();
  const waits: number[] = [];
  const bucket = createRateBucket(
    { clock, onWait: (ms) => waits.push(ms) },
    { perSecond: 100, burst: 200 },
  );
  const passed: number[] = [];
  const all = Array.from({ length: 500 }, async (_, i) => {
    await bucket.take();
    passed.push(i);
  });
  await clock.advance(0);
  assert.equal(passed.length, 200);
  await clock.advance(1_000);
  assert.equal(passed.length, 300);
  await clock.advance(2_000);
  await Promise.all(all);
  assert.deepEqual(
    passed,
    passed.toSorted((a, b) => a - b),
  );
  assert.equal(waits.length, 300);
  await clock.advance(10_000);
  bucket.pause(5_000);
  let isThrough = false;
  const late = bucket.take().then(() => (isThrough = true));
  await clock.advance(4_999);
  assert.equal(isThrough, false);
  await clock.advance(1);
  await late;
  const abort = new AbortController();
  bucket.pause(5_000);
  const waiting = bucket.take(abort.signal);
  abort.abort(new Error("stop"));
  await assert.rejects(waiting, /stop/);
});

test("a write that waits when the lease is lost is never sent; reads are", async () => {
  await using server = await startFaultServer();
  let isLeader = true;
  const gate: WriteGate = {
    assertMayWrite: () => {
      if (!isLeader) throw new ApiError("lost", { status: 0, reason: "NotLeader" });
    },
  };
  // The credentials are slow: the gate was open at the call, and is closed when the bytes would leave.
  const held = Promise.withResolvers<Credentials>();
  const access: ClusterAccess = {
    ...openAccess(server.url),
    credentials: async () => await held.promise,
  };
  const transport = createTransport({ access, clock: systemClock }, { userAgent: "test" });
  const client = createKubeClient({ transport, gate });
  const writing = client.create(map("a"), configMaps);
  isLeader = false;
  held.resolve({ headers: {}, tls: {} });
  await assert.rejects(writing, { reason: "NotLeader" });
  await assert.rejects(client.delete(ref("a")), { reason: "NotLeader" });
  assert.equal(server.requests.length, 0);
  assert.equal(await client.get(ref("a")), undefined);
  assert.equal(server.requests.length, 1);
  isLeader = true;
  await client.create(map("a"), configMaps);
  assert.ok(server.get(path, "a"));
  await transport.close();
});

test("calls inside of a reconcile end with its signal, and what they wrote is noted", async () => {
  await using server = await startFaultServer();
  const { client, transport } = clientFor(server);
  const abort = new AbortController();
  const wrote: string[] = [];
  const scope = {
    signal: abort.signal,
    wrote: (_kind: object, key: string, version: string) => void wrote.push(`${key}@${version}`),
  };
  await runInScope(scope, async () => {
    await client.create(map("a"), configMaps);
    await client.apply(map("a"), configMaps, { manager: "m", dryRun: true });
  });
  assert.deepEqual(wrote, [`n/a@101`], "a dry run wrote nothing");
  server.fault(() => true);
  const hanging = runInScope(scope, async () => await client.get(ref("a")));
  await until(() => server.requests.length === 3, "it hangs");
  abort.abort(new Error("the time is up"));
  await assert.rejects(hanging, /the time is up/);
  await transport.close();
});

test("requests are counted by code, method and host, and timed", async () => {
  await using server = await startFaultServer();
  const { client, transport, registry } = clientFor(server);
  await client.get(ref("a"));
  await client.create(map("a"), configMaps);
  const host = new URL(server.url).host;
  const count = async (code: string, method: string) =>
    await valueOf(registry, "rest_client_requests_total", { code, method, host });
  assert.deepEqual([await count("404", "GET"), await count("201", "POST")], [1, 1]);
  assert.match(await registry.metrics(), /rest_client_request_duration_seconds_count\{verb="GET"/);
  await transport.close();
});

async function serviceAccountClient(server: FaultServer, dir: string, clock = createFakeClock()) {
  const access = await createAccess(
    { clock },
    { kubeconfig: undefined, serviceHost: "ignored", servicePort: "1", accountDir: dir },
  );
  const transport = createTransport(
    { access: { ...access, url: server.url }, clock },
    { userAgent: "test" },
  );
  const client: KubeClient = createKubeClient({ transport, gate: openGate });
  return { client, clock, access, transport };
}

test("a renewed token is used within a minute, and at once when the old one is refused", async () => {
  await using server = await startFaultServer();
  const dir = mkdtempSync(join(tmpdir(), "axonize-account-"));
  const write = (name: string, text: string): void => writeFileSync(join(dir, name), text);
  write("token", "first\n");
  write("ca.crt", "-----BEGIN CERTIFICATE-----\n");
  write("namespace", "axonize-system");
  const { client, clock, access, transport } = await serviceAccountClient(server, dir);
  assert.equal(access.namespace, "axonize-system");
  assert.equal(access.url, "https://ignored:1");
  const used = async (): Promise<string | undefined> => {
    await client.get(ref("a"));
    return server.requests.at(-1)?.headers.authorization;
  };
  assert.equal(await used(), "Bearer first");
  write("token", "second");
  assert.equal(await used(), "Bearer first", "within the minute");
  await clock.advance(60_000);
  assert.equal(await used(), "Bearer second");
  write("token", "third");
  server.fault(({ headers }, response) => {
    if (headers.authorization === "Bearer third") return false;
    status(response, 401, "Unauthorized");
    return true;
  });
  assert.equal(await used(), "Bearer third");
  rmSync(join(dir, "token"));
  await clock.advance(60_000);
  assert.equal(await used(), "Bearer third", "a file that is being replaced");
  await transport.close();
  rmSync(dir, { recursive: true });
});

test("outside of a pod without a kubeconfig the start says what to do", async () => {
  const none = { kubeconfig: undefined, serviceHost: undefined, servicePort: undefined };
  const deps = { clock: systemClock };
  await assert.rejects(createAccess(deps, none), /Set KUBECONFIG/);
  await assert.rejects(createAccess(deps, { ...none, kubeconfig: "/nowhere" }), /\/nowhere/);
  const pod = { ...none, serviceHost: "fd00::1", servicePort: "443", accountDir: "/nowhere" };
  await assert.rejects(createAccess(deps, pod), /automountServiceAccountToken/);
});

test("a Secret's unknown fields survive: nothing is read into a type and written back", async () => {
  await using server = await startFaultServer();
  const { client, transport } = clientFor(server);
  const secret = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "s", namespace: "n" },
    unknownField: { deep: [1, "2"] },
  };
  const created = await client.create(secret, secrets);
  assert.deepEqual(created.unknownField, secret.unknownField);
  await transport.close();
});
