/**
 * The web app in a real Chromium over made-up data: every page in every state, the ways through it
 * by keyboard and pointer, accessibility (axe) in both themes, and no page wider than a phone.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import {
  hugeTraceId,
  startFixtureServer,
  type FixtureServer,
  type Scenario,
} from "../../dashboard/web/testing/server.ts";
import type { Gpu } from "@axonize/core/contract/gpu";
import { livePeriodMs } from "../../dashboard/web/data/live.ts";
import { seriousProblems } from "./support/web-axe.ts";
import { buildWeb, type WebBuild } from "./support/web-build.ts";
import { openChromium } from "./support/web-chromium.ts";
import { openPage, type Open, type View } from "./support/web-open.ts";

let web: WebBuild;
let browser: Browser;
let full: FixtureServer;
let slowest: string;

before(async () => {
  [web, browser] = await Promise.all([buildWeb(), openChromium()]);
  full = await startFixtureServer({ port: 0, scenario: "full", webRoot: web.dir, live: true });
  slowest = await firstTrace("model=llama-3.1-70b&sort=duration");
});
after(async () => {
  await browser.close();
  await full[Symbol.asyncDispose]();
  await web[Symbol.asyncDispose]();
});

const open = async (path: string, view: View = {}): Promise<Open> =>
  await openPage(browser, (view.url ?? full.url) + path, view);

async function firstTrace(search: string): Promise<string> {
  const response = await fetch(`${full.url}/api/v1/traces?limit=1&${search}`);
  const body = (await response.json()) as { items: { traceId: string }[] }; // Safe: our own fixture.
  return body.items[0]?.traceId ?? "";
}

/** What shows that a page has its data, per route. */
const ready: readonly {
  readonly path: () => string;
  readonly shows: string;
  readonly admin?: boolean;
}[] = [
  { path: () => "/start", shows: "text=Send your first call" },
  { path: () => "/overview?live=0", shows: "text=What changed" },
  { path: () => "/requests?live=0", shows: "[role=row] a" },
  { path: () => `/requests/${slowest}`, shows: "text=slower than" },
  { path: () => "/fleet?live=0", shows: "text=gpu-node-7" },
  { path: () => "/settings", shows: "text=Usage, last 30 days", admin: true },
  { path: () => "/system", shows: "text=send OTLP traces to POST /v1/traces" },
];

test("no page has a serious accessibility problem in either theme, and each fits a phone and a wall", async () => {
  for (const { path, shows, admin = false } of ready) {
    await using view = await open(path(), { admin });
    await view.page.locator(shows).first().waitFor();
    assert.deepEqual(await seriousProblems(view.page), [], `${path()} dark`);
    await view.page.emulateMedia({ colorScheme: "light" });
    await view.page.locator("html[data-theme=light]").waitFor();
    // Structure is the same in both themes; colours are not.
    assert.deepEqual(await seriousProblems(view.page, ["color-contrast"]), [], `${path()} light`);
    for (const width of [390, 2560]) {
      await view.page.setViewportSize({ width, height: 900 });
      const overflow = await view.page.evaluate(
        "document.documentElement.scrollWidth - innerWidth",
      );
      assert.ok(Number(overflow) <= 0, `${path()} at ${width}: ${String(overflow)} px too wide`);
    }
    assert.deepEqual(view.errors, []);
  }
});

const states: readonly {
  readonly scenario: Scenario;
  readonly path: string;
  readonly shows: string;
}[] = [
  { scenario: "empty", path: "/", shows: "text=Waiting for the first span" },
  { scenario: "empty", path: "/overview", shows: "text=Nothing has been received yet" },
  { scenario: "empty", path: "/requests", shows: "text=Nothing has been received yet" },
  { scenario: "empty", path: "/fleet", shows: "text=No GPU has reported" },
  { scenario: "loading", path: "/overview", shows: "[aria-busy=true]" },
  { scenario: "loading", path: `/requests/${"a".repeat(32)}`, shows: "[aria-busy=true]" },
  { scenario: "error", path: "/overview", shows: "text=A store is not reachable" },
  { scenario: "error", path: "/requests", shows: "text=A store is not reachable" },
  { scenario: "error", path: "/fleet", shows: "text=A store is not reachable" },
  { scenario: "error", path: "/system", shows: "text=A store is not reachable" },
];

test("every state says what is and what to do, and the frame stays", async () => {
  for (const scenario of ["empty", "loading", "error"] as const) {
    await using server = await startFixtureServer({ port: 0, scenario, webRoot: web.dir });
    for (const state of states.filter((one) => one.scenario === scenario)) {
      await using view = await open(state.path, { url: server.url });
      await view.page.locator(state.shows).first().waitFor();
      assert.equal(await view.page.locator("nav[aria-label=Pages]").count(), 1);
      assert.deepEqual(view.errors, [], `${scenario} ${state.path}`);
    }
  }
});

test("an id that does not exist says so", async () => {
  await using view = await open(`/requests/${"f".repeat(32)}`);
  await view.page.getByText("No request has this id").waitFor();
});

test("a typed filter narrows the list, lives in the address, and the back button undoes it", async () => {
  await using view = await open("/requests");
  const { page } = view;
  await page.locator("[role=row] a").first().waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("model:llama* dur>1s");
  await page.keyboard.press("Enter");
  await page.waitForURL(/q=model:llama\*\+dur(>|%3E)1s/);
  await until(page, everyRow("llama"));
  await page.goBack();
  await until(page, `!(${everyRow("llama")})`);
});

test("a mistake in the filter is named under the field", async () => {
  await using view = await open("/requests");
  await view.page.locator("[role=row] a").first().waitFor();
  await view.page.getByRole("combobox", { name: "Filter" }).fill("colour:red");
  await view.page.getByText('There is no filter "colour"').waitFor();
});

test("a facet filters, and no match offers the way back", async () => {
  await using view = await open("/requests?q=model:nothing-like-this");
  await view.page.getByText("No request matches").waitFor();
  await view.page.getByRole("button", { name: "Clear the filter" }).last().click();
  await view.page.getByText("Numbers count spans, not requests").waitFor();
  await view.page.getByRole("button", { name: /^qwen3-32b [\d.,]+ ?k? spans$/ }).click();
  await view.page.waitForURL(/q=model:qwen3-32b/);
  await until(view.page, everyRow("qwen3"));
});

test("the list asks for model calls first, and for everything when told to", async () => {
  await using view = await open("/requests?live=0");
  const asks = (calls: boolean) => (request: { url(): string }) =>
    /\/api\/v1\/facets\?/.test(request.url()) && /calls=true/.test(request.url()) === calls;
  const [first] = await Promise.all([view.page.waitForRequest(asks(true)), view.page.reload()]);
  assert.match(first.url(), /calls=true/);
  const everything = view.page.waitForRequest(asks(false));
  await view.page.getByRole("radio", { name: "Everything" }).click();
  await everything;
  await view.page.waitForURL(/show=all/);
});

test("new calls come on screen by themselves, asked for at least every 1.5 s", async () => {
  await using view = await open("/requests");
  const { page } = view;
  const first = page.locator("[role=rowgroup] [role=row] a").first();
  await first.waitFor();
  const before = await first.getAttribute("href");
  await until(
    page,
    `document.querySelector("[role=rowgroup] [role=row] a[href*=requests]")?.getAttribute("href") !== ${JSON.stringify(before)}`,
  );
  // Half a second is left for the query and the paint: 2 s from acknowledged to seen.
  assert.ok(livePeriodMs.requests <= 1_500);
});

test("j, k and Enter walk the list into a request, and back keeps the place", async () => {
  await using view = await open("/requests?live=0&q=service:assistant-api");
  const { page } = view;
  await page.locator("[role=row] a").first().waitFor();
  for (const key of ["j", "j", "j", "k"]) await page.keyboard.press(key);
  await page.waitForURL(/sel=[0-9a-f]{32}/);
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/requests\/[0-9a-f]{32}/);
  await page.getByRole("treegrid").waitFor();
  await page.goBack();
  await page.waitForURL(/sel=/);
});

test("a request is searched, walked and zoomed by keyboard, and the address remembers", async () => {
  await using view = await open(`/requests/${hugeTraceId(10_000)}`);
  const { page } = view;
  await page.locator("[role=treegrid] [role=row]").first().waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("chat dur>1s");
  await page
    .getByText(/matches|of \d/)
    .first()
    .waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(/sel=[0-9a-f]{16}/);
  await page.getByRole("searchbox").or(page.getByLabel("Search spans")).first().press("Escape");
  await page.locator("body").click({ position: { x: 700, y: 60 } });
  await page.keyboard.press("e");
  const selected = page.locator("[role=row][aria-selected=true]");
  await selected.waitFor();
  await page.keyboard.press("f");
  await page.waitForURL(/[?&]z=\d+~\d+/);
  const zoomed = page.url();
  await page.keyboard.press("0");
  await page.waitForURL((url) => !url.search.includes("z="));
  await page.goto(zoomed);
  await page.locator("[role=treegrid] [role=row]").first().waitFor();
  await page.keyboard.press("2");
  await page.waitForURL(/tab=content/);
});

test("a selected span shows attributes, captured content and events", async () => {
  await using view = await open(`/requests/${slowest}`);
  const { page } = view;
  await page.getByText("gen_ai.request.model").waitFor();
  await page.getByRole("radio", { name: "Input / output" }).click();
  await page.getByText("Where is my order 4711").waitFor();
  await page.getByRole("radio", { name: /^Events/ }).click();
  await page.getByText("scheduled").waitFor();
  const band = page.getByRole("region", { name: "GPUs of this request" });
  await band.getByText("SM active").waitFor();
  await band.getByText("NVML lists its process on it").waitFor();
  await band.getByRole("link", { name: "31 calls" }).waitFor();
  await band.getByText("vllm-worker").waitFor();
});

test("a call known from its caller alone says what a caller cannot see, and who can", async () => {
  await using view = await open(`/requests/${await firstTrace("model=gpt-4.1-mini")}`);
  await view.page.getByText(/^Only the caller told of this call, .* A server of yours/).waitFor();
  await view.page.getByText("caller's pod").waitFor();
});

test("a device page says how its time was split and who had it; an unattributed one says why", async () => {
  const response = await fetch(`${full.url}/api/v1/gpus`);
  const { items } = (await response.json()) as { items: Gpu[] }; // Safe: our own fixture.
  const held = items.find((gpu) => gpu.allocation === "allocated" && gpu.node === "gpu-node-7");
  const unknown = items.find((gpu) => gpu.allocation === "unknown");
  assert.ok(held && unknown);
  {
    await using view = await open(`/fleet/${held.node}/${held.uuid}?live=0`);
    await view.page
      .getByText("held by nobody")
      .or(view.page.getByText("allocated"))
      .first()
      .waitFor();
    await view.page.getByRole("list", { name: "Pods and processes over time" }).waitFor();
    // The head's last reading and the charts' means of the same quantity differ: each says what it is.
    await view.page.getByText("Power · last", { exact: true }).waitFor();
    const power = view.page.getByRole("figure").filter({ hasText: /^Power/ });
    await power.getByText(/^mean of \d.* at \d/).waitFor();
    assert.deepEqual(await seriousProblems(view.page), []);
    assert.deepEqual(view.errors, []);
  }
  await using view = await open(`/fleet/${unknown.node}/${unknown.uuid}?live=0`);
  await view.page
    .getByText(/no agent reports it/)
    .first()
    .waitFor();
});

test("a box on the heat map opens the requests that are in it", async () => {
  await using view = await open("/overview?live=0");
  const { page } = view;
  const plot = page.getByRole("application");
  await plot.waitFor();
  const box = await plot.boundingBox();
  assert.ok(box);
  await page.mouse.move(box.x + box.width * 0.5, box.y + box.height * 0.2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.8, box.y + box.height * 0.9, { steps: 4 });
  await page.mouse.up();
  await page.waitForURL(/box=/);
  await page.getByRole("button", { name: "Slowest" }).click();
  await page.waitForURL(/\/requests\?.*q=ttft(>|%3E)/);
  await page.locator("[role=row] a").first().waitFor();
});

test("the heat map is walked by keyboard and speaks", async () => {
  await using view = await open("/overview?live=0");
  const plot = view.page.getByRole("application");
  await plot.focus();
  await plot.press("ArrowLeft");
  await plot.press("Shift+ArrowUp");
  await view.page
    .locator("[aria-live=polite]", { hasText: /calls?$/ })
    .first()
    .waitFor({ state: "attached" });
  await view.page.waitForURL(/box=/);
  await plot.press("Escape");
  await view.page.waitForURL((url) => !url.search.includes("box="));
});

test("the palette goes to pages and to pasted ids", async () => {
  await using view = await open("/overview");
  const { page } = view;
  await page.getByText("What changed").waitFor();
  await page.keyboard.press("Control+k");
  await page.getByPlaceholder(/paste a trace id/).fill(`see ${slowest}`);
  await page.keyboard.press("Enter");
  await page.waitForURL(new RegExp(slowest));
  await page.keyboard.press("g");
  await page.keyboard.press("f");
  await page.waitForURL(/\/fleet/);
  await page.keyboard.press("?");
  await page.getByText("Keyboard and filter").waitFor();
});

test("the GPU grid moves by arrows and opens a device with its series", async () => {
  await using view = await open("/fleet");
  const { page } = view;
  const cell = page.locator("button[data-gpu]").first();
  await cell.focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowDown");
  await page.waitForURL(/sel=GPU-/);
  await page.getByRole("link", { name: "Open device" }).click();
  await page.waitForURL(/\/fleet\/gpu-node-2\/GPU-/);
  await page.getByText("Temperature").first().waitFor();
  await until(page, "document.querySelectorAll('canvas').length >= 4");
});

test("a key is asked for where one is needed, checked, and kept to this tab", async () => {
  await using server = await startFixtureServer({ port: 0, scenario: "locked", webRoot: web.dir });
  await using view = await open("/requests", { url: server.url });
  const { page } = view;
  await page.getByLabel(/Key with scope Query/).fill("wrong");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("alert").waitFor();
  await page.getByLabel(/Key with scope Query/).fill("axk_good");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.locator("[role=row] a").first().waitFor();
  assert.equal(await page.evaluate("localStorage.length"), 0);
  assert.doesNotMatch(page.url(), /axk_/);
  // What such a key may not see is no zero and no empty list.
  await page.goto(`${server.url}/system`);
  await page.getByText("needs the admin key").nth(3).waitFor();
  assert.equal(await page.getByText("log in with the admin key").count(), 6);
  assert.equal(await page.getByText(/has been refused|has reported|has been read/).count(), 0);
});

test("an admin makes a key that is shown once, and revokes one", async () => {
  await using view = await open("/settings");
  const { page } = view;
  await page.getByLabel("Admin key").fill("nonsense");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("alert").waitFor();
  await page.getByLabel("Admin key").fill("axk_admin_x");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("button", { name: "New key" }).click();
  await page.getByLabel(/Name, to tell it apart/).fill("ci");
  await page.getByRole("button", { name: "Create key" }).click();
  const secret = page.getByText(/axk_\w+_7Yb0nq3/);
  await secret.waitFor();
  await page.getByRole("button", { name: "I have it" }).click();
  await secret.waitFor({ state: "detached" });
  await page.getByRole("cell", { name: "ci", exact: true }).waitFor();
  await page.getByRole("button", { name: "Revoke" }).first().click();
  await page.getByRole("button", { name: "Revoke key" }).click();
  await page
    .getByText(/revoked now/)
    .first()
    .waitFor();
});

test("the theme follows the system until chosen, and the choice stays", async () => {
  await using view = await open("/system", { light: true });
  const { page } = view;
  await page.getByText("Parts that run").waitFor();
  const shade = (): Promise<unknown> => page.evaluate("document.documentElement.dataset.theme");
  assert.equal(await shade(), "light");
  await page.getByRole("button", { name: /^Theme/ }).click();
  assert.equal(await shade(), "dark");
  await page.reload();
  await page.getByText("Parts that run").waitFor();
  assert.equal(await shade(), "dark");
});

/** Expressions for the page: this program has no DOM types. */
function everyRow(word: string): string {
  return `[...document.querySelectorAll("[role=row] a")].every((a) => a.textContent.includes("${word}"))`;
}

async function until(page: Page, expression: string): Promise<void> {
  await page.waitForFunction(expression);
}
