/**
 * What fits at which width, in a real Chromium over made-up data: the columns of the requests, and
 * the labels of the heat map on a phone.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { startFixtureServer, type FixtureServer } from "../../dashboard/web/testing/server.ts";
import { buildWeb, type WebBuild } from "./support/web-build.ts";
import { openChromium } from "./support/web-chromium.ts";
import { openPage, type Open, type View } from "./support/web-open.ts";

let web: WebBuild;
let browser: Browser;
let full: FixtureServer;

before(async () => {
  [web, browser] = await Promise.all([buildWeb(), openChromium()]);
  full = await startFixtureServer({ port: 0, scenario: "full", webRoot: web.dir });
});
after(async () => {
  await browser.close();
  await full[Symbol.asyncDispose]();
  await web[Symbol.asyncDispose]();
});

const open = async (path: string, view: View): Promise<Open> =>
  await openPage(browser, full.url + path, view);

/** Every width at which columns or facets come or go, on both of its sides, and usual ones between. */
const widths = [
  640, 641, 720, 721, 768, 852, 853, 900, 932, 933, 1000, 1080, 1081, 1148, 1149, 1240, 1328, 1329,
  1440, 1558, 1559, 1920,
];
const sureGpu = /^[=≈~] (GPU \d+|\d+ GPUs|\dg\.\d+gb( · GPU \d+)?) (exact|derived|likely)/;

test("from a small window up, a row is one line that fits and names its GPU", async () => {
  // The arrow of the sorting is in the narrowest column, and below it are the largest numbers.
  await using view = await open("/requests?live=0&s=-outputTokens", { width: 1440 });
  await view.page.getByRole("cell").filter({ hasText: sureGpu }).first().waitFor();
  for (const width of widths) {
    await view.page.setViewportSize({ width, height: 900 });
    // The rows follow a few frames after the window.
    const deadline = Date.now() + 15_000;
    let wrong: readonly string[];
    do wrong = problemsOf(await measure(view.page), width <= 640 ? 48 : 30);
    while (wrong.length > 0 && Date.now() < deadline);
    assert.deepEqual(wrong, [], `at ${width}`);
  }
});

test("on a phone a row names its GPU and how sure that is, in two lines", async () => {
  await using view = await open("/requests?live=0", { width: 390 });
  const row = view.page.locator("[role=row]", { has: view.page.getByRole("link") }).filter({
    hasText: /= (GPU \d+|\d+ GPUs|\dg\.\d+gb|[0-9a-f]{6}) exact/,
  });
  const box = await row.first().boundingBox();
  assert.ok(box && box.height <= 48, JSON.stringify(box));
  const cell = row.first().getByRole("cell", { name: /exact/ });
  const place = await cell.boundingBox();
  assert.ok(place && place.width > 40 && place.x + place.width <= 390, JSON.stringify(place));
});

test("on a phone the heat map's labels are whole", async () => {
  await using view = await open("/overview?live=0", { width: 390 });
  await view.page.getByRole("application").waitFor();
  await view.page.waitForFunction(`${axisLabels}.length >= 2`);
  const labels = await view.page.evaluate<{ text: string; left: number }[]>(
    `${axisLabels}.map((label) => ({ text: label.textContent, left: label.getBoundingClientRect().left }))`,
  );
  assert.ok(
    labels.some(({ text }) => /^\d{3}\sms$/.test(text)),
    JSON.stringify(labels),
  );
  for (const { text, left } of labels) assert.ok(left >= 2, `${text} begins at ${left}`);
});

interface List {
  readonly tooWidePx: number;
  readonly rowPx: readonly number[];
  readonly cells: readonly {
    readonly head: string;
    readonly text: string;
    readonly cutPx: number;
  }[];
}

function problemsOf({ tooWidePx, rowPx, cells }: List, wantedRowPx: number): readonly string[] {
  // Names are cut with an ellipsis; a number, a state or a device that is cut says something else.
  const cut = cells.filter(({ head, cutPx }) => cutPx > 0 && !/Request|Model|Pod/.test(head));
  return [
    ...(tooWidePx > 0 ? [`the list is ${tooWidePx} px too wide`] : []),
    ...(rowPx.every((px) => px === wantedRowPx) ? [] : [`rows are ${rowPx.join(", ")} px high`]),
    ...(cells.some(({ text }) => sureGpu.test(text)) ? [] : ["no row names its GPU"]),
    ...cut.map(({ head, text, cutPx }) => `${head} ${text} is cut by ${cutPx} px`),
  ];
}

/** As it is after the next frame. */
async function measure(page: Page): Promise<List> {
  return await page.evaluate<List>(`new Promise((done) => requestAnimationFrame(() => {
    const list = document.querySelector("[role=region][aria-label=Requests]");
    const heads = [...list.querySelectorAll("[role=columnheader]")];
    const rows = [...list.querySelectorAll("[role=row]")];
    const cellsOf = (row) => [...row.children]
      .map((cell, at) => ({ cell, head: heads[at].textContent }))
      .filter(({ cell }) => cell.offsetWidth > 0)
      .map(({ cell, head }) => ({
        head, text: cell.textContent, cutPx: cell.scrollWidth - cell.clientWidth,
      }));
    done({
      tooWidePx: list.scrollWidth - list.clientWidth,
      rowPx: rows.slice(1).map((row) => row.offsetHeight),
      cells: rows.flatMap(cellsOf),
    });
  }))`);
}

/** An expression for the page: this program has no DOM types. */
const axisLabels = `[...document.querySelector("[role=application]").previousElementSibling.children]`;
