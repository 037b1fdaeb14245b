/**
 * Bytes of a device sample's values: on the wire as the agent seals them each second, and on disk in
 * `gpu_samples` merged to one part. The load is the false driver's day on 8 GPUs × 7 slices with the
 * ticks of the agent (100 ms and 1 s), read in the script's time instead of the clock's.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { createBatcher } from "../agent/export/batcher.ts";
import { createExportMetrics } from "../agent/export/metrics.ts";
import { encodeSamples } from "../agent/export/samples.ts";
import type { DeviceFacts, Sample } from "../agent/report.ts";
import { createFakeNode } from "../agent/testing/fake-driver.ts";
import { readDriver, type Reading } from "../agent/testing/read-driver.ts";
import { createRegistry } from "../core/runtime/metrics.ts";
import { decodeSamples } from "../ingest/agents/samples.ts";
import { sampleBlocks } from "../ingest/agents/tables.ts";
import { openDatabases, startTestStores } from "../test/support/start-stores.ts";

const seconds = Number(process.env["AXONIZE_BENCH_MINUTES"] ?? 60) * 60;
const gpus = Array.from({ length: 8 }, (_, gpu) => gpu);
const node = [
  "load day",
  ...gpus.map((gpu) => `gpu ${gpu} h100 mig=1`),
  ...gpus.flatMap((gpu) =>
    Array.from({ length: 7 }, (_, slice) => `slice ${gpu} ${slice} 1g.10gb`),
  ),
];
/** HTTP/2's and gRPC's headers of one message. */
const framingBytes = 9 + 5;
/** Blocks of a minute: what merges would make of the seconds. */
const secondsPerInsert = 60;

await using stack = new AsyncDisposableStack();
const fake = stack.use(createFakeNode(...node, "time 0"));
const driver = stack.use(readDriver(fake.library()));
const engines = await startTestStores();
stack.defer(async () => await engines.stop());
const { clickhouse } = stack.use(await openDatabases(engines));

const parents = new Map<string, string>();
const facts: DeviceFacts[] = [];
for (const gpu of driver.topology().gpus) {
  const base = { gpuUuid: gpu.uuid, model: gpu.name, driverVersion: "580.82.07", index: gpu.index };
  facts.push({ ...base, uuid: gpu.uuid, kind: "whole", migProfile: "" });
  parents.set(gpu.uuid, gpu.uuid);
  for (const slice of gpu.slices) {
    facts.push({ ...base, uuid: slice.uuid, kind: "mig", migProfile: slice.profile });
    parents.set(slice.uuid, gpu.uuid);
  }
}
const numbers = new Map(facts.map(({ uuid }, index) => [uuid, index + 1]));
const devices = new Map(facts.map((each, index) => [index + 1, { ...each, number: index + 1 }]));

// Three hours back: raw samples are dropped after three days.
const startMs = Math.floor(Date.now() / 86_400_000) * 86_400_000 - 10_800_000;
/** A reading takes the driver some ms; ticks begin on the plan. */
const toSample = ({ device, values }: Reading, atMs: number): Sample => ({
  atMs,
  deviceUuid: device,
  gpuUuid: parents.get(device) ?? device,
  values,
});

const registry = createRegistry();
const batcher = createBatcher({ metrics: createExportMetrics(registry) }, "0".repeat(20));
batcher.devices(facts);
let wireBytes = 0;
let wirePoints = 0;
let minute: Sample[] = [];
for (let second = 0; second < seconds; second += 1) {
  const samples: Sample[] = [];
  for (let tick = 0; tick < 10; tick += 1) {
    const scriptS = second + tick / 10;
    const atMs = startMs + Math.round(scriptS * 1000);
    fake.write(...node, `time ${scriptS.toFixed(1)}`);
    for (const reading of driver.fast()) samples.push(toSample(reading, atMs));
    if (tick > 0) continue;
    // The driver gives no GPM average over less than 100 ms of real time.
    await sleep(102);
    const slow = new Map(driver.slow().map((reading) => [reading.device, reading]));
    const gpm = driver.gpm();
    for (const reading of gpm) {
      const rest = slow.get(reading.device);
      slow.set(reading.device, { ...reading, values: { ...rest?.values, ...reading.values } });
    }
    [...slow.values()].forEach((reading, at) =>
      samples.push(toSample(reading, atMs + 1 + Math.floor(at / 8))),
    );
  }
  const named = samples.filter(({ values }) => Object.keys(values).length > 0);
  wirePoints += named.reduce((sum, { values }) => sum + Object.keys(values).length, 0);
  batcher.samples(named);
  for (const frame of batcher.seal()) wireBytes += frame.length + framingBytes;
  minute.push(...named);
  if (minute.length > 0 && (second + 1) % secondsPerInsert === 0) {
    await insert(minute, second);
    minute = [];
  }
}

async function insert(samples: readonly Sample[], sequence: number): Promise<void> {
  // In parts that a batch may have.
  const most = 20_000;
  for (let from = 0; from < samples.length; from += most) {
    const { bytes } = encodeSamples(
      samples.slice(from, from + most),
      ({ deviceUuid }) => numbers.get(deviceUuid) ?? 0,
    );
    const blocks = sampleBlocks(
      { cluster: "", node: "node-a", epoch: "0".repeat(20), sequence: sequence * 100 + from },
      decodeSamples(bytes),
      { devices, nowMs: Date.now(), lost: (reason) => console.log(`lost: ${reason}`) },
    );
    for (const block of blocks) {
      const answer = await clickhouse.exec({
        query: "INSERT INTO gpu_samples FORMAT Native",
        values: Readable.from([block.bytes], { objectMode: false }),
      });
      for await (const chunk of answer.stream) void chunk; // an insert answers with nothing
    }
  }
}

await clickhouse.command({ query: "OPTIMIZE TABLE gpu_samples FINAL" });
const read = async <T>(query: string): Promise<T[]> =>
  await (await clickhouse.query({ query, format: "JSONEachRow" })).json<T>();
const fields = await read<{ name: string }>(
  `SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'gpu_samples'
   AND type LIKE 'Nullable(%' AND name != 'device_index'`,
);
const [counted] = await read<{ points: number | string; rows: number | string }>(
  `SELECT ${fields.map(({ name }) => `count(${name})`).join(" + ")} AS points, count() AS rows FROM gpu_samples`,
);
const parts = await read<{ column: string; bytes: number | string }>(
  `SELECT column, sum(column_data_compressed_bytes) AS bytes FROM system.parts_columns
   WHERE database = currentDatabase() AND table = 'gpu_samples' AND active GROUP BY column ORDER BY bytes DESC`,
);
const [disk] = await read<{ bytes: number | string }>(
  `SELECT sum(bytes_on_disk) AS bytes FROM system.parts
   WHERE database = currentDatabase() AND table = 'gpu_samples' AND active`,
);
const points = Number(counted?.points ?? 0);
const result = {
  machine: cpus()[0]?.model ?? "unknown",
  seconds,
  points,
  rows: Number(counted?.rows ?? 0),
  wireBytesPerPoint: round(wireBytes / wirePoints),
  storedBytesPerPoint: round(Number(disk?.bytes ?? 0) / points),
  columns: Object.fromEntries(
    parts.slice(0, 20).map(({ column, bytes }) => [column, round(Number(bytes) / points)]),
  ),
};
console.log(JSON.stringify(result, undefined, 2));
console.log(`wire: ${result.wireBytesPerPoint} bytes a value (bar: 4)`);
console.log(`disk: ${result.storedBytesPerPoint} bytes a value (bar: 1.5)`);
await mkdir(join(import.meta.dirname, "results"), { recursive: true });
await writeFile(
  join(import.meta.dirname, "results/agent-wire.json"),
  `${JSON.stringify(result, undefined, 2)}\n`,
);

function round(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}
