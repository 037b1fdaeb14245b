/**
 * Device ids of every allocator, and that any text is taken apart or called unknown.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseDeviceId, parseDraDevice } from "./device-id.ts";

const gpu = "GPU-22222222-aaaa-4bbb-8ccc-000000000003";
const mig = "MIG-33333333-aaaa-5bbb-8ccc-000000000001";

test("ids of NVIDIA's plugin: whole, MIG, time slices, the form before R470", () => {
  assert.deepEqual(parseDeviceId(gpu), { form: "gpu", uuid: gpu, replica: undefined });
  assert.deepEqual(parseDeviceId(`${gpu}::12`), { form: "gpu", uuid: gpu, replica: 12 });
  assert.deepEqual(parseDeviceId(`${mig}::0`), { form: "mig", uuid: mig, replica: 0 });
  assert.deepEqual(parseDeviceId(`nvidia.com/gpu=${mig}`), {
    form: "mig",
    uuid: mig,
    replica: undefined,
  });
  assert.deepEqual(parseDeviceId(`MIG-${gpu}/7/0`), {
    form: "mig-legacy",
    gpuUuid: gpu,
    gpuInstanceId: 7,
    computeInstanceId: 0,
    replica: undefined,
  });
});

test("ids of GKE, HAMi and DRA", () => {
  const none = { gpuInstanceId: undefined, share: undefined };
  assert.deepEqual(parseDeviceId("nvidia3"), { form: "minor", minor: 3, ...none });
  assert.deepEqual(parseDeviceId("nvidia0/gi5/vgpu1"), {
    form: "minor",
    minor: 0,
    gpuInstanceId: 5,
    share: 1,
  });
  assert.deepEqual(parseDeviceId(`${gpu}-4`), { form: "hami", uuid: gpu, slot: 4 });
  assert.deepEqual(parseDraDevice("gpu-2"), { form: "dra", minor: 2, mig: undefined });
  assert.deepEqual(parseDraDevice("gpu-0-mig-1g10gb-19-4"), {
    form: "dra",
    minor: 0,
    mig: { profile: "1g10gb", profileId: 19, placementStart: 4 },
  });
});

test("anything else is unknown and kept as it came", () => {
  for (const text of ["", "all", "0", "GPU-", `${gpu}::`, `${gpu}::x`, `x${gpu}`, "nvidia"]) {
    assert.deepEqual(parseDeviceId(text), { form: "unknown", text });
  }
  assert.equal(parseDraDevice("gpu-0-mig-1g10gb-19").form, "unknown");
  fc.assert(
    fc.property(fc.string(), (text) => {
      const parsed = parseDeviceId(text);
      assert.ok(parsed.form !== "unknown" || parsed.text === text);
    }),
  );
});
