/**
 * The request page in headless Chromium (software raster): traces of 10 k and 100 k spans from data
 * to first frame, and the work of a frame while panning and zooming.
 *
 * "Data" is the moment the answer's bytes are there, before JSON is parsed; "first frame" is the
 * first animation frame after the waterfall's rows exist and bars have been painted on its canvas. A
 * frame's work is what runs in it: event, arithmetic, painting calls.
 *
 * Live view: from the acknowledgement of a span by `npm start` to its row in the list of requests.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { hugeTraceId, startFixtureServer } from "../dashboard/web/testing/server.ts";
import { buildWeb } from "../test/e2e/support/web-build.ts";
import { npmStart } from "../test/e2e/support/npm-start.ts";
import { openChromium } from "../test/e2e/support/web-chromium.ts";

const rounds = 5;
const bars = { first10kMs: 150, first100kMs: 400, frameP95Ms: 16, liveMs: 2_000 };
const liveSpans = 20;

/** Marks when the trace's bytes are there, then waits for rows and a painted canvas. */
const watch = `
  const text = Response.prototype.json;
  Response.prototype.json = async function () {
    if (!/traces\\/[0-9a-f]{32}\\?/.test(this.url)) return text.call(this);
    const body = await this.text();
    window.dataAt = performance.now();
    return JSON.parse(body);
  };
  const fill = CanvasRenderingContext2D.prototype.fill;
  CanvasRenderingContext2D.prototype.fill = function (...given) {
    if (window.dataAt !== undefined) this.canvas.dataset.painted = "yes";
    return fill.apply(this, given);
  };
  const look = () => {
    const ready = document.querySelector("[role=treegrid] [role=row]") && document.querySelector("[role=treegrid] canvas[data-painted]");
    if (!ready) return requestAnimationFrame(look);
    window.firstFrameMs = performance.now() - window.dataAt;
  };
  requestAnimationFrame(look);
`;

await using web = await buildWeb();
await using server = await startFixtureServer({ port: 0, scenario: "full", webRoot: web.dir });
const browser = await openChromium();
const figures = {
  machine: `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores, Chromium ${browser.version()}`,
  first10kMs: median(await firstFrames(browser, 10_000)),
  first100kMs: median(await firstFrames(browser, 100_000)),
  ...(await frames(browser)),
  ...(await liveView(browser)),
};
await browser.close();

console.log(
  `trace of 10 k spans, data to first frame    ${line(figures.first10kMs, bars.first10kMs)}`,
);
console.log(
  `trace of 100 k spans, data to first frame   ${line(figures.first100kMs, bars.first100kMs)}`,
);
console.log(
  `pan at 100 k, work of a frame, p95          ${line(figures.panP95Ms, bars.frameP95Ms)}`,
);
console.log(
  `zoom at 100 k, work of a frame, p95         ${line(figures.zoomP95Ms, bars.frameP95Ms)}`,
);
console.log(
  `pan, all rows open, p95                     ${line(figures.panOpenP95Ms, bars.frameP95Ms)}`,
);
console.log(
  `acknowledged span in the live list, median   ${line(figures.liveMedianMs, bars.liveMs)}`,
);
console.log(
  `acknowledged span in the live list, slowest  ${line(figures.liveSlowestMs, bars.liveMs)}`,
);
const root = join(import.meta.dirname, "..");
mkdirSync(join(root, "bench/results"), { recursive: true });
writeFileSync(join(root, "bench/results/web.json"), `${JSON.stringify(figures, undefined, 2)}\n`);

async function firstFrames(browser: Browser, spans: number): Promise<number[]> {
  const out: number[] = [];
  // The first round warms the file cache and the fixture, as a page that was open before does.
  for (let round = 0; round <= rounds; round += 1) {
    const page = await openTrace(browser, spans);
    if (round > 0) out.push(Number(await page.evaluate("window.firstFrameMs")));
    await page.close();
  }
  return out;
}

async function openTrace(browser: Browser, spans: number): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await page.addInitScript(watch);
  await page.goto(`${server.url}/requests/${hugeTraceId(spans)}`);
  await page.waitForFunction("window.firstFrameMs !== undefined", undefined, { timeout: 60_000 });
  return page;
}

async function frames(
  browser: Browser,
): Promise<{ panP95Ms: number; zoomP95Ms: number; panOpenP95Ms: number }> {
  const page = await openTrace(browser, 100_000);
  await page.waitForTimeout(1_000);
  const zoomP95Ms = p95(await work(page, ["w", "w", "w", "s", "s", "s"]));
  const panP95Ms = p95(await work(page, ["w", "d", "d", "a", "d", "s"]));
  await page.keyboard.press("P");
  const panOpenP95Ms = p95(await work(page, ["w", "d", "d", "a", "d", "s"]));
  await page.close();
  return { panP95Ms, zoomP95Ms, panOpenP95Ms };
}

/** Sends spans one by one to the real product and waits for each in the list that a person looks at. */
async function liveView(
  browser: Browser,
): Promise<{ liveMedianMs: number; liveSlowestMs: number }> {
  const dataDir = mkdtempSync(join(tmpdir(), "axonize-bench-web-"));
  const product = await npmStart(dataDir);
  try {
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    await send(product.otlpHttp, "bench first");
    await page.goto(`${product.api}/requests`);
    await page.getByText("bench first").waitFor();
    const times: number[] = [];
    for (let i = 0; i < liveSpans; i += 1) {
      const name = `bench ${i} ${randomBytes(4).toString("hex")}`;
      await send(product.otlpHttp, name);
      const acknowledged = performance.now();
      await page.getByText(name).waitFor({ timeout: 30_000 });
      times.push(performance.now() - acknowledged);
    }
    await page.close();
    return { liveMedianMs: median(times), liveSlowestMs: Math.max(...times) };
  } finally {
    await product.interrupt();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function send(otlpHttp: string, name: string): Promise<void> {
  const endMs = Date.now();
  const span = {
    traceId: randomBytes(16).toString("hex"),
    spanId: randomBytes(8).toString("hex"),
    name,
    kind: 3,
    startTimeUnixNano: `${endMs - 80}000000`,
    endTimeUnixNano: `${endMs}000000`,
    attributes: [
      { key: "gen_ai.operation.name", value: { stringValue: "chat" } },
      { key: "gen_ai.request.model", value: { stringValue: "bench" } },
    ],
  };
  const answer = await fetch(`${otlpHttp}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }),
  });
  if (!answer.ok) throw new Error(`The span was refused: ${answer.status} ${await answer.text()}`);
}

/** Presses one key a frame and times the frame: from the key to the end of what it painted. */
async function work(page: Page, keys: readonly string[]): Promise<number[]> {
  const times: unknown = await page.evaluate(`new Promise((resolve) => {
    const keys = ${JSON.stringify(keys)};
    const times = [];
    const step = (n) => {
      if (n === 120) return resolve(times);
      // Order within the next frame: "begin" (asked for first), the application's painting (asked
      // for by the key), "end" (asked for last).
      let begin = 0;
      requestAnimationFrame(() => { begin = performance.now(); });
      const key = performance.now();
      window.dispatchEvent(new KeyboardEvent("keydown", { key: keys[n % keys.length], bubbles: true }));
      const handled = performance.now() - key;
      requestAnimationFrame(() => { times.push(performance.now() - begin + handled); step(n + 1); });
    };
    step(0);
  })`);
  if (!Array.isArray(times)) throw new Error("The page answered no times.");
  return times.map(Number);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function p95(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.95)] ?? Number.NaN;
}

function line(value: number, bar: number): string {
  return `${value.toFixed(1).padStart(7)} ms   bar ${bar} ms   ${value <= bar ? "ok" : "MISSED"}`;
}
