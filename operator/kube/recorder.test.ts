/**
 * Events: sent once in five minutes, then as a series; bounded, and never in the way.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createFakeClock } from "../../test/support/fake-clock.ts";
import { maxEventsWaiting } from "./limits.ts";
import { createRecorder } from "./recorder.ts";
import { startFaultServer, status, type FaultServer } from "./testing/fault-server.ts";
import { kitFor, valueOf } from "./testing/cluster.ts";

const tenant = {
  apiVersion: "axonize.io/v1alpha1",
  kind: "AxonizeTenant",
  metadata: { name: "vision", uid: "u1", resourceVersion: "7" },
};
const bound = { type: "Normal", reason: "Bound", action: "Bind", note: "namespace a" } as const;

function recorderFor(server: FaultServer) {
  const clock = createFakeClock();
  const kit = { ...kitFor(server.url), clock };
  const recorder = createRecorder(kit, { controller: "tenant", instance: "pod-1" });
  return { ...kit, clock, recorder };
}

test("an event of a cluster-scoped object goes to the default namespace, with everything the API wants", async () => {
  await using server = await startFaultServer();
  const { recorder, transport, clock } = recorderFor(server);
  recorder.event(tenant, { ...bound, note: "n".repeat(2_000) });
  await recorder.idle();
  const [request] = server.requests;
  assert.equal(request?.url.pathname, "/apis/events.k8s.io/v1/namespaces/default/events");
  const { metadata, ...body } = JSON.parse(request?.body ?? "") as Record<string, unknown> & {
    metadata: { name: string };
  };
  assert.match(metadata.name, /^vision\.[0-9a-f]{16}\./);
  assert.deepEqual(body, {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    eventTime: "2026-01-01T00:00:00.000000Z",
    reportingController: "axonize.io/tenant",
    reportingInstance: "pod-1",
    type: "Normal",
    reason: "Bound",
    action: "Bind",
    note: "n".repeat(1_024),
    regarding: {
      apiVersion: tenant.apiVersion,
      kind: "AxonizeTenant",
      name: "vision",
      uid: "u1",
      resourceVersion: "7",
    },
  });
  assert.equal(clock.monotonic(), 0);
  await transport.close();
});

test("the same event is sent once in five minutes, then as a series with its count; another note is another event", async () => {
  await using server = await startFaultServer();
  const { recorder, transport, clock } = recorderFor(server);
  for (let i = 0; i < 5; i += 1) recorder.event(tenant, bound);
  recorder.event(tenant, { ...bound, note: "namespace b" });
  await recorder.idle();
  assert.equal(server.requests.length, 2);
  await clock.advance(299_000);
  recorder.event(tenant, bound);
  await recorder.idle();
  assert.equal(server.requests.length, 2);
  await clock.advance(1_000);
  recorder.event(tenant, bound);
  await recorder.idle();
  const last = server.requests.at(-1);
  assert.equal(last?.method, "PATCH");
  const time = "2026-01-01T00:05:00.000000Z";
  assert.deepEqual(JSON.parse(last?.body ?? ""), { series: { count: 7, lastObservedTime: time } });
  await transport.close();
});

test("an event that the server has forgotten begins anew", async () => {
  await using server = await startFaultServer();
  const { recorder, transport, clock } = recorderFor(server);
  recorder.event(tenant, bound);
  await recorder.idle();
  server.fault((asked, response) => {
    if (asked.method !== "PATCH") return false;
    status(response, 404, "NotFound");
    return true;
  });
  const before = server.requests.length;
  server.remove("/apis/events.k8s.io/v1/namespaces/default/events", nameOf(server));
  await clock.advance(300_000);
  recorder.event(tenant, bound);
  await recorder.idle();
  assert.deepEqual(
    server.requests.slice(before).map(({ method }) => method),
    ["PATCH", "POST"],
  );
  await transport.close();
});

const nameOf = (server: FaultServer): string =>
  (JSON.parse(server.requests[0]?.body ?? "") as { metadata: { name: string } }).metadata.name;

test("events that cannot be sent are counted and gone; too many that wait are dropped", async () => {
  await using server = await startFaultServer();
  const { recorder, transport, registry } = recorderFor(server);
  const dropped = async (reason: string) =>
    await valueOf(registry, "axonize_operator_events_dropped_total", { reason });
  assert.deepEqual([await dropped("full"), await dropped("failed")], [0, 0]);
  server.fault((_, response) => (status(response, 403, "Forbidden"), true));
  recorder.event(tenant, bound);
  await recorder.idle();
  assert.equal(await dropped("failed"), 1);
  server.fault(undefined);
  for (let i = 0; i < maxEventsWaiting + 10; i += 1) {
    recorder.event(tenant, { ...bound, note: `namespace ${i}` });
  }
  await recorder.idle();
  assert.equal(await dropped("full"), 10);
  assert.equal(server.requests.length, 1 + maxEventsWaiting);
  await transport.close();
});
