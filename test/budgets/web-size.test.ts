/**
 * What the browser has to load, gzipped: initial JavaScript ≤ 220 KiB, CSS ≤ 15 KiB, any page's own
 * code ≤ 40 KiB (design §10: sizes gate).
 *
 * Initial is index.html's script with everything it imports statically. CSS is every shared sheet
 * with the largest page's own.
 */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { buildWeb, type WebBuild } from "../e2e/support/web-build.ts";

const kib = 1024;
let web: WebBuild;
before(async () => {
  web = await buildWeb();
});
after(async () => {
  await web[Symbol.asyncDispose]();
});

test("the initial JavaScript is at most 220 KiB", (context) => {
  const size = sum(staticImports(entryScript()).map(gzipped));
  context.diagnostic(`initial JavaScript ${(size / kib).toFixed(1)} KiB`);
  assert.ok(size > 50 * kib, "the entry was not found");
  assert.ok(size <= 220 * kib, `${(size / kib).toFixed(1)} KiB`);
});

test("no page needs more than 15 KiB of CSS", (context) => {
  const pages = assets(".css").filter((name) => name.startsWith("Page-"));
  const shared = assets(".css").filter((name) => !name.startsWith("Page-"));
  const size = sum(shared.map(gzipped)) + Math.max(...pages.map(gzipped));
  context.diagnostic(`CSS ${(size / kib).toFixed(1)} KiB`);
  assert.ok(size > kib && size <= 15 * kib, `${(size / kib).toFixed(1)} KiB`);
});

test("no page loads more than 40 KiB of its own", (context) => {
  const initial = new Set(staticImports(entryScript()));
  const pages = assets(".js").filter((name) => name.startsWith("Page-"));
  assert.ok(pages.length >= 8, "the pages are chunks of their own");
  const sizes = pages.map((page) => {
    const own = staticImports(page).filter((name) => !initial.has(name));
    return { page, size: sum(own.map(gzipped)) };
  });
  const largest = sizes.reduce((a, b) => (a.size > b.size ? a : b));
  context.diagnostic(`largest page ${(largest.size / kib).toFixed(1)} KiB`);
  for (const { page, size } of sizes) {
    assert.ok(size <= 40 * kib, `${page}: ${(size / kib).toFixed(1)} KiB`);
  }
});

test("nothing is loaded from elsewhere", () => {
  const html = readFileSync(join(web.dir, "index.html"), "utf8");
  assert.doesNotMatch(html, /(src|href)="(https?:)?\/\//);
  for (const name of assets(".css")) {
    assert.doesNotMatch(readFileSync(join(web.dir, "assets", name), "utf8"), /url\(["']?https?:/);
  }
});

function assets(ending: string): readonly string[] {
  return readdirSync(join(web.dir, "assets")).filter((name) => name.endsWith(ending));
}

function entryScript(): string {
  const html = readFileSync(join(web.dir, "index.html"), "utf8");
  return /src="\.\/assets\/([^"]+\.js)"/.exec(html)?.[1] ?? "";
}

/** A chunk with all that it imports statically, each once. */
function staticImports(name: string, seen = new Set<string>()): readonly string[] {
  if (name === "" || seen.has(name)) return [...seen];
  seen.add(name);
  const code = readFileSync(join(web.dir, "assets", name), "utf8");
  for (const match of code.matchAll(
    /(?:^|[;}\s])(?:import|export)\s*(?:[^"'();]*?from\s*)?["']\.\/([\w.-]+\.js)["']/g,
  )) {
    staticImports(match[1] ?? "", seen);
  }
  return [...seen];
}

function gzipped(name: string): number {
  return gzipSync(readFileSync(join(web.dir, "assets", name)), { level: 9 }).byteLength;
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((a, b) => a + b, 0);
}
