/**
 * `npm run demo` as a person runs it, against the whole path: what it says it sent is what the API
 * shows, its GPUs included, nothing is refused, and the incident it promises can be found.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createApiClient, type ApiClient } from "./support/api.ts";
import { openAxonize, type InProcess } from "./support/in-process.ts";

const demo = join(import.meta.dirname, "../../scripts/demo/main.ts");
let axonize: InProcess;
let api: ApiClient;
let printed: { code: number | null; text: string };
/** The demo's "now", to which its incident is relative; sending it takes a while. */
let demoMs: number;
const range = { from: "-2h", to: "now" };

before(async () => {
  axonize = await openAxonize();
  api = createApiClient(axonize.api);
  demoMs = Date.now();
  const args = ["--backfill", "45m", "--duration", "2s", "--rate", "0.5", "--seed", "11"];
  printed = await runDemo(["--endpoint", axonize.otlpHttp, ...args]);
});
after(async () => await axonize[Symbol.asyncDispose]());

test("the demo says that it is generated, ends with 0 and has nothing refused", () => {
  assert.equal(printed.code, 0, printed.text);
  assert.match(printed.text, /generated load/);
  assert.match(printed.text, /Worth finding: users had to wait between \d\d:\d\d and \d\d:\d\d/);
  assert.doesNotMatch(printed.text, /refused/);
});

test("what it says it sent is what the API counts", async () => {
  const spans = Number(/Done: ([\d,]+) spans/.exec(printed.text)?.[1]?.replaceAll(",", ""));
  assert.ok(spans > 5000, printed.text);
  const { totals, byModel } = await api.overview(range);
  assert.equal(totals.spans, spans);
  assert.ok(totals.errors > 0);
  assert.ok(byModel.length >= 8, byModel.map((group) => group.value).join(", "));
  const { items } = await api.facets({ ...range, key: "engine" });
  const engines = items.flatMap((facet) => facet.values.map(({ value }) => value));
  for (const engine of ["vllm", "sglang", "dynamo", "tgi"]) {
    assert.ok(engines.includes(engine), `${engine} is not among ${engines.join(", ")}`);
  }
});

test("its 16 GPUs and three MIG slices are there with readings, slices under their GPU", async () => {
  const { items } = await api.gpus(range);
  assert.equal(items.filter((gpu) => gpu.parentUuid === "").length, 16);
  const slices = items.filter((gpu) => gpu.parentUuid !== "");
  assert.equal(slices.length, 3);
  for (const gpu of items) {
    assert.ok(gpu.reading.utilizationRatio !== null, gpu.uuid);
    assert.equal(gpu.reading.powerWatts === null, gpu.parentUuid !== "", "slices tell no power");
  }
});

test("the incident is found: one pod of one model waits for its first token, one GPU is hot", async () => {
  const during = { from: String(demoMs - 32 * 60_000), to: String(demoMs - 20 * 60_000) };
  const { items } = await api.facets({ ...during, key: "pod", prefix: "vllm-" });
  const pods = items.flatMap((facet) => facet.values.map(({ value }) => value));
  assert.equal(pods.length, 2);
  const waits = await Promise.all(
    pods.map(async (pod) => (await api.overview({ ...during, pod })).totals.ttftP50Ms ?? 0),
  );
  assert.ok(Math.max(...waits) > 3 * Math.min(...waits), waits.join(" ms and "));
  const { items: gpus } = await api.gpus(during);
  // It swings between 87 and 91 °C with the load, the others stay below 50.
  const hot = gpus.filter((gpu) => (gpu.reading.temperatureCelsius ?? 0) > 80);
  assert.equal(hot.length, 1);
  assert.equal(hot[0]?.pods[0]?.name, pods[waits.indexOf(Math.max(...waits))]);
});

test("where nothing listens it says what to do, in one paragraph", async () => {
  const { code, text } = await runDemo(["--endpoint", "http://127.0.0.1:9"]);
  assert.equal(code, 1);
  assert.match(text, /Start Axonize with `npm start` first/);
  assert.doesNotMatch(text, /\n\s+at /, "no stack trace");
});

async function runDemo(args: readonly string[]): Promise<{ code: number | null; text: string }> {
  const child = spawn(process.execPath, [demo, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  const collect = (chunk: Buffer): void => {
    text += chunk.toString();
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
    setTimeout(() => child.kill("SIGKILL"), 120_000).unref();
  });
  return { code, text };
}
