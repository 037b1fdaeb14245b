/**
 * The resolver: each level by example, then worlds whose truth is known, of which it is shown a random
 * part of consistent evidence. Whatever it calls exact must be the truth.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { resolve, type Evidence, type Resource } from "./resolve.ts";

function gpu(n: number, model = "H100", bus = 0x10 + n): Resource {
  const uuid = `GPU-${String(n).repeat(8)}-aaaa-4bbb-8ccc-000000000000`;
  return {
    uuid,
    gpuUuid: uuid,
    kind: "whole",
    model,
    pciBusId: `00000000:${bus.toString(16)}:00.0`,
  };
}
function slice(n: number): Resource {
  const uuid = `MIG-${String(n).repeat(8)}-aaaa-5bbb-8ccc-000000000000`;
  return {
    uuid,
    gpuUuid: gpu(9).uuid,
    kind: "mig",
    model: "H100 MIG 1g.10gb",
    pciBusId: undefined,
  };
}
const [a, b, c] = [gpu(1), gpu(2), gpu(3)];
const nothing: Evidence = {
  ordinal: 0,
  allocated: undefined,
  visible: undefined,
  privileged: false,
  environment: undefined,
  runtime: undefined,
  containerRuntime: [],
  ordinalsReported: [0],
  sdkUuid: undefined,
  mps: false,
  remaps: false,
};
const env = (visibleDevices?: string, deviceOrder?: string): Evidence["environment"] => ({
  visibleDevices,
  deviceOrder,
});
const runs = (uuids: string[], pollCount = 3): Evidence["runtime"] => ({ uuids, pollCount });

const examples: [string, Partial<Evidence>, string, string[] | string][] = [
  [
    "the SDK's UUID that was allocated",
    { sdkUuid: b.uuid, allocated: [a, b] },
    "exact.sdk",
    [b.uuid],
  ],
  [
    "the SDK's UUID that was not",
    { sdkUuid: c.uuid, allocated: [a, b] },
    "identity.conflict",
    "sdk_contradicts",
  ],
  ["the SDK's UUID on a host without a kubelet", { sdkUuid: b.uuid }, "exact.sdk", [b.uuid]],
  ["one allocated device", { allocated: [a] }, "exact.single", [a.uuid]],
  [
    "one allocated device of a privileged pod",
    { allocated: [a], privileged: true },
    "ambiguous",
    "allocation_unknown",
  ],
  [
    "one visible device of a privileged pod",
    { allocated: [a], visible: [a], privileged: true },
    "exact.single",
    [a.uuid],
  ],
  [
    "ordinal 1 of one device",
    { allocated: [a], ordinal: 1, ordinalsReported: [1] },
    "ambiguous",
    "ordinal_out_of_range",
  ],
  [
    "one device, but the process computes elsewhere",
    { allocated: [a], runtime: runs([b.uuid, c.uuid]) },
    "ambiguous",
    "runtime_contradicts",
  ],
  ["no ordinal, one device", { ordinal: undefined, allocated: [a] }, "exact.single", [a.uuid]],
  [
    "no ordinal, two devices",
    { ordinal: undefined, allocated: [a, b] },
    "exact.set",
    [a.uuid, b.uuid],
  ],
  [
    "no ordinal, two allocated, one visible",
    { ordinal: undefined, allocated: [a, b], visible: [b] },
    "exact.single",
    [b.uuid],
  ],
  [
    "a UUID list that the runtime confirms",
    { allocated: [a, b], environment: env(`${b.uuid},${a.uuid}`), runtime: runs([b.uuid]) },
    "exact.uuidlist",
    [b.uuid],
  ],
  [
    "a UUID list that nothing confirms",
    { allocated: [a, b], environment: env(`${b.uuid.slice(0, 10)},${a.uuid}`) },
    "derived.uuidlist",
    [b.uuid],
  ],
  [
    "a UUID list that the runtime contradicts",
    { allocated: [a, b], environment: env(b.uuid), runtime: runs([a.uuid, c.uuid]) },
    "ambiguous",
    "runtime_contradicts",
  ],
  [
    "a list changed in process, one ordinal, one context",
    { allocated: [a, b], environment: env(b.uuid), runtime: runs([a.uuid]) },
    "exact.runtime",
    [a.uuid],
  ],
  [
    "one context but several ordinals",
    { allocated: [a, b], remaps: true, runtime: runs([a.uuid]), ordinalsReported: [0, 1] },
    "ambiguous",
    "process_remaps",
  ],
  [
    "one context seen once only",
    { allocated: [a, b], remaps: true, runtime: runs([a.uuid], 1) },
    "ambiguous",
    "process_remaps",
  ],
  [
    "PCI order",
    { visible: [b, a], environment: env(undefined, "PCI_BUS_ID") },
    "derived.pci",
    [a.uuid],
  ],
  [
    "PCI order and integers",
    { visible: [b, a, c], environment: env("2,0", "PCI_BUS_ID") },
    "derived.pci",
    [c.uuid],
  ],
  [
    "integers cut at the first invalid",
    { visible: [a, b], environment: env("1,7,0", "PCI_BUS_ID"), ordinal: 1 },
    "ambiguous",
    "ordinal_out_of_range",
  ],
  [
    "the same model, no order",
    { visible: [b, a], environment: env() },
    "likely.homogeneous",
    [a.uuid],
  ],
  [
    "mixed models, no order",
    { visible: [a, gpu(2, "T4")], environment: env() },
    "ambiguous",
    "mixed_models",
  ],
  [
    "two slices",
    { allocated: [slice(1), slice(2)], environment: env() },
    "ambiguous",
    "several_mig",
  ],
  [
    "two slices in a list, the second",
    {
      allocated: [slice(1), slice(2)],
      environment: env(`${slice(2).uuid},${slice(1).uuid}`),
      ordinal: 1,
    },
    "ambiguous",
    "several_mig",
  ],
  [
    "MPS with two devices",
    { allocated: [a, b], mps: true, environment: env() },
    "ambiguous",
    "mps_renumbers",
  ],
  ["no environment", { allocated: [a, b] }, "ambiguous", "environment_unknown"],
  [
    "integers and UUIDs mixed",
    { allocated: [a, b], environment: env(`0,${b.uuid}`) },
    "ambiguous",
    "list_unreadable",
  ],
  ["nothing allocated, nothing runs", { allocated: [] }, "unattributed", "no_device"],
  ["nothing known", {}, "unattributed", "allocation_unknown"],
  [
    "nothing allocated but a context",
    { allocated: [], runtime: runs([c.uuid]) },
    "exact.runtime",
    [c.uuid],
  ],
];
for (const [name, evidence, level, answer] of examples) {
  test(`resolve: ${name} → ${level}`, () => {
    const resolution = resolve({ ...nothing, ...evidence });
    assert.equal(resolution.level, level);
    if (typeof answer === "string") {
      assert.equal(resolution.reason, answer);
      assert.deepEqual(resolution.uuids, []);
    } else assert.deepEqual(resolution.uuids, answer);
  });
}

test("resolve: computing on, and seeing, what was not allocated is told on every level", () => {
  const warned = resolve({ ...nothing, allocated: [a], visible: [a, c], runtime: runs([c.uuid]) });
  assert.deepEqual(warned.warnings, ["runtime_not_allocated", "visible_not_allocated"]);
  const sdk = resolve({ ...nothing, allocated: [a], sdkUuid: a.uuid, containerRuntime: [b.uuid] });
  assert.deepEqual(sdk.warnings, ["runtime_not_allocated"]);
  assert.deepEqual(resolve({ ...nothing, sdkUuid: a.uuid }).warnings, ["sdk_unchecked"]);
});

test("resolve: the order of the allocation changes nothing", () => {
  const evidence = { ...nothing, environment: env(), ordinal: 1, ordinalsReported: [1] };
  const one = resolve({ ...evidence, allocated: [a, b, c] });
  const other = resolve({ ...evidence, allocated: [c, a, b] });
  assert.deepEqual(one.uuids, other.uuids);
});

/** A container with its devices, and a process with its true numbering. */
interface World {
  readonly truth: string;
  readonly evidence: Evidence;
}
const world: fc.Arbitrary<World> = fc
  .record({
    count: fc.integer({ min: 1, max: 6 }),
    mixed: fc.boolean(),
    mig: fc.boolean(),
    seed: fc.array(fc.nat(1000), { minLength: 16, maxLength: 16 }),
    list: fc.constantFrom("unset", "integers", "uuids"),
    byBus: fc.boolean(),
    remaps: fc.boolean(),
    contexts: fc.integer({ min: 1, max: 3 }),
    otherOrdinals: fc.boolean(),
    polls: fc.integer({ min: 0, max: 5 }),
    shown: fc.record({
      allocated: fc.boolean(),
      visible: fc.boolean(),
      environment: fc.boolean(),
      runtime: fc.boolean(),
      sdk: fc.boolean(),
      remaps: fc.boolean(),
    }),
  })
  .map((w) => {
    const order = (items: readonly Resource[], from: number): Resource[] =>
      items
        .map((item, i) => ({ item, key: w.seed[(from + i) % 16] ?? 0 }))
        .sort((x, y) => x.key - y.key)
        .map(({ item }) => item);
    const devices = Array.from({ length: w.count }, (_, i) =>
      w.mig
        ? slice(i)
        : gpu(i, w.mixed && i % 2 === 1 ? "T4" : "H100", 0x10 + (w.seed[i] ?? 0) * 8 + i),
    );
    const sorted = devices.toSorted((x, y) =>
      (x.pciBusId ?? x.uuid) < (y.pciBusId ?? y.uuid) ? -1 : 1,
    );
    // Without an order CUDA promises nothing: any permutation, so "likely" may be wrong here.
    const enumerated = w.byBus ? sorted : order(devices, 3);
    const chosen = order(devices, 7).slice(0, 1 + ((w.seed[15] ?? 0) % w.count));
    const value =
      w.list === "unset"
        ? undefined
        : w.list === "uuids"
          ? chosen.map(({ uuid }) => uuid).join(",")
          : chosen.map((device) => enumerated.indexOf(device)).join(",");
    const atExec = value === undefined ? enumerated : chosen;
    // A framework may have set another list inside the process, where the environment does not show it.
    const numbering = w.remaps ? order(devices, 11) : atExec;
    const ordinal = (w.seed[14] ?? 0) % numbering.length;
    const truth = numbering[ordinal]?.uuid ?? "";
    const extra = numbering.filter(({ uuid }) => uuid !== truth).slice(0, w.contexts - 1);
    const several = extra.length > 0 && w.otherOrdinals;
    const uuids = [truth, ...extra.map(({ uuid }) => uuid)];
    return {
      truth,
      evidence: {
        ...nothing,
        ordinal,
        allocated: w.shown.allocated ? order(devices, 5) : undefined,
        visible: w.shown.visible ? order(devices, 2) : undefined,
        environment: w.shown.environment
          ? env(value, w.byBus ? "PCI_BUS_ID" : undefined)
          : undefined,
        runtime: w.shown.runtime && w.polls > 0 ? runs(uuids, w.polls) : undefined,
        ordinalsReported: several ? [ordinal, ordinal + 1] : [ordinal],
        sdkUuid: w.shown.sdk ? truth : undefined,
        remaps: w.remaps && w.shown.remaps,
      },
    };
  });

test("resolve: what is called exact is the truth, in every world and with any part of the evidence", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(world, ({ truth, evidence }) => {
      const { level, uuids, candidates } = resolve(evidence);
      seen.add(level);
      if (level.startsWith("exact")) assert.deepEqual(uuids, [truth], level);
      if (uuids.length === 0 && level === "ambiguous" && candidates.length > 0) {
        assert.ok(candidates.includes(truth), "the truth is among the candidates");
      }
      if (level === "derived.pci" && !evidence.remaps && evidence.runtime) {
        assert.ok(evidence.runtime.uuids.includes(uuids[0] ?? ""));
      }
    }),
    { numRuns: 3000 },
  );
  for (const level of [
    "exact.sdk",
    "exact.single",
    "exact.uuidlist",
    "exact.runtime",
    "ambiguous",
  ]) {
    assert.ok(seen.has(level), `the worlds never led to ${level}`);
  }
});

test("resolve: an SDK that names a device outside its container is a conflict, never a device", () => {
  fc.assert(
    fc.property(world, ({ evidence }) => {
      const lying = { ...evidence, sdkUuid: "GPU-ffffffff-0000-4000-8000-000000000000" };
      const { level, uuids, warnings } = resolve(lying);
      if (lying.allocated ?? lying.visible) {
        assert.equal(level, "identity.conflict");
        assert.deepEqual(uuids, []);
      } else assert.ok(warnings.includes("sdk_unchecked"));
    }),
  );
});
