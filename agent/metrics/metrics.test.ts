/**
 * The node's metrics page and hw.* export: names and labels that dcgm-exporter's dashboards ask for, no
 * value that was not measured, no device's value given to two pods.
 */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import test from "node:test";
import { createFakeClock } from "../../test/support/fake-clock.ts";
import { systemClock } from "@axonize/core/runtime/clock";
import { silentLog as log } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import type { Gpu, Slice } from "../nvml/topology.ts";
import { createLatest, type Metric } from "../sampling/latest.ts";
import { dcgmText } from "./dcgm.ts";
import type { DeviceView, Holder } from "./device-view.ts";
import { createOtlpExport, metricsRequest } from "./otlp.ts";
import { startMetricsServer } from "./server.ts";

const slice: Slice = {
  uuid: "MIG-1",
  parentUuid: "GPU-1",
  index: 0,
  gpuInstanceId: 7,
  computeInstanceId: 0,
  profile: "1g.10gb",
  smCount: 16,
  gpuInstanceSlices: 1,
  computeInstanceSlices: 1,
  memoryMib: 9984,
  placement: undefined,
  placementMissing: undefined,
};
const gpu: Gpu = {
  uuid: "GPU-1",
  index: 3,
  name: "NVIDIA H100 80GB HBM3",
  minor: 5,
  serial: "1650021",
  pciBusId: "00000000:10:00.0",
  architecture: 9,
  computeCapability: "9.0",
  migEnabled: true,
  migPending: true,
  lost: false,
  slices: [slice],
};
const pod = (name: string): Holder => ({ namespace: "ml", pod: name, container: "vllm" });

function viewOf(
  values: Readonly<Record<string, Partial<Record<Metric, number>>>>,
  holders: Readonly<Record<string, readonly Holder[]>> = {},
): DeviceView {
  const latest = createLatest(() => 0);
  for (const [device, metrics] of Object.entries(values)) {
    for (const [metric, value] of Object.entries(metrics)) {
      latest.put(device, metric as Metric, value, 1000); // the keys are metrics
    }
  }
  return {
    node: "gpu-7",
    driverVersion: "580.82.07",
    devices: [
      {
        gpu,
        slice: undefined,
        latest: latest.device("GPU-1"),
        details: {
          gpuUuid: "GPU-1",
          memoryTemperatureCelsius: 55,
          links: [{ index: 2, active: true, txBytes: 10, rxBytes: undefined }],
        },
        lastXid: 48,
        holders: holders["GPU-1"] ?? [],
      },
      {
        gpu,
        slice,
        latest: latest.device("MIG-1"),
        details: undefined,
        lastXid: undefined,
        holders: holders["MIG-1"] ?? [],
      },
    ],
  };
}

const labels =
  'gpu="3",UUID="GPU-1",pci_bus_id="00000000:10:00.0",device="nvidia5",modelName="NVIDIA H100 80GB HBM3"';
const tail = 'Hostname="gpu-7",DCGM_FI_DRIVER_VERSION="580.82.07"';

test("a GPU and its slice have dcgm-exporter's names, labels and units", () => {
  const text = dcgmText(
    viewOf(
      {
        "GPU-1": { powerWatts: 412.5, utilizationRatio: 0.5, energyMillijoules: 7 },
        "MIG-1": { memoryUsedBytes: 3 * 2 ** 20, smActivityRatio: 0.25 },
      },
      { "MIG-1": [pod("a")] },
    ),
  );
  const lines = text.split("\n");
  assert.ok(lines.includes(`DCGM_FI_DEV_POWER_USAGE{${labels},${tail}} 412.5`), text);
  assert.ok(lines.includes(`DCGM_FI_DEV_GPU_UTIL{${labels},${tail}} 50`));
  assert.ok(lines.includes(`DCGM_FI_DEV_XID_ERRORS{${labels},${tail}} 48`));
  assert.ok(lines.includes(`DCGM_FI_DEV_MEMORY_TEMP{${labels},${tail}} 55`));
  assert.ok(lines.includes("# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter"));
  const instance = `${labels},GPU_I_PROFILE="1g.10gb",GPU_I_ID="7",${tail},container="vllm",namespace="ml",pod="a"`;
  assert.ok(lines.includes(`DCGM_FI_DEV_FB_USED{${instance}} 3`), text);
  assert.ok(lines.includes(`DCGM_FI_PROF_SM_ACTIVE{${instance}} 0.25`));
  assert.ok(
    lines.includes(`axonize_gpu_nvlink_bytes_total{${labels},${tail},link="2",direction="tx"} 10`),
  );
  assert.ok(!text.includes('direction="rx"'), "that link's received bytes were not told");
});

test("what was not measured is not on the page", () => {
  const text = dcgmText(viewOf({ "GPU-1": { powerWatts: 1 } }));
  assert.ok(!text.includes("DCGM_FI_DEV_GPU_UTIL"));
  assert.ok(!text.includes("DCGM_FI_DEV_FB_FREE"));
  assert.ok(!/NaN|undefined|null/.test(text));
});

test("a shared device's values name none of its pods; who shares is told beside them", () => {
  const text = dcgmText(
    viewOf({ "MIG-1": { memoryUsedBytes: 2 ** 20 } }, { "MIG-1": [pod("a"), pod("b")] }),
  );
  const used = text.split("\n").filter((line) => line.startsWith("DCGM_FI_DEV_FB_USED{"));
  assert.equal(used.length, 1);
  assert.doesNotMatch(used[0] ?? "", /pod=/);
  const shares = text.split("\n").filter((line) => line.startsWith("axonize_gpu_allocation{"));
  assert.deepEqual(
    shares.map((line) => /pod="(\w)"/.exec(line)?.[1]),
    ["a", "b"],
  );
});

test("hostile names cannot break the page", () => {
  const name = 'a"} 1\nDCGM_FI_DEV_POWER_USAGE{x="\\';
  const text = dcgmText(viewOf({ "GPU-1": { powerWatts: 1 } }, { "GPU-1": [pod(name)] }));
  const lines = text.split("\n").filter((line) => line.startsWith("DCGM_FI_DEV_POWER_USAGE"));
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", /pod="a\\"\} 1\\nDCGM_FI_DEV_POWER_USAGE\{x=\\"\\\\"\} 1$/);
});

test("rates come from two readings, and not from a counter that began anew", () => {
  const latest = createLatest(() => 0);
  const device = latest.device("GPU-1");
  latest.put("GPU-1", "pcieTxBytes", 1000, 1000);
  assert.equal(device.rate("pcieTxBytes"), undefined);
  latest.put("GPU-1", "pcieTxBytes", 3000, 2000);
  assert.equal(device.rate("pcieTxBytes"), 2000);
  latest.put("GPU-1", "pcieTxBytes", 10, 3000);
  assert.equal(device.rate("pcieTxBytes"), undefined);
  latest.put("GPU-1", "pcieTxBytes", 20, 2000);
  assert.equal(device.rate("pcieTxBytes"), undefined, "the clock jumped back");
});

test("a value is not given out when it is old, cannot be read any more, or its device is gone", () => {
  let nowMs = 0;
  const latest = createLatest(() => nowMs);
  latest.put("GPU-1", "powerWatts", 100, 1000);
  nowMs = 95_000;
  assert.equal(latest.device("GPU-1").value("powerWatts"), 100);
  nowMs = 97_000;
  assert.equal(latest.device("GPU-1").value("powerWatts"), undefined);
  latest.put("GPU-1", "powerWatts", 100, 1000);
  latest.miss({ device: "GPU-1", metric: "powerWatts", reason: "gpu_lost" });
  assert.equal(latest.device("GPU-1").value("powerWatts"), undefined);
  latest.put("GPU-2", "powerWatts", 100, 1000);
  latest.retain(["GPU-1"]);
  assert.equal(latest.device("GPU-2").value("powerWatts"), undefined);
});

test("hw.* names the slice by its UUID under its GPU, in the conventions' units", () => {
  const request = JSON.stringify(
    metricsRequest(
      viewOf({ "GPU-1": { energyMillijoules: 5000 }, "MIG-1": { memoryUsedBytes: 42 } }),
      "1",
      "2",
    ),
  );
  assert.match(request, /"name":"hw.energy","unit":"J"[^\]]*/);
  assert.match(request, /"asDouble":5[,}]/);
  assert.match(request, /"key":"hw.id","value":\{"stringValue":"MIG-1"\}/);
  assert.match(request, /"key":"hw.parent","value":\{"stringValue":"GPU-1"\}/);
  assert.doesNotMatch(request, /hw.power/, "no power was measured");
});

test("hw.* is sent to the endpoint, and an endpoint that is down is counted and tried again", async () => {
  const bodies: string[] = [];
  let status = 503;
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += String(chunk)));
    request.on("end", () => {
      bodies.push(`${request.url ?? ""} ${body}`);
      response.statusCode = status;
      response.end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // it listens on a port
  const outcomes: string[] = [];
  const sender = createOtlpExport(
    {
      clock: systemClock,
      log,
      view: () => viewOf({ "GPU-1": { powerWatts: 300 } }),
      sent: (outcome) => void outcomes.push(outcome),
    },
    { endpoint: `http://127.0.0.1:${port}`, periodMs: 20 },
  );
  const until = async (outcome: string): Promise<void> => {
    const deadline = performance.now() + 20_000;
    while (!outcomes.includes(outcome)) {
      assert.ok(performance.now() < deadline, outcome);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  await until("failed");
  status = 200;
  await until("sent");
  await sender[Symbol.asyncDispose]();
  server.closeAllConnections();
  server.close();
  assert.match(
    bodies.at(-1) ?? "",
    /^\/v1\/metrics \{"resourceMetrics":.*"hw.power".*"asDouble":300/,
  );
});

test("the page is served beside the agent's own metrics, and a taken port is a clear error", async () => {
  const registry = createRegistry();
  const view = (): DeviceView => viewOf({ "GPU-1": { powerWatts: 300 } });
  const listen = { host: "127.0.0.1", port: 0 };
  const server = await startMetricsServer({ registry, view }, listen);
  try {
    const answer = await fetch(`http://127.0.0.1:${server.port}/metrics`);
    assert.match(answer.headers.get("content-type") ?? "", /^text\/plain/);
    assert.match(await answer.text(), /DCGM_FI_DEV_POWER_USAGE\{/);
    assert.equal((await fetch(`http://127.0.0.1:${server.port}/healthz`)).status, 200);
    assert.equal((await fetch(`http://127.0.0.1:${server.port}/x`)).status, 404);
    await assert.rejects(
      startMetricsServer({ registry, view }, { ...listen, port: server.port }),
      /AXONIZE_AGENT_METRICS_LISTEN/,
    );
  } finally {
    await server[Symbol.asyncDispose]();
  }
});

test("hw.* stops when it is told to, also while it waits", async () => {
  const clock = createFakeClock();
  const sender = createOtlpExport(
    { clock, log, view: () => viewOf({}), sent: () => undefined },
    { endpoint: "http://127.0.0.1:9" },
  );
  await sender[Symbol.asyncDispose]();
});
