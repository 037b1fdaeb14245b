/** Holders as lanes: order, processes under their pod, nameless others, the range's ends. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Holder } from "@axonize/core/contract/gpu";
import { callAt, packCalls, rowCount, type Neighbour } from "../strip/neighbours.ts";
import { holderLanes } from "./lanes.ts";

const range = { fromMs: 1_000_000, toMs: 2_000_000 };
const iso = (share: number): string => new Date(1_000_000 + share * 1_000_000).toISOString();

function holder(over: Partial<Holder>): Holder {
  return {
    kind: "allocation",
    own: true,
    namespace: "serving",
    pod: "vllm-0",
    container: "main",
    pid: null,
    command: "",
    replica: null,
    from: iso(0.2),
    to: iso(0.6),
    stale: false,
    closeReason: "",
    ...over,
  };
}

test("a pod's stays are one lane, its process stands under it, bars are shares of the range", () => {
  const { lanes, more } = holderLanes(
    [
      holder({ from: iso(-1), to: iso(0.1) }),
      holder({}),
      holder({ kind: "usage", pid: 7, command: "vllm", from: iso(0.25), to: null }),
    ],
    range,
    12,
  );
  assert.equal(more, 0);
  assert.deepEqual(
    lanes.map(({ label, process, bars }) => [
      label,
      process,
      bars.map(({ from, to }) => [from, to]),
    ]),
    [
      [
        "serving/vllm-0",
        false,
        [
          [0, 0.1],
          [0.2, 0.6],
        ],
      ],
      ["vllm 7", true, [[0.25, 1]]],
    ],
  );
});

test("others have no name and come last; what lies outside the range is no lane", () => {
  const { lanes } = holderLanes(
    [
      holder({ own: false, namespace: "", pod: "", container: "" }),
      holder({}),
      holder({ pod: "before", from: iso(-2), to: iso(-1) }),
    ],
    range,
    12,
  );
  assert.deepEqual(
    lanes.map(({ label, note }) => [label, note]),
    [
      ["serving/vllm-0", "main"],
      ["others", "another tenant"],
    ],
  );
});

test("a process without Kubernetes has its command and pid; too many lanes are counted", () => {
  const many = Array.from({ length: 20 }, (_, i) =>
    holder({ kind: "usage", namespace: "", pod: "", container: "", pid: i, command: "python3" }),
  );
  const { lanes, more } = holderLanes(many, range, 12);
  assert.deepEqual([lanes.length, more, lanes[0]?.label], [12, 8, "python3 0"]);
});

test("calls beside each other take as few rows as they need, and can be picked", () => {
  const call = (id: string, from: number, seconds: number): Neighbour => ({
    traceId: id,
    spanId: id,
    name: id,
    model: "",
    startTime: new Date(from * 1000).toISOString(),
    durationNs: seconds * 1e9,
    queueMs: null,
    prefillMs: null,
    decodeMs: null,
  });
  const packed = packCalls([call("a", 0, 10), call("b", 2, 3), call("c", 6, 2)]);
  assert.deepEqual(
    packed.map(({ row }) => row),
    [0, 1, 1],
  );
  assert.equal(rowCount(packed), 2);
  const scale = { width: 100, fromMs: 0, toMs: 10_000 };
  assert.equal(callAt(scale, packed, 30, 3 + 6 + 1)?.traceId, "b");
  assert.equal(callAt(scale, packed, 55, 3 + 6 + 1), undefined);
});
