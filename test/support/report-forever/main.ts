/**
 * A process that is killed in tests: the real exporter, reporting one sample after another. It prints the
 * number of each sample that is in the spool; whoever kills it knows what must arrive.
 *
 * Arguments: endpoint, spool directory, number of the first sample, time of sample 0 in epoch ms, how many
 * times to report; afterwards it only sends what is left.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "@axonize/core/runtime/clock";
import { silentLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { createExporter } from "../../../agent/export/exporter.ts";
import { defaultPoolConfig } from "../../../agent/pool-config.ts";

const [endpoint = "", spoolDirectory = "", first = "0", zero = "0", times = "0"] =
  process.argv.slice(2);
const gpuUuid = "GPU-00000000-0000-4000-8000-000000000000";
/** Samples between two seals; the last of them is printed. */
const perSeal = 10;

const exporter = await createExporter(
  { clock: systemClock, log: silentLog, registry: createRegistry(), random: Math.random },
  {
    endpoint,
    node: "node-a",
    cluster: "",
    version: "test",
    credential: async () => await Promise.resolve(process.env["AXONIZE_TEST_CREDENTIAL"]),
    spoolDirectory,
    config: { ...defaultPoolConfig, reportPeriodMs: 60_000 },
  },
);
exporter.devices([
  {
    uuid: gpuUuid,
    gpuUuid,
    kind: "whole",
    model: "H100",
    driverVersion: "580",
    index: 0,
    migProfile: "",
  },
]);
for (let round = 0; round < Number(times); round += 1) {
  const number = Number(first) + round * perSeal;
  exporter.samples(
    Array.from({ length: perSeal }, (_, each) => ({
      atMs: Number(zero) + number + each,
      deviceUuid: gpuUuid,
      gpuUuid,
      values: { energyMillijoules: number + each },
    })),
  );
  await exporter.flush();
  process.stdout.write(`spooled ${number}\n`);
  await sleep(20);
}
for (;;) {
  process.stdout.write(`pending ${exporter.state().pendingBatches}\n`);
  await sleep(100);
}
