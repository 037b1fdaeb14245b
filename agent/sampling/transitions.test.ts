/** Events that no driver tells: each told once, at the change, with words for people. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Gpu, Slice } from "../nvml/topology.ts";
import { createTransitions } from "./transitions.ts";

function gpu(uuid: string, over: Partial<Gpu> = {}): Gpu {
  return {
    uuid,
    index: 0,
    name: "NVIDIA H100",
    minor: 0,
    serial: undefined,
    pciBusId: undefined,
    architecture: 9,
    computeCapability: "9.0",
    migEnabled: false,
    migPending: false,
    lost: false,
    slices: [],
    ...over,
  };
}
function slice(uuid: string, profile: string): Slice {
  return {
    uuid,
    parentUuid: "GPU-1",
    index: 0,
    gpuInstanceId: 1,
    computeInstanceId: 0,
    profile,
    smCount: undefined,
    gpuInstanceSlices: undefined,
    computeInstanceSlices: undefined,
    memoryMib: undefined,
    placement: undefined,
    placementMissing: undefined,
  };
}
const at = (monotonicMs: number) => ({ ms: 1_000_000 + monotonicMs, monotonicMs });

test("the first look at healthy devices is no event, a GPU lost at the start is one", () => {
  assert.deepEqual(createTransitions().devices([gpu("GPU-1")], 5), []);
  const events = createTransitions().devices([gpu("GPU-1", { lost: true })], 5);
  assert.deepEqual(
    events.map(({ kind, gpuUuid }) => [kind, gpuUuid]),
    [["lost", "GPU-1"]],
  );
});

test("lost, back, and not enumerated any more are told once each", () => {
  const transitions = createTransitions();
  const kinds = (gpus: Gpu[]): string[] => transitions.devices(gpus, 1).map(({ kind }) => kind);
  const other = gpu("GPU-2");
  kinds([gpu("GPU-1"), other]);
  assert.deepEqual(kinds([gpu("GPU-1", { lost: true }), other]), ["lost"]);
  assert.deepEqual(kinds([gpu("GPU-1", { lost: true }), other]), []);
  assert.deepEqual(kinds([gpu("GPU-1"), other]), ["recovered"]);
  assert.deepEqual(kinds([other]), ["lost"]);
  assert.deepEqual(kinds([other]), []);
});

test("a partition's change says what went and what came, also under the same UUID", () => {
  const transitions = createTransitions();
  const mig = (...slices: Slice[]): Gpu[] => [gpu("GPU-1", { migEnabled: true, slices })];
  transitions.devices([gpu("GPU-1")], 1);
  const [on] = transitions.devices(mig(slice("MIG-1", "1g.10gb")), 2);
  assert.deepEqual(on?.detail, { change: "MIG enabled" });
  const [same] = transitions.devices(mig(slice("MIG-1", "1g.20gb")), 3);
  assert.deepEqual(same?.detail, { change: "repartitioned", added: "1g.20gb", removed: "1g.10gb" });
  assert.deepEqual(transitions.devices(mig(slice("MIG-1", "1g.20gb")), 4), []);
});

test("throttling is an event at its beginning and its end, idle and chosen clocks are none", () => {
  const transitions = createTransitions();
  const read = (throttleReasons: number, ms: number) =>
    transitions
      .reading("GPU-1", { throttleReasons }, at(ms))
      .map(({ detail }) => detail["reasons"]);
  assert.deepEqual(read(0x1, 0), []);
  assert.deepEqual(read(0x44, 20_000), ["software power cap, hardware thermal slowdown"]);
  assert.deepEqual(read(0x44, 40_000), []);
  assert.deepEqual(read(0x2, 60_000), ["none: full speed again"]);
});

test("a card that flips at its power cap makes at most one event in ten seconds", () => {
  const transitions = createTransitions();
  let events = 0;
  for (let ms = 0; ms < 100_000; ms += 1_000) {
    const throttleReasons = (ms / 1_000) % 2 === 0 ? 0x4 : 0;
    events += transitions.reading("GPU-1", { throttleReasons }, at(ms)).length;
  }
  assert.ok(events >= 5 && events <= 10, `${events} events`);
});

test("errors that count up are events, what was there before is none", () => {
  const transitions = createTransitions();
  const read = (eccUncorrected: number, remapPending: number) =>
    transitions.reading("GPU-1", { eccUncorrected, remapPending }, at(0));
  assert.deepEqual(read(5, 0), []);
  assert.deepEqual(
    read(6, 1).map(({ kind, detail }) => [kind, detail["count"]]),
    [
      ["ecc", 6],
      ["ecc", 1],
    ],
  );
  assert.deepEqual(read(6, 1), []);
});

test("an energy counter that falls is another load of the driver, one that is not read is not", () => {
  const transitions = createTransitions();
  const read = (values: { energyMillijoules?: number }): void =>
    void transitions.reading("GPU-1", values, at(0));
  read({ energyMillijoules: 100 });
  read({});
  read({ energyMillijoules: 200 });
  assert.equal(transitions.reloads(), 0);
  read({ energyMillijoules: 3 });
  assert.equal(transitions.reloads(), 1);
});
