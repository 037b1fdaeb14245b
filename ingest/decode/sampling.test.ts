/**
 * Sampling and namespace-bound keys as decoding sees them: whole traces by a hash of their id, the same
 * everywhere; what a key's namespace adds to a resource, and what it marks.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { marks } from "./limits.ts";
import { decode, requestOf, span } from "./testing/decode.ts";
import { traceHash } from "./trace-hash.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const hashOf = (bytes: Uint8Array): number =>
  traceHash(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0);
const ids = fc.uint8Array({ minLength: 16, maxLength: 16 }).filter((id) => id.some((b) => b !== 0));

test("a trace is kept whole or not at all, and less room keeps a part of what more room keeps", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(ids, { minLength: 1, maxLength: 20, selector: hex }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (traces, wantedPart, allowedPart) => {
        const wanted = wantedPart * 2 ** 32;
        const allowed = wanted * allowedPart;
        const spans = traces.flatMap((id) =>
          [1, 2, 3].map((n) => span({ traceId: hex(id), spanId: `000000000000000${n}` })),
        );
        const { result, spans: rows } = decode(requestOf(spans), { sampling: { wanted, allowed } });
        assert.ok(result.ok);
        const count = (test: (hash: number) => boolean): number =>
          3 * traces.filter((id) => test(hashOf(id))).length;
        assert.equal(
          result.accepted,
          count((hash) => hash < allowed),
        );
        assert.equal(rows.length, result.accepted);
        assert.equal(
          result.unwanted,
          count((hash) => hash >= wanted),
        );
        assert.equal(result.reasons.get("over_limit") ?? 0, result.rejected);
        assert.equal(result.accepted + result.unwanted + result.rejected, spans.length);
      },
    ),
  );
});

test("the hash spreads ids that count up, and ids of which another sampler kept a part", () => {
  const parts = [(n: number) => n, (n: number) => n * 16];
  for (const [which, part] of parts.entries()) {
    let below = 0;
    for (let n = 1; n <= 20_000; n += 1) {
      const id = new Uint8Array(16);
      new DataView(id.buffer).setUint32(12, part(n));
      if (hashOf(id) < 0.25 * 2 ** 32) below += 1;
    }
    // 5,000 expected, σ = 61.
    assert.ok(Math.abs(below - 5_000) < 400, `${below} of 20,000 (${which})`);
  }
});

test("the hash of an id stays what it is: processes of two versions keep the same traces", () => {
  assert.equal(hashOf(Uint8Array.from({ length: 16 }, (_, i) => i + 1)), 349051043);
});

const binding = { id: "u1/prod/live", namespace: "prod", environment: "live" };
const send = (resource: Record<string, unknown>) =>
  decode(requestOf([span()], { resource }), { binding }).spans[0];

test("a bound key gives its namespace's environment to what names none", () => {
  assert.equal(send({ "service.name": "a" })?.["environment"], "live");
  assert.equal(send({ "deployment.environment.name": "mine" })?.["environment"], "mine");
  assert.equal(send({ "deployment.environment": "old" })?.["environment"], "old");
  assert.equal(decode(requestOf([span()])).spans[0]?.["environment"], "", "no bound key");
});

test("what names another namespace than its key's is kept and marked", () => {
  const foreign = send({ "k8s.namespace.name": "other" });
  assert.equal(foreign?.["namespace"], "other");
  assert.equal(Number(foreign["marks"]) & marks.foreignNamespace, marks.foreignNamespace);
  assert.equal(send({ "k8s.namespace.name": "prod" })?.["marks"], 0);
  assert.equal(send({ "service.name": "a" })?.["marks"], 0);
});
