/**
 * The protobuf reader: any bytes are read or refused, never more; strings round-trip through protobufjs.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeList } from "./pod-resources.ts";
import { readFields, text, WireError, writeStrings } from "./wire.ts";

test("any bytes are a message or a WireError", () => {
  let refused = 0;
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        assert.ok(Array.isArray(decodeList(bytes)));
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
        refused += 1;
      }
    }),
    { numRuns: 2000 },
  );
  assert.ok(refused > 100);
});

test("strings of any length come back as they were written", () => {
  const value = fc.oneof(
    fc.string(),
    fc.nat(40_000).map((length) => "é".repeat(length)),
  );
  fc.assert(
    fc.property(fc.array(value, { maxLength: 5 }), (values) => {
      const bytes = writeStrings(values.map((each, index) => [index + 1, each]));
      const found: string[] = [];
      readFields(bytes, (field) => found.push(text(field.bytes)));
      assert.deepEqual(
        found,
        values.map((each) => each.toWellFormed()),
      );
    }),
  );
});
