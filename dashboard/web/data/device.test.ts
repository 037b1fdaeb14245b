// Names of devices, and the filter for what ran on one.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  deviceLabels,
  deviceName,
  labelOf,
  requestsFilter,
  shortLabelOf,
  whyNoActivity,
} from "./device.ts";

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

test("among others a slice is called by its profile and its card's number, a stranger by its UUID", () => {
  const slice = { uuid: "MIG-abcdef01-2222", parentUuid: uuid, index: null, migProfile: "3g.40gb" };
  const labels = deviceLabels([
    { uuid, parentUuid: "", index: 2, migProfile: "" },
    slice,
    { ...slice, uuid: "MIG-lost", parentUuid: "GPU-unknown" },
  ]);
  assert.equal(labelOf(labels, uuid), "GPU 2");
  assert.equal(labelOf(labels, slice.uuid), "3g.40gb · GPU 2");
  assert.equal(labelOf(labels, "MIG-lost"), "3g.40gb");
  assert.equal(labelOf(labels, "MIG-ffffffff-1111"), "MIG-ffffffff…");
  const short = [uuid, slice.uuid, "MIG-lost", "MIG-ffffffff-1111"].map((each) =>
    shortLabelOf(labels, each),
  );
  assert.deepEqual(short, ["GPU 2", "3g.40gb", "3g.40gb", "ffffff"]);
});

test("no activity is said with its cause, which on Ampere's slices nobody can mend", () => {
  const slice = (name: string) => whyNoActivity({ name, parentUuid: uuid });
  assert.match(slice("NVIDIA A100-SXM4-80GB MIG 1g.10gb"), /not measurable on this GPU/);
  assert.match(slice("NVIDIA H100 80GB HBM3 MIG 1g.10gb"), /hostAccess/);
  assert.match(whyNoActivity({ name: "NVIDIA A100", parentUuid: "" }), /see its slices/);
});
