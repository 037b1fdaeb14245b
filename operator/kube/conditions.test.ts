/**
 * Conditions that move only when they change, status that is written only when it differs, and which events
 * are worth a reconcile.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createApplyStatus } from "./apply.ts";
import { createKubeClient, openGate } from "./client.ts";
import { isDeepEqual, microTimeOf, setCondition, setReady } from "./conditions.ts";
import { gpuPools } from "./kinds.ts";
import { initControllerMetrics } from "./metrics.ts";
import { concernsContent, concernsSpec } from "./predicates.ts";
import { startFaultServer, status } from "./testing/fault-server.ts";
import { kitFor, valueOf } from "./testing/cluster.ts";
import type { Condition, KubeObject } from "./types.ts";
import { compareVersions } from "./versions.ts";

const at = (second: number): Date => new Date(Date.UTC(2026, 0, 1, 0, 0, second, 789));
const time = (second: number): string => `2026-01-01T00:00:0${second}Z`;
const update = (status: Condition["status"], reason: string) =>
  ({ type: "Ready", status, reason, message: "m", observedGeneration: 1 }) as const;

test("the transition time moves when the status does, and not for a new reason or generation", () => {
  const first = setCondition(undefined, update("False", "A"), at(1));
  assert.equal(first[0]?.lastTransitionTime, time(1));
  assert.equal(setCondition(first, update("False", "A"), at(2)), first, "the same array");
  const second = setCondition(first, update("False", "B"), at(2));
  assert.deepEqual([second[0]?.reason, second[0]?.lastTransitionTime], ["B", time(1)]);
  const third = setCondition(second, { ...update("False", "B"), observedGeneration: 2 }, at(3));
  assert.deepEqual([third[0]?.observedGeneration, third[0]?.lastTransitionTime], [2, time(1)]);
  const fourth = setCondition(third, update("True", "C"), at(4));
  assert.equal(fourth[0]?.lastTransitionTime, time(4));
  assert.equal(setCondition(fourth, { ...update("True", "D"), type: "Other" }, at(5)).length, 2);
});

test("Ready comes with what kstatus reads: Reconciling while it works, Stalled when only a change helps", () => {
  const types = (conditions: readonly Condition[]): string =>
    conditions.map(({ type, status }) => `${type}=${status}`).join();
  const base = { generation: 3, reason: "R", message: "m" };
  const working = setReady(undefined, { ...base, ready: "False", reconciling: true }, at(1));
  assert.equal(types(working), "Ready=False,Reconciling=True");
  const stalled = setReady(working, { ...base, ready: "False", stalled: true }, at(2));
  assert.equal(types(stalled), "Ready=False,Stalled=True");
  assert.equal(stalled[0]?.lastTransitionTime, time(1));
  const ready = setReady(stalled, { ...base, ready: "True" }, at(3));
  assert.equal(types(ready), "Ready=True");
  assert.equal(setReady(ready, { ...base, ready: "True" }, at(4)), ready);
});

test("deep equality is that of JSON", () => {
  const report = fc.check(
    fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
      assert.equal(isDeepEqual(a, structuredClone(a)), true);
      const sorted = (value: unknown): string =>
        JSON.stringify(value, (_, inner: unknown) =>
          typeof inner === "object" && inner !== null && !Array.isArray(inner)
            ? Object.fromEntries(Object.entries(inner).sort(([x], [y]) => (x < y ? -1 : 1)))
            : inner,
        );
      // JSON has one zero, JavaScript two.
      if (!/-0/.test(sorted([a, b]))) assert.equal(isDeepEqual(a, b), sorted(a) === sorted(b));
    }),
  );
  console.log(`seed ${report.seed}`);
  assert.ok(!report.failed, fc.defaultReportMessage(report));
  assert.ok(isDeepEqual({ a: 1, b: undefined }, { a: 1 }));
  assert.ok(!isDeepEqual([], {}));
  assert.ok(!isDeepEqual({ a: 1 }, { b: 1 }));
});

test("a MicroTime has six digits, and versions compare as numbers of any length", () => {
  assert.equal(microTimeOf(Date.UTC(2026, 10, 29, 1, 2, 3, 914)), "2026-11-29T01:02:03.914000Z");
  const report = fc.check(
    fc.property(
      fc.bigInt({ min: 0n, max: 2n ** 64n }),
      fc.bigInt({ min: 0n, max: 2n ** 64n }),
      (a, b) => {
        const sign = a < b ? -1 : a > b ? 1 : 0;
        assert.equal(Math.sign(compareVersions(String(a), String(b))), sign);
      },
    ),
  );
  console.log(`seed ${report.seed}`);
  assert.ok(!report.failed, fc.defaultReportMessage(report));
});

test("a status that says the same is not written, one that differs is applied through the subresource, a refusal is counted and thrown", async () => {
  await using server = await startFaultServer();
  const kit = kitFor(server.url);
  initControllerMetrics(kit.metrics, "gpupool", 1);
  const client = createKubeClient({ transport: kit.transport, gate: openGate });
  const applyStatus = createApplyStatus(
    { client, metrics: kit.metrics },
    { controller: "gpupool" },
  );
  const object = {
    apiVersion: "axonize.io/v1alpha1",
    kind: "GpuPool",
    metadata: { name: "p", uid: "u", labels: { a: "b" } },
    status: { nodes: 2 },
  };
  assert.equal(await applyStatus(object, gpuPools, { nodes: 2 }), false);
  assert.equal(server.requests.length, 0);
  assert.equal(await applyStatus(object, gpuPools, { nodes: 3 }), true);
  const [request] = server.requests;
  assert.equal(request?.url.pathname, "/apis/axonize.io/v1alpha1/gpupools/p/status");
  assert.equal(request?.url.searchParams.get("fieldManager"), "axonize-operator/gpupool");
  assert.deepEqual(JSON.parse(request?.body ?? ""), {
    apiVersion: "axonize.io/v1alpha1",
    kind: "GpuPool",
    metadata: { name: "p", uid: "u" },
    status: { nodes: 3 },
  });
  server.fault((_, response) => (status(response, 409, "Conflict"), true));
  await assert.rejects(applyStatus(object, gpuPools, { nodes: 4 }), { status: 409 });
  const labels = { controller: "gpupool" };
  const value = async (name: string, more: object = {}) =>
    await valueOf(kit.registry, `axonize_operator_status_update_${name}`, { ...labels, ...more });
  assert.equal(await value("errors_total"), 1);
  assert.equal(await value("operations_total", { result: "written" }), 1);
  assert.equal(await value("operations_total", { result: "unchanged" }), 1);
  await kit.transport.close();
});

test("of the own kind a status write is no reason to reconcile; of others' a new version alone is none", () => {
  const object = (metadata: object, more: object = {}): KubeObject => ({
    apiVersion: "v1",
    kind: "X",
    metadata: { name: "x", ...metadata },
    ...more,
  });
  const before = object({ generation: 1, resourceVersion: "1" }, { status: 1 });
  const after = (metadata: object, more: object = { status: 1 }) =>
    ({ type: "updated", before, object: object({ generation: 1, ...metadata }, more) }) as const;
  assert.equal(concernsSpec(after({ resourceVersion: "2" }, { status: 2 })), false);
  for (const metadata of [
    { generation: 2 },
    { deletionTimestamp: "now" },
    { annotations: { a: "b" } },
    { labels: { a: "b" } },
    { finalizers: ["f"] },
  ]) {
    assert.equal(concernsSpec(after(metadata)), true, JSON.stringify(metadata));
  }
  assert.equal(concernsSpec({ type: "added", object: before }), true);
  assert.equal(concernsContent(after({ resourceVersion: "2" })), false);
  assert.equal(concernsContent(after({ resourceVersion: "2" }, { status: 2 })), true);
  assert.equal(concernsContent({ type: "deleted", object: before }), true);
});
