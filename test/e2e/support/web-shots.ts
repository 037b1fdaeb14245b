/**
 * Takes pictures of every page in every state into a folder: `node test/e2e/support/web-shots.ts OUT [name…]`.
 * For eyes, not for comparison.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { openChromium } from "./web-chromium.ts";
import {
  hugeTraceId,
  startFixtureServer,
  type Scenario,
} from "../../../dashboard/web/testing/server.ts";

const [out = "shots", ...wanted] = process.argv.slice(2);
const webRoot = join(import.meta.dirname, "../../../dashboard/web/dist");
const nowMs = Date.UTC(2026, 10, 25, 14, 12, 11);

interface Shot {
  readonly name: string;
  readonly path: (ids: {
    readonly slow: string;
    readonly agent: string;
    readonly gpu: string;
  }) => string;
  readonly scenario?: Scenario;
  readonly width?: number;
  readonly height?: number;
  readonly light?: boolean;
  readonly admin?: boolean;
}

const routes: readonly Shot[] = [
  { name: "start", path: () => "/start" },
  { name: "overview", path: () => "/overview" },
  { name: "requests", path: () => "/requests" },
  { name: "request", path: ({ slow }) => `/requests/${slow}` },
  { name: "agent", path: ({ agent }) => `/requests/${agent}` },
  { name: "huge", path: () => `/requests/${hugeTraceId(100_000)}` },
  { name: "fleet", path: () => "/fleet" },
  { name: "device", path: ({ gpu }) => `/fleet/gpu-node-7/${gpu}` },
  { name: "settings", path: () => "/settings", admin: true },
  { name: "system", path: () => "/system" },
];
const variants: readonly (Partial<Shot> & { readonly suffix: string })[] = [
  { suffix: "" },
  { suffix: "-light", light: true },
  { suffix: "-390", width: 390, height: 844 },
  { suffix: "-390-light", width: 390, height: 844, light: true },
  { suffix: "-2560", width: 2560, height: 1440 },
  { suffix: "-empty", scenario: "empty" },
  { suffix: "-loading", scenario: "loading" },
  { suffix: "-error", scenario: "error" },
  { suffix: "-locked", scenario: "locked" },
];

mkdirSync(out, { recursive: true });
const browser = await openChromium();
for (const variant of variants) {
  const scenario = variant.scenario ?? "full";
  await using server = await startFixtureServer({ port: 0, scenario, webRoot, nowMs });
  await using ids = await startFixtureServer({ port: 0, scenario: "full", nowMs });
  const known = await findIds(ids.url);
  for (const route of routes) {
    const name = route.name + variant.suffix;
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    if (variant.suffix === "-locked" && route.name !== "overview") continue;
    const context = await browser.newContext({
      viewport: { width: variant.width ?? 1440, height: variant.height ?? 900 },
      colorScheme: variant.light ? "light" : "dark",
      deviceScaleFactor: 1,
      timezoneId: "UTC",
    });
    const page = await context.newPage();
    page.on("pageerror", (error) => {
      console.log(`${name}: page error ${error.message}`);
    });
    page.on("console", (message) => {
      if (message.type() === "error" && !/503|404|401/.test(message.text()))
        console.log(`${name}: ${message.text()}`);
    });
    if (route.admin && scenario === "full") {
      await page.addInitScript(() => {
        sessionStorage.setItem(
          "axonize.keys",
          JSON.stringify({ query: "axk_admin", admin: "axk_admin", tenant: "" }),
        );
      });
    }
    // The clock of the fixture: relative labels and live ages must fit the data.
    await page.clock.setFixedTime(nowMs);
    await page.goto(server.url + route.path(known));
    await page.waitForTimeout(scenario === "full" ? 900 : 700);
    await page.screenshot({ path: join(out, `${name}.png`) });
    await context.close();
  }
}
await browser.close();

async function findIds(url: string): Promise<{ slow: string; agent: string; gpu: string }> {
  const read = async (path: string): Promise<string> => {
    const response = await fetch(url + path);
    const body = (await response.json()) as {
      items: {
        traceId: string;
        uuid: string;
        node: string;
        reading: { temperatureCelsius: number | null };
      }[];
    }; // Safe: our own fixture.
    const hot = body.items.find((item) => (item.reading?.temperatureCelsius ?? 0) > 85);
    return hot?.uuid ?? body.items[0]?.traceId ?? "";
  };
  return {
    slow: await read("/api/v1/traces?model=llama-3.1-70b&sort=duration&limit=1&status=ok"),
    agent: await read("/api/v1/traces?service=support-agent&sort=duration&limit=1"),
    gpu: await read("/api/v1/gpus"),
  };
}
