/** What was sealed survives: kills, torn writes, a full disk, a second process, a spool over its bound. */
import assert from "node:assert/strict";
import { appendFile, chmod, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import { silentLog } from "@axonize/core/runtime/log";
import { createRegistry, type Registry } from "@axonize/core/runtime/metrics";
import { batchFrame, devicesFrame } from "./frames.ts";
import { createExportMetrics } from "./metrics.ts";
import { openSpool, type Spool } from "./spool.ts";

interface TestSpool extends AsyncDisposable {
  spool: Spool;
  registry: Registry;
}

async function open(
  directory: string | undefined,
  options: { maxBytes?: number; segmentBytes?: number; devices?: Buffer } = {},
): Promise<TestSpool> {
  const registry = createRegistry();
  const spool = await openSpool(
    {
      clock: systemClock,
      log: silentLog,
      metrics: createExportMetrics(registry),
      devices: () => options.devices,
    },
    {
      directory,
      maxBytes: options.maxBytes ?? 1 << 20,
      segmentBytes: options.segmentBytes ?? 1 << 16,
    },
  );
  return {
    spool,
    registry,
    [Symbol.asyncDispose]: async () => await spool[Symbol.asyncDispose](),
  };
}

const temporary = async (): Promise<string> => await mkdtemp(join(tmpdir(), "axonize-spool-"));
const epoch = "0123456789abcdef0123";
const samples = (sequence: number, bytes = 100): Buffer =>
  batchFrame(epoch, sequence, { samples: Buffer.alloc(bytes, sequence) });
const records = (sequence: number): Buffer =>
  batchFrame(epoch, sequence, { records: Buffer.from(`record ${sequence}`) });

/** Sequences of everything that would be sent; 0 is devices. */
async function all(spool: Spool): Promise<number[]> {
  const sequences: number[] = [];
  spool.rewind();
  for (let next = await spool.next(); next !== undefined; next = await spool.next()) {
    sequences.push(next.sequence);
  }
  return sequences;
}

async function dropped(registry: Registry): Promise<Record<string, number>> {
  const metric = await registry.getSingleMetric("axonize_agent_dropped_items_total")?.get();
  return Object.fromEntries(
    (metric?.values ?? []).map(({ labels, value }) => [String(labels["reason"]), value]),
  );
}

/** As a killed process leaves it: open segments, and a lock whose owner is gone. */
async function abandon(directory: string): Promise<void> {
  await writeFile(join(directory, "lock"), "999999999");
}

test("what was appended is there for the next life of a killed agent, in order, without what was acknowledged", async () => {
  const directory = await temporary();
  const first = await open(directory, { segmentBytes: 500 });
  for (let sequence = 1; sequence <= 20; sequence += 1) await first.spool.append(samples(sequence));
  await first.spool.acknowledge({ epoch, sequence: 7 });
  await abandon(directory); // no close
  await using second = await open(directory);
  // The server's word at hello: what a segment still holds and is durable is not sent again.
  await second.spool.acknowledge({ epoch, sequence: 7 });
  assert.deepEqual(
    await all(second.spool),
    Array.from({ length: 13 }, (_, index) => index + 8),
  );
  assert.deepEqual(second.spool.epochs(), [epoch]);
  await rm(directory, { recursive: true });
});

test("a torn write is cut off and counted; everything before it is kept", async () => {
  for (const torn of [Buffer.from([1, 2, 3]), Buffer.alloc(40, 7), Buffer.alloc(8)]) {
    const directory = await temporary();
    {
      await using first = await open(directory);
      await first.spool.append(samples(1));
      await first.spool.append(samples(2));
    }
    const name = (await readdir(directory)).find((file) => file.endsWith(".seg")) ?? "";
    await appendFile(join(directory, name), torn);
    await using second = await open(directory);
    assert.deepEqual(await all(second.spool), [1, 2]);
    const faults = await second.registry.getSingleMetric("axonize_agent_spool_faults_total")?.get();
    assert.equal(faults?.values[0]?.labels["reason"], "torn");
    await second.spool.append(samples(3));
    assert.deepEqual(await all(second.spool), [1, 2, 3]);
    await rm(directory, { recursive: true });
  }
});

test("a flipped bit costs what follows it in its segment and nothing else", async () => {
  const directory = await temporary();
  {
    await using first = await open(directory, { segmentBytes: 400 });
    for (let sequence = 1; sequence <= 9; sequence += 1)
      await first.spool.append(samples(sequence));
  }
  const names = (await readdir(directory)).filter((file) => file.endsWith(".seg")).sort();
  const path = join(directory, names[0] ?? "");
  const bytes = await readFile(path);
  bytes[150] = (bytes[150] ?? 0) ^ 1; // in the second record
  await writeFile(path, bytes);
  await using second = await open(directory);
  assert.deepEqual(await all(second.spool), [1, 4, 5, 6, 7, 8, 9]);
  await rm(directory, { recursive: true });
});

test("above its bound the oldest samples go first, records stay, and both are counted", async () => {
  for (const directory of [await temporary()]) {
    await using one = await open(directory, { maxBytes: 20_000, segmentBytes: 2_000 });
    for (let sequence = 1; sequence <= 200; sequence += 1) {
      await one.spool.append(sequence % 20 === 0 ? records(sequence) : samples(sequence, 300));
    }
    const left = await all(one.spool);
    const recordsLeft = left.filter((sequence) => sequence % 20 === 0);
    assert.deepEqual(recordsLeft, [20, 40, 60, 80, 100, 120, 140, 160, 180, 200]);
    const samplesLeft = left.filter((sequence) => sequence % 20 !== 0);
    assert.ok(samplesLeft.length > 30 && samplesLeft.length < 70, String(samplesLeft.length));
    assert.equal(samplesLeft.at(-1), 199);
    assert.ok((samplesLeft[0] ?? 0) > 100, "the oldest went");
    const counts = await dropped(one.registry);
    assert.equal(counts["spool_full_samples"], 190 - samplesLeft.length);
    assert.ok(one.spool.pending().bytes <= 22_000);
    await abandon(directory);
    await using again = await open(directory, { maxBytes: 20_000, segmentBytes: 2_000 });
    assert.deepEqual(await all(again.spool), left, "also for the next life");
    await rm(directory, { recursive: true });
  }
});

test("what was sent and not acknowledged is not sent twice on one stream, also while the spool shrinks under it", async () => {
  const directory = await temporary();
  await using one = await open(directory, { maxBytes: 6_000, segmentBytes: 1_500 });
  const sent: number[] = [];
  for (let sequence = 1; sequence <= 100; sequence += 1) {
    await one.spool.append(sequence % 5 === 0 ? records(sequence) : samples(sequence, 200));
    if (sequence % 3 !== 0) continue;
    const next = await one.spool.next();
    if (next !== undefined) sent.push(next.sequence);
  }
  for (let next = await one.spool.next(); next !== undefined; next = await one.spool.next()) {
    sent.push(next.sequence);
  }
  assert.deepEqual(
    sent,
    [...new Set(sent)].sort((a, b) => a - b),
  );
  assert.equal(sent.at(-1), 100);
  await rm(directory, { recursive: true });
});

test("a disk that takes nothing is replaced by memory, and nothing is lost while the agent lives", async () => {
  const directory = await temporary();
  await using one = await open(directory, { segmentBytes: 300 });
  await one.spool.append(samples(1));
  // The next segment's path is taken by something that is no file: creating it fails, as on a full disk.
  const name = (await readdir(directory)).find((file) => file.endsWith(".seg")) ?? "";
  const number = Number(name.slice(0, 10)) + 1;
  await writeFile(join(directory, `${String(number).padStart(10, "0")}.seg`), "in the way");
  for (let sequence = 2; sequence <= 12; sequence += 1) await one.spool.append(samples(sequence));
  assert.deepEqual(await all(one.spool), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  const faults = await one.registry.getSingleMetric("axonize_agent_spool_faults_total")?.get();
  assert.equal(faults?.values.find(({ labels }) => labels["reason"] === "write")?.value, 1);
  await one.spool.acknowledge({ epoch, sequence: 12 });
  assert.deepEqual(await all(one.spool), []);
  await rm(directory, { recursive: true });
});

test("a directory that cannot be used, or is another process's, gives a spool in memory", async () => {
  const directory = await temporary();
  await writeFile(join(directory, "lock"), String(process.ppid));
  await using other = await open(directory);
  await other.spool.append(samples(1));
  assert.deepEqual(await all(other.spool), [1]);
  assert.deepEqual(
    (await readdir(directory)).filter((file) => file.endsWith(".seg")),
    [],
  );
  const file = join(directory, "a-file");
  await writeFile(file, "");
  await using none = await open(join(file, "below"));
  await none.spool.append(samples(1));
  assert.deepEqual(await all(none.spool), [1]);
  await chmod(directory, 0o700);
  await rm(directory, { recursive: true });
});

test("each segment begins with the devices, so that its samples can be read alone", async () => {
  const directory = await temporary();
  const devices = devicesFrame(epoch, []);
  await using one = await open(directory, { segmentBytes: 400, devices });
  for (let sequence = 1; sequence <= 9; sequence += 1) await one.spool.append(samples(sequence));
  await one.spool.acknowledge({ epoch, sequence: 5 });
  const left = await all(one.spool);
  assert.equal(left[0], 0);
  assert.deepEqual(
    left.filter((sequence) => sequence > 0),
    [6, 7, 8, 9],
  );
  await rm(directory, { recursive: true });
});
