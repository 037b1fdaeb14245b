/**
 * The device of a process that computes on one alone, by the one ordinal that its spans name: learned from
 * what all replicas have stored, true at write time then, and taken back when another ordinal comes.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { otherOrdinals } from "@axonize/core/contract/attribution";
import { allocationOf, bindingOf, gpu, startExporter } from "../../test/support/agent-report.ts";
import { useStores, type Stores } from "../../test/support/stores.ts";
import { eventually, startIngest, type TestIngest } from "../testing/start-ingest.ts";
import { podOf, send, stored, type Stored } from "../../test/support/attributed-calls.ts";

const waitMs = 120_000;
const rank = (pid: number) => ({ ...podOf("ranks"), "process.pid": pid });

/** Two devices, and processes 7 and 9 on the second alone; so says their node's agent. */
async function ranksOf(ingest: TestIngest, stores: Stores, atMs: number) {
  const agent = await startExporter(ingest.grpcPort);
  const alone = {
    level: "ambiguous",
    resourceUuids: [],
    candidates: [gpu(1)],
    reason: otherOrdinals,
  } as const;
  agent.exporter.identity([
    allocationOf(gpu(0), "ranks", atMs),
    allocationOf(gpu(1), "ranks", atMs),
    ...[7, 9].flatMap((ownPid) =>
      [0, 1].map((ordinal) => bindingOf("ranks", { ownPid, ordinal }, alone, atMs)),
    ),
  ]);
  await eventually(async () => {
    const [row] = await stores.sql<{ n: number }[]>`SELECT count(*) AS n FROM ordinal_bindings`;
    return Number(row?.n) === 4 ? true : undefined;
  }, waitMs);
  await ingest.ingest.refreshIdentity();
  return agent;
}

const shown = ({ name, gpu_level, gpu_devices, gpu_candidates, gpu_reason }: Stored) => [
  name,
  gpu_level,
  gpu_devices.length > 0 ? gpu_devices : gpu_candidates,
  gpu_reason,
];

async function until(stores: Stores, names: readonly string[], level: string): Promise<Stored[]> {
  return await eventually(async () => {
    const rows = (await stored(stores.clickhouse)).filter(({ name }) => names.includes(name));
    const isThere = rows.length === names.length;
    return isThere && rows.every(({ gpu_level }) => gpu_level === level) ? rows : undefined;
  }, waitMs);
}

test("one ordinal, one device: exact once the store says that it is the only one, and not for its neighbours", async () => {
  await using stores = await useStores();
  await using ingest = await startIngest(stores);
  const atMs = Date.now() - 60_000;
  await using agent = await ranksOf(ingest, stores, atMs);
  assert.ok(agent);
  await send(ingest, { name: "a", resource: rank(7), startMs: atMs + 1, ordinals: [0] });
  await send(ingest, { name: "other", resource: rank(8), startMs: atMs + 1, ordinals: [0] });
  const [first] = await until(stores, ["a"], "exact.runtime");
  assert.deepEqual(first?.gpu_devices, [gpu(1)]);
  assert.deepEqual(first?.gpu_evidence, [
    "the only device the process computes on",
    "the only ordinal it reported",
    "joined after it was stored, when its binding became known",
  ]);
  await send(ingest, { name: "b", resource: rank(7), startMs: atMs + 2, ordinals: [0] });
  const at = await stored(stores.clickhouse);
  assert.deepEqual(at.map(shown), [
    ["a", "exact.runtime", [gpu(1)], ""],
    ["b", "exact.runtime", [gpu(1)], ""],
    ["other", "ambiguous", [gpu(0), gpu(1)], "environment_unknown"],
  ]);
  assert.equal(at[1]?.gpu_evidence.length, 2, "at write time");
  // A second ordinal of a process on one device: one of the two is not what it says.
  await send(ingest, { name: "c", resource: rank(7), startMs: atMs + 3, ordinals: [1] });
  const back = await until(stores, ["a", "b", "c"], "ambiguous");
  for (const row of back) assert.deepEqual(shown(row).slice(2), [[gpu(1)], otherOrdinals]);
});

test("what another replica stored, or a span without a pid, keeps an ordinal from being the only one", async () => {
  await using stores = await useStores();
  await using ingest = await startIngest(stores);
  const atMs = Date.now() - 60_000;
  {
    await using elsewhere = await startIngest(stores);
    await send(elsewhere, { name: "z", resource: podOf("ranks"), startMs: atMs, ordinals: [1] });
  }
  await using agent = await ranksOf(ingest, stores, atMs);
  assert.ok(agent);
  await send(ingest, { name: "a", resource: rank(7), startMs: atMs + 1, ordinals: [0] });
  const worker = { ...rank(7), "service.name": "one", "axonize.env.cuda_visible_devices": "3" };
  await send(ingest, { name: "one", resource: worker, startMs: atMs + 1, ordinals: [0] });
  const [one] = await until(stores, ["one"], "exact.runtime");
  assert.deepEqual(one?.gpu_evidence, [
    "the only device the process computes on",
    "its environment shows it one device",
  ]);
  // Asked about after it, and known: the anonymous span is of the same ordinal.
  await send(ingest, { name: "nine", resource: rank(9), startMs: atMs + 1, ordinals: [1] });
  await until(stores, ["nine"], "exact.runtime");
  assert.deepEqual((await until(stores, ["a"], "ambiguous")).map(shown), [
    ["a", "ambiguous", [gpu(1)], otherOrdinals],
  ]);
});
