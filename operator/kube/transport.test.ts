/**
 * Connections: few, to one authority, given up when they only look open, and made anew when the authority
 * changes. And APIs that a cluster may lack.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock, type Clock } from "@axonize/core/runtime/clock";
import { createFakeClock } from "../../test/support/fake-clock.ts";
import { planCertificates } from "../injection/certificates.ts";
import { createAccess } from "./access.ts";
import { createInformer } from "./informer.ts";
import { configMaps, resourceSlices } from "./kinds.ts";
import { createProbes } from "./probes.ts";
import { json, startFaultServer, status } from "./testing/fault-server.ts";
import { kitFor, openAccess, until } from "./testing/cluster.ts";
import { createTransport } from "./transport.ts";
import type { KubeObject } from "./types.ts";

test("an authority that is renewed is trusted from the next look at its file on, by a new connection", async () => {
  const certificates = () =>
    planCertificates(undefined, { now: Date.now(), hosts: ["127.0.0.1", "localhost"] })
      .certificates;
  const [old, renewed] = [certificates(), certificates()];
  const server = createServer({ ...old.serving }, (_request, response) => json(response, 200, {}));
  let connections = 0;
  server.on("secureConnection", () => (connections += 1));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as AddressInfo; // it listens on TCP
  const dir = mkdtempSync(join(tmpdir(), "axonize-account-"));
  writeFileSync(join(dir, "token"), "t");
  writeFileSync(join(dir, "ca.crt"), old.authority.cert);
  const clock = createFakeClock();
  const access = await createAccess(
    { clock },
    { kubeconfig: undefined, serviceHost: "localhost", servicePort: String(port), accountDir: dir },
  );
  const transport = createTransport({ access, clock }, { userAgent: "test" });
  const ask = async (): Promise<object> =>
    await transport.json({ method: "GET", path: "/version" });
  await ask();
  await ask();
  assert.ok(connections <= 2, `${connections} connections for two calls`);
  server.setSecureContext({ ...renewed.serving });
  server.closeAllConnections();
  await assert.rejects(
    ask(),
    { status: 0, reason: "Network" },
    "the old authority did not sign it",
  );
  writeFileSync(join(dir, "ca.crt"), renewed.authority.cert);
  await clock.advance(60_000);
  await ask();
  await transport.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(dir, { recursive: true });
});

test("an answer that never comes, or stops in its middle, is given up", async () => {
  await using server = await startFaultServer();
  const { transport } = kitFor(server.url);
  const ask = async (): Promise<unknown> =>
    await transport.json({ method: "GET", path: "/api/v1/nodes/x", timeoutMs: 300 });
  server.fault(() => true);
  await assert.rejects(ask(), { status: 0, reason: "Network" });
  server.fault((_, response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.write('{"kind": "No');
    return true;
  });
  await assert.rejects(ask(), { status: 0, reason: "Network" });
  await transport.close();
});

test("a hundred watches that are cut and a thousand calls leave a handful of connections", async () => {
  await using server = await startFaultServer();
  const kit = kitFor(server.url);
  // As fast as connections can be cut: what is tested is that none is left over.
  const clock: Clock = {
    ...systemClock,
    sleep: async (ms, signal) => await systemClock.sleep(ms / 1000, signal),
  };
  const stop = new AbortController();
  const informer = createInformer<KubeObject>({ ...kit, clock }, configMaps);
  const running = informer.run(stop.signal);
  const watches = (): number => server.requests.filter(({ isWatch }) => isWatch).length;
  for (let i = 1; i <= 100; i += 1) {
    await until(() => watches() >= i && server.watchCount === 1, `watch ${i}`);
    server.endWatches(i % 2 === 0 ? "cut" : "end");
  }
  for (let i = 0; i < 1_000; i += 50) {
    const calls = Array.from({ length: 50 }, async () => {
      await kit.transport.json({ method: "GET", path: "/api/v1/configmaps" });
    });
    await Promise.all(calls);
  }
  await until(() => server.watchCount === 1, "one watch");
  // One per cut watch was lost; the rest is shared, within the pool's 64.
  assert.ok(server.socketCount <= 50 + 64 + 20, `${server.socketCount} connections`);
  assert.ok(server.openSockets <= 64, `${server.openSockets} open`);
  stop.abort();
  await running;
  await kit.transport.close();
  await until(() => server.openSockets === 0, "all are closed");
});

test("a cluster that is served below a path is asked below it", async () => {
  await using server = await startFaultServer();
  const transport = createTransport(
    { access: openAccess(`${server.url}/k8s/clusters/c1`), clock: systemClock },
    { userAgent: "test" },
  );
  server.fault((_, response) => (json(response, 200, {}), true));
  await transport.json({ method: "GET", path: "/api", query: { limit: "1", none: undefined } });
  const [request] = server.requests;
  assert.equal(`${request?.url.pathname}${request?.url.search}`, "/k8s/clusters/c1/api?limit=1");
  await transport.close();
});

test("an optional API is looked for at the start and every five minutes", async () => {
  await using server = await startFaultServer();
  const kit = kitFor(server.url);
  const clock = createFakeClock();
  const found: boolean[] = [];
  const probes = createProbes({ ...kit, clock, onFound: (_, served) => void found.push(served) }, [
    resourceSlices,
  ]);
  server.fault((_, response) => (status(response, 404, "NotFound"), true));
  const stop = new AbortController();
  const running = probes.run(stop.signal);
  await until(() => found.length === 1, "the first");
  assert.equal(probes.isServed(resourceSlices), false);
  server.fault((asked, response) => {
    assert.equal(asked.url.pathname, "/apis/resource.k8s.io/v1");
    json(response, 200, { resources: [{ name: "resourceslices" }] });
    return true;
  });
  await clock.advance(299_000);
  assert.equal(found.length, 1);
  await clock.advance(1_000);
  await until(() => found.length === 2, "the second");
  assert.equal(probes.isServed(resourceSlices), true);
  server.fault((_, response) => (status(response, 500, "InternalError"), true));
  const { length } = server.requests;
  await clock.advance(300_000);
  await until(() => server.requests.length > length, "asked again");
  await clock.advance(0);
  assert.equal(probes.isServed(resourceSlices), true, "an error says nothing");
  stop.abort();
  await running;
  await kit.transport.close();
});
