// Names of devices, and the filter for what ran on one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { deviceName, requestsFilter } from "./device.ts";

const uuid = "GPU-0f0b1d79-1111-2222-3333-444455556666";
const held = [{ namespace: "serving", name: "vllm-0", container: "vllm" }];

test("a device is called by its number, else by the beginning of its UUID", () => {
  assert.equal(deviceName({ uuid, index: 3, migProfile: "" }), "GPU-3");
  assert.equal(deviceName({ uuid, index: null, migProfile: "" }), "GPU 0f0b1d79");
  assert.equal(
    deviceName({ uuid: "MIG-abcdef01-2", index: null, migProfile: "1g.10gb" }),
    "MIG abcdef01",
  );
});

test("requests on a device: those that name it, else those of the pods that hold it", () => {
  assert.equal(requestsFilter({ uuid, pods: held, requestCount: 2 }), `gpu:${uuid}`);
  assert.equal(requestsFilter({ uuid, pods: held, requestCount: 0 }), "pod:vllm-0");
  assert.equal(requestsFilter({ uuid, pods: [], requestCount: 0 }), `gpu:${uuid}`);
});
