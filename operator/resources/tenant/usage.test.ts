/**
 * Usage in the status: rarely written, never wrong for long; quantities as Kubernetes writes them; and what
 * server-side apply's bookkeeping tells of a Secret.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AxonizeTenantSpec } from "../crds/tenant.ts";
import { fieldsOfSecret, profileSpec, type ManagedFields } from "./objects.ts";
import { bytesOfQuantity } from "./quantity.ts";
import { exceededQuota, nextUsage, quotaPercent, usageWriteMs, type UsageFacts } from "./usage.ts";

const hourMs = 3_600_000;
const facts = (more: Partial<UsageFacts> = {}): UsageFacts => ({
  hourMs: 10 * hourMs,
  spans: 0,
  gpuSeconds: 0,
  hourBytes: 0,
  dayBytes: 0,
  exceeded: [],
  ...more,
});
const quotas = { spansPerSecond: undefined, bytesPerDay: 1_000 };

test("between hours usage is written at most every five minutes, whatever comes", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(100), { minLength: 5, maxLength: 60 }), (growth) => {
      let written: ReturnType<typeof nextUsage>;
      let writtenMs = -Infinity;
      let dayBytes = 1;
      let nowMs = 10 * hourMs;
      const times: number[] = [];
      for (const more of growth) {
        nowMs += 20_000;
        dayBytes += more;
        const before = written;
        written = nextUsage(before, facts({ dayBytes, hourBytes: dayBytes }), {
          quotas,
          nowMs,
          writtenMs,
        });
        if (written === before) continue;
        times.push(nowMs);
        writtenMs = nowMs;
      }
      for (let i = 1; i < times.length; i += 1) {
        assert.ok((times[i] ?? 0) - (times[i - 1] ?? 0) >= usageWriteMs);
      }
    }),
  );
});

test("a tenant that sends nothing is never written, and one that stopped once more", () => {
  const options = { quotas, nowMs: 10 * hourMs, writtenMs: -Infinity };
  assert.equal(nextUsage(undefined, facts(), options), undefined);
  const busy = nextUsage(undefined, facts({ spans: 5, hourBytes: 10 }), options);
  assert.equal(busy?.spans, "5");
  const idle = nextUsage(busy, facts({ hourMs: 11 * hourMs }), options);
  assert.deepEqual([idle?.spans, idle?.windowStart], ["0", "1970-01-01T11:00:00Z"]);
  assert.equal(nextUsage(idle, facts({ hourMs: 12 * hourMs }), options), idle);
});

test("the percentage is that of the nearest limit", () => {
  const both = { spansPerSecond: 10, bytesPerDay: 1_000 };
  const nowMs = 10 * hourMs + 600_000;
  assert.equal(quotaPercent(facts({ spans: 3_000, dayBytes: 100 }), both, nowMs), 50);
  assert.equal(quotaPercent(facts({ spans: 3_000, dayBytes: 2_500 }), both, nowMs), 250);
  const exceeded = [{ quota: "BytesPerDay" as const, lastMs: nowMs - 60_000 }];
  assert.equal(exceededQuota(facts({ exceeded }), nowMs), "BytesPerDay");
  assert.equal(exceededQuota(facts({ exceeded }), nowMs + hourMs), undefined);
});

test("quantities are read as Kubernetes means them", () => {
  const cases: [string, number | undefined][] = [
    ["0", 0],
    ["200Gi", 200 * 2 ** 30],
    ["1.5G", 1.5e9],
    ["1e9", 1e9],
    ["1E", Number.MAX_SAFE_INTEGER],
    ["12E2", 1200],
    ["100m", 1],
    [".5Ki", 512],
    ["+7k", 7000],
    ["", undefined],
    ["1 Gi", undefined],
    ["Gi", undefined],
    ["1gi", undefined],
  ];
  for (const [text, bytes] of cases) assert.equal(bytesOfQuantity(text), bytes, text);
});

const fields = (manager: string, ...data: string[]): ManagedFields => ({
  manager,
  operation: "Apply",
  fieldsV1: { "f:data": Object.fromEntries(data.map((name) => [`f:${name}`, {}])) },
});
const keyFields = ["AXONIZE_API_KEY", "AXONIZE_API_KEY_ID", "OTEL_EXPORTER_OTLP_HEADERS"];

test("a key is intact only while every field of it is ours and ours alone", () => {
  const ours = fields("axonize-operator/tenant-key", ...keyFields, "AXONIZE_ENDPOINT");
  assert.deepEqual(fieldsOfSecret([ours]), { isKeyIntact: true, isFrameIntact: true });
  const edited = fields("axonize-operator", ...keyFields.slice(1), "AXONIZE_ENDPOINT");
  const editor = fields("kubectl-edit", "AXONIZE_API_KEY");
  assert.equal(fieldsOfSecret([edited, editor]).isKeyIntact, false);
  assert.equal(fieldsOfSecret([edited]).isKeyIntact, false, "a field was taken away");
  assert.equal(fieldsOfSecret([ours, editor]).isKeyIntact, false, "somebody owns it, too");
  assert.equal(fieldsOfSecret([ours, fields("kubectl", "AXONIZE_ENDPOINT")]).isFrameIntact, false);
  const labelled = { manager: "argocd", fieldsV1: { "f:metadata": { "f:labels": {} } } };
  assert.equal(fieldsOfSecret([ours, labelled]).isKeyIntact, true, "labels of others do no harm");
  assert.equal(fieldsOfSecret([]).isKeyIntact, false);
});

test("injection follows the namespace before the tenant, and stops with suspension", () => {
  const spec = (more: object) => AxonizeTenantSpec.parse(more);
  const at = (more: object, namespace: { injection?: string; environment?: string } = {}) =>
    profileSpec(spec(more), namespace, { endpoint: "http://ingest:4318" });
  assert.equal(at({})?.mode, "OptIn");
  assert.equal(at({}, { injection: "OptOut" })?.mode, "OptOut");
  assert.equal(at({}, { injection: "Disabled" }), undefined);
  assert.equal(at({ injection: { mode: "Disabled" } }), undefined);
  assert.equal(at({ injection: { mode: "Disabled" } }, { injection: "OptIn" })?.mode, "OptIn");
  assert.equal(at({ adminState: "Suspended" }), undefined);
  assert.equal(at({ adminState: "ReadOnly" })?.mode, "OptIn");
  const central = { name: "reader", scopes: ["Query"], distribution: "OperatorNamespace" };
  assert.equal(at({ apiKeys: [central] }), undefined, "pods would have no key");
  const attributes = { resourceAttributes: { "deployment.environment.name": "mine", team: "a" } };
  assert.deepEqual(at({ injection: attributes }, { environment: "prod" })?.resourceAttributes, {
    "deployment.environment.name": "mine",
    team: "a",
  });
});
