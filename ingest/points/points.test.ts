/**
 * OTLP metrics into rows, through the real door and store: pivoting, units, ranges, who may speak of
 * devices, what is not kept and how that is said, in protobuf and in JSON.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { generateKey } from "@axonize/core/runtime/access";
import { useStores, type Stores } from "../../test/support/stores.ts";
import { gauge, jsonAttributes, message, metricsRequest } from "../testing/otlp.ts";
import { adminKey, grpcClient, startIngest, type TestIngest } from "../testing/start-ingest.ts";

let stores: Stores;
let running: TestIngest;

before(async () => {
  stores = await useStores();
  running = await startIngest(stores);
});
after(async () => {
  await running[Symbol.asyncDispose]();
});

async function send(body: string, headers: Record<string, string> = {}) {
  const answer = await running.post("/v1/metrics", body, {
    "content-type": "application/json",
    ...headers,
  });
  assert.equal(answer.status, 200);
  // Safe: OTLP's answer, of which the test reads what it asserts.
  return (await answer.json()) as {
    partialSuccess?: { rejectedDataPoints: string; errorMessage: string };
  };
}

async function rows<T>(sql: string): Promise<T[]> {
  const answer = await stores.clickhouse.query({ query: sql, format: "JSONEachRow" });
  return await answer.json<T>();
}

test("points of one device and time become one row; what nobody measured is NULL", async () => {
  const timeMs = Date.now();
  const device = { "hw.id": "GPU-a", "hw.type": "gpu", "hw.model": "H100" };
  const point = (name: string, value: number, unit: string, more: Record<string, string> = {}) =>
    gauge(name, value, { unit, timeMs, attributes: { ...device, ...more } });
  const answer = await send(
    metricsRequest(
      [
        point("hw.gpu.utilization", 0.75, "1", { "hw.gpu.task": "general" }),
        point("hw.gpu.memory.usage", 40 * 2 ** 30, "By"),
        point("hw.gpu.memory.limit", 80, "GiBy"),
        point("hw.power", 412.5, "W"),
        point("hw.energy", 1234.5, "J"),
        point("hw.errors", 3, "{error}", { "error.type": "corrected" }),
        point("hw.gpu.io", 7, "By", { "network.io.direction": "transmit" }),
        gauge("hw.temperature", 61, {
          unit: "Cel",
          timeMs,
          attributes: { "hw.id": "sensor-1", "hw.parent": "GPU-a", "hw.type": "temperature" },
        }),
      ],
      { "host.name": "node-1", "k8s.cluster.name": "blue" },
    ),
  );
  assert.deepEqual(answer, {});
  const found = await rows<Record<string, unknown>>(
    "SELECT * FROM gpu_samples WHERE device = 'GPU-a'",
  );
  assert.equal(found.length, 1);
  const [row] = found;
  assert.ok(row !== undefined);
  assert.deepEqual(
    [row["cluster"], row["node"], row["name"], row["parent"]],
    ["blue", "node-1", "H100", ""],
  );
  assert.deepEqual(
    [row["utilization"], row["power_watts"], row["temperature_celsius"]],
    [0.75, 412.5, 61],
  );
  assert.deepEqual(
    ["memory_used", "memory_total", "energy_mj", "ecc_corrected", "pcie_tx_bytes"].map((name) =>
      Number(row[name]),
    ),
    [40 * 2 ** 30, 80 * 2 ** 30, 1_234_500, 3, 7],
  );
  for (const name of ["sm_activity", "ecc_uncorrected", "pcie_rx_bytes", "power_limit_watts"]) {
    assert.equal(row[name], null, `${name} was not measured`);
  }
  const rolled = await rows<{ n: number }>(
    "SELECT count() AS n FROM gpu_samples_10s WHERE device = 'GPU-a'",
  );
  assert.equal(Number(rolled[0]?.n), 1);
});

test("other vocabularies mean the same: OpenLIT's percentages, ours, dcgm-exporter's", async () => {
  const uuid = { "gpu.uuid": "GPU-b" };
  const dcgm = { UUID: "GPU-c", gpu: "2", GPU_I_ID: "3", GPU_I_PROFILE: "1g.10gb" };
  const timeMs = Date.now();
  const answer = await send(
    metricsRequest([
      gauge("gpu.utilization", 55, { unit: "", timeMs, attributes: uuid }),
      gauge("gpu.memory_used_bytes", 1024, { unit: "By", timeMs, attributes: uuid }),
      gauge("gpu.power_watts", 99, { unit: "W", timeMs, attributes: uuid }),
      gauge("DCGM_FI_DEV_GPU_UTIL", 80, { unit: "", timeMs, attributes: dcgm }),
      gauge("DCGM_FI_DEV_FB_USED", 2, { unit: "", timeMs, attributes: dcgm }),
      gauge("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", 0.5, { unit: "", timeMs, attributes: dcgm }),
    ]),
  );
  assert.deepEqual(answer, {});
  const found = await rows<Record<string, unknown>>(`
    SELECT device, parent, mig_profile, device_index, round(utilization, 3) AS u, memory_used AS m,
           tensor_activity AS t
    FROM gpu_samples WHERE device IN ('GPU-b', 'GPU-c/gi3') ORDER BY device`);
  assert.deepEqual(
    found.map((row) => [row["device"], row["parent"], row["u"], Number(row["m"]), row["t"]]),
    [
      ["GPU-b", "", 0.55, 1024, null],
      ["GPU-c/gi3", "GPU-c", 0.8, 2 * 2 ** 20, 0.5],
    ],
  );
  assert.deepEqual([found[1]?.["device_index"], found[1]?.["mig_profile"]], [2, "1g.10gb"]);
});

test("what is implausible, unnamed or of no interest is counted and said", async () => {
  const attributes = { "hw.id": "GPU-d" };
  const answer = await send(
    metricsRequest([
      gauge("hw.gpu.utilization", 0.5, { attributes }),
      gauge("hw.gpu.utilization", "NaN", { attributes, timeMs: Date.now() + 1 }),
      gauge("hw.gpu.utilization", 17, { attributes, timeMs: Date.now() + 2 }),
      gauge("hw.power", 1e9, { unit: "W", attributes }),
      gauge("hw.power", 100, { unit: "furlong", attributes }),
      gauge("hw.gpu.utilization", 0.5, {}),
      gauge("hw.fan.speed", 2000, { attributes }),
      gauge("process.cpu.time", 1, {}),
      gauge("hw.gpu.utilization", 0.5, { attributes, timeMs: Date.UTC(1970, 0, 2) }),
      gauge("hw.gpu.utilization", 0.5, { attributes, timeMs: Date.UTC(2100, 0, 1) }),
    ]),
  );
  assert.equal(answer.partialSuccess?.rejectedDataPoints, "9");
  const text = answer.partialSuccess?.errorMessage ?? "";
  for (const part of [
    /9 data points were not kept/,
    /3 because the value is not a number, or not plausible/,
    /1 because the unit/,
    /1 because the point names no device/,
    /2 because only hw\.\* metrics/,
    /2 because the time/,
  ]) {
    assert.match(text, part);
  }
  assert.match(
    await running.registry.metrics(),
    /rejected_items_total\{signal="metrics",reason="value_out_of_range"\} 3/,
  );
});

test("only the machine's own loopback and the admin key speak of devices", async () => {
  await stores.sql`INSERT INTO tenants (id, name) VALUES ('team', 'team')`;
  const { id, key, secretSha256 } = generateKey();
  await stores.sql`
    INSERT INTO api_keys (id, tenant_id, secret_sha256, scopes)
    VALUES (${id}, 'team', ${secretSha256}, ${["Ingest"]})`;
  await running.access.refresh();
  const body = (device: string): string =>
    metricsRequest([
      gauge("hw.gpu.utilization", 0.5, { attributes: { "hw.id": device } }),
      gauge("gen_ai.requests", 5),
    ]);
  const tenant = await send(body("GPU-tenant"), { "x-axonize-key": key });
  assert.equal(tenant.partialSuccess?.rejectedDataPoints, "1");
  assert.match(tenant.partialSuccess?.errorMessage ?? "", /devices belong to no tenant/);
  const admin = await send(body("GPU-admin"), { "x-axonize-key": adminKey });
  assert.equal(admin.partialSuccess?.rejectedDataPoints, "1");
  assert.match(admin.partialSuccess?.errorMessage ?? "", /x-axonize-tenant/);
  const found = await rows<{ device: string }>(
    "SELECT device FROM gpu_samples WHERE device IN ('GPU-tenant', 'GPU-admin')",
  );
  assert.deepEqual(found, [{ device: "GPU-admin" }]);
});

test("gen_ai metrics are kept: gauges, sums, histograms, exponential histograms without buckets", async () => {
  const timeUnixNano = `${Date.now()}000123`;
  const attributes = jsonAttributes({ "gen_ai.request.model": "llama" });
  const histogram = {
    name: "gen_ai.server.time_to_first_token",
    unit: "s",
    histogram: {
      aggregationTemporality: 1,
      dataPoints: [
        {
          timeUnixNano,
          startTimeUnixNano: timeUnixNano,
          attributes,
          count: "3",
          sum: 1.5,
          min: 0.1,
          max: 1,
          explicitBounds: [0.5, 1],
          bucketCounts: ["2", 1, "0"],
        },
      ],
    },
  };
  const exponential = {
    name: "gen_ai.client.operation.duration",
    unit: "s",
    exponentialHistogram: {
      aggregationTemporality: 2,
      dataPoints: [
        {
          timeUnixNano,
          attributes,
          count: 9,
          sum: 4.5,
          scale: 3,
          zeroCount: 0,
          positive: { offset: 1, bucketCounts: ["9"] },
        },
      ],
    },
  };
  const sum = {
    name: "gen_ai.tokens",
    sum: {
      aggregationTemporality: 2,
      isMonotonic: true,
      dataPoints: [{ timeUnixNano, asInt: "42", attributes }],
    },
  };
  const summary = { name: "gen_ai.old", summary: { dataPoints: [{ timeUnixNano, count: 1 }] } };
  const answer = await send(
    metricsRequest([histogram, exponential, sum, summary], { "service.name": "vllm" }),
  );
  assert.equal(answer.partialSuccess?.rejectedDataPoints, "1");
  assert.match(answer.partialSuccess?.errorMessage ?? "", /summaries/);
  const found = await rows<Record<string, unknown>>(`
    SELECT name, kind, temporality, monotonic, service, value, toUInt32(count) AS count, sum, min, max, bounds,
           arrayMap(n -> toUInt32(n), bucket_counts) AS buckets, attrs, toString(time) AS at
    FROM metrics WHERE service = 'vllm' ORDER BY name`);
  assert.deepEqual(
    found.map((row) => Object.fromEntries(Object.entries(row).filter(([name]) => name !== "at"))),
    [
      {
        name: "gen_ai.client.operation.duration",
        kind: "histogram",
        temporality: "cumulative",
        monotonic: false,
        service: "vllm",
        value: null,
        count: 9,
        sum: 4.5,
        min: null,
        max: null,
        bounds: [],
        buckets: [],
        attrs: { "gen_ai.request.model": "llama" },
      },
      {
        name: "gen_ai.server.time_to_first_token",
        kind: "histogram",
        temporality: "delta",
        monotonic: false,
        service: "vllm",
        value: null,
        count: 3,
        sum: 1.5,
        min: 0.1,
        max: 1,
        bounds: [0.5, 1],
        buckets: [2, 1, 0],
        attrs: { "gen_ai.request.model": "llama" },
      },
      {
        name: "gen_ai.tokens",
        kind: "sum",
        temporality: "cumulative",
        monotonic: true,
        service: "vllm",
        value: 42,
        count: 0,
        sum: null,
        min: null,
        max: null,
        bounds: [],
        buckets: [],
        attrs: { "gen_ai.request.model": "llama" },
      },
    ],
  );
  assert.match(String(found[0]?.["at"]), /\.\d{3}000123$/);
});

test("the same in protobuf, with fields in any order", async () => {
  const fixed64 = (field: number, bits: bigint): Buffer => {
    const bytes = Buffer.alloc(9);
    bytes[0] = (field << 3) | 1;
    bytes.writeBigUInt64LE(bits, 1);
    return bytes;
  };
  const double = (field: number, value: number): Buffer => {
    const bytes = Buffer.alloc(9);
    bytes[0] = (field << 3) | 1;
    bytes.writeDoubleLE(value, 1);
    return bytes;
  };
  const pair = (key: string, value: string): Buffer =>
    Buffer.concat([message(1, Buffer.from(key)), message(2, message(1, Buffer.from(value)))]);
  const now = BigInt(Date.now()) * 1_000_000n;
  const power = Buffer.concat([
    // The data stands before the name.
    message(
      5,
      message(
        1,
        Buffer.concat([double(4, 250), message(7, pair("hw.id", "GPU-pb")), fixed64(3, now)]),
      ),
    ),
    message(3, Buffer.from("W")),
    message(1, Buffer.from("hw.power")),
  ]);
  const packed = Buffer.concat([1n, 2n].map((value) => fixed64(0, value).subarray(1)));
  const bounds = double(0, 0.5).subarray(1);
  const latency = Buffer.concat([
    message(1, Buffer.from("gen_ai.pb")),
    message(
      9,
      Buffer.concat([
        message(
          1,
          Buffer.concat([
            fixed64(3, now),
            fixed64(4, 3n),
            double(5, 2),
            message(6, packed),
            message(7, bounds),
          ]),
        ),
        Buffer.from([0x10, 2]), // temporality, behind the points
      ]),
    ),
  ]);
  const body = message(1, message(2, Buffer.concat([message(2, power), message(2, latency)])));
  const grpc = grpcClient(running.grpcPort);
  const answer = await grpc.export("metrics.v1.MetricsService", body);
  assert.deepEqual([answer.code, answer.body?.length], [0, 0], answer.message);
  const truncated = await grpc.export(
    "metrics.v1.MetricsService",
    body.subarray(0, body.length - 5),
  );
  assert.equal(truncated.code, 3);
  grpc.client.close();
  assert.deepEqual(await rows("SELECT power_watts FROM gpu_samples WHERE device = 'GPU-pb'"), [
    { power_watts: 250 },
  ]);
  assert.deepEqual(
    await rows(`SELECT temporality, toUInt32(count) AS n, sum, bounds, arrayMap(n -> toUInt32(n), bucket_counts) AS b
                FROM metrics WHERE name = 'gen_ai.pb'`),
    [{ temporality: "cumulative", n: 3, sum: 2, bounds: [0.5], b: [1, 2] }],
  );
});
