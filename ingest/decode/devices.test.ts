// Which devices a span is given by what its sender says, and how surely.
import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, requestOf, span } from "./testing/decode.ts";
import { keyValues } from "./testing/otlp.ts";

function devicesOf(options: {
  uuids: readonly string[];
  attributes: Readonly<Record<string, unknown>>;
}): { devices: unknown; level: unknown } {
  const { spans } = decode(
    requestOf([span({ attributes: keyValues(options.attributes) })], {
      resource: { "axonize.gpu.uuids": options.uuids },
    }),
  );
  return { devices: spans[0]?.["gpu_devices"], level: spans[0]?.["gpu_level"] };
}

const call = { "gen_ai.operation.name": "chat" };

test("an ordinal picks its device, exactly", () => {
  assert.deepEqual(
    devicesOf({ uuids: ["GPU-a", "GPU-b"], attributes: { ...call, "axonize.gpu.ordinals": [1] } }),
    { devices: ["GPU-b"], level: "exact.sdk" },
  );
});

test("a call without ordinals ran on all that its process was given", () => {
  assert.deepEqual(devicesOf({ uuids: ["GPU-a", "GPU-b"], attributes: call }), {
    devices: ["GPU-a", "GPU-b"],
    level: "exact.set",
  });
  assert.deepEqual(devicesOf({ uuids: ["GPU-a"], attributes: call }), {
    devices: ["GPU-a"],
    level: "exact.single",
  });
});

test("what is no call, and a process that names no device, get none", () => {
  const none = { devices: [], level: "" };
  assert.deepEqual(devicesOf({ uuids: ["GPU-a"], attributes: {} }), none);
  assert.deepEqual(devicesOf({ uuids: [], attributes: call }), none);
});
