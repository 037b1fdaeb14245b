/**
 * Look-ups of devices per second of one core's time: the resolver as it is asked once per resource, over the
 * intervals of 1,000 nodes × 56 slices.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { resolve } from "../ingest/attribute/resolve.ts";
import { createIdentityView, type Interval } from "../ingest/attribute/view.ts";

const pods = 56_000;
const rounds = 2;
const view = createIdentityView();
const base = { cluster: "", toMs: Infinity, containerId: "", pid: undefined, ownPid: undefined };
const empty = { candidates: [], reason: "", warnings: [], evidence: [] };
view.put(
  Array.from({ length: pods }, (_, pod): Interval[] => {
    const common = {
      ...base,
      ...empty,
      node: `node-${pod % 1_000}`,
      fromMs: pod,
      podUid: `uid-${pod}`,
      namespace: "team",
      pod: `pod-${pod}`,
      container: "main",
      uuids: [`MIG-${pod}`],
    };
    return [
      { ...common, id: `a${pod}`, kind: "allocation", ordinal: undefined, level: "" },
      { ...common, id: `b${pod}`, kind: "binding", ordinal: 0, level: "exact.single" },
    ];
  }).flat(),
);
const questions = Array.from({ length: pods }, (_, pod) => ({
  tenantNum: 1,
  resourceFp: { lo: 0, hi: 0 },
  facts: {
    podUid: `uid-${pod}`,
    namespace: "team",
    pod: `pod-${pod}`,
    container: "main",
    node: "",
    containerId: "",
    pid: undefined,
    visibleDevices: undefined,
    gpuUuids: [],
    peer: undefined,
  },
  ordinals: pod % 2 === 0 ? [0] : [],
  sdkUuids: [],
  isNamed: false,
  startMs: 1e6,
}));

const run = (): number => {
  const began = process.cpuUsage();
  let found = 0;
  for (let round = 0; round < rounds; round += 1) {
    for (const question of questions) {
      found += resolve(view, question, { checksTenants: false }).devices.length;
    }
  }
  if (found !== pods * rounds) throw new Error(`found ${found}`);
  const { user, system } = process.cpuUsage(began);
  return (pods * rounds) / ((user + system) / 1e6);
};
run();
const rates = Array.from({ length: 5 }, run).sort((a, b) => a - b);
const perSecond = Math.round(rates[2] ?? 0);
console.log(`${perSecond} look-ups a second over ${view.size} intervals (bar: 1,000,000)`);
await mkdir(join(import.meta.dirname, "results"), { recursive: true });
await writeFile(
  join(import.meta.dirname, "results/attribute.json"),
  `${JSON.stringify({ machine: cpus()[0]?.model ?? "unknown", perSecond }, undefined, 2)}\n`,
);
