/**
 * The system's Chromium, driven by playwright-core. Pages that log an error or ask for something that
 * is not there fail the test that opened them.
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium, type Browser, type Page } from "playwright-core";

const artifacts = join(import.meta.dirname, "../../../test-artifacts");
const usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** `names`: host names that this browser finds at 127.0.0.1. */
export async function openBrowser(names: readonly string[] = []): Promise<Browser> {
  const given = process.env["AXONIZE_TEST_CHROMIUM"];
  const executablePath = given ?? usual.find((path) => existsSync(path));
  if (executablePath === undefined) {
    throw new Error(
      "Browser tests need Chromium. `npm test` installs it where it may; else install it " +
        "(Debian: apt-get install chromium) or set AXONIZE_TEST_CHROMIUM.",
    );
  }
  const rules = names.map((name) => `MAP ${name} 127.0.0.1`).join(",");
  return await chromium.launch({
    executablePath,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      ...(rules === "" ? [] : [`--host-resolver-rules=${rules}`]),
    ],
  });
}

export interface Watched {
  page: Page;
  /** What the page complained about. */
  problems: string[];
}

export async function openPage(browser: Browser): Promise<Watched> {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(`exception: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(`console: ${message.text()}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400) problems.push(`${response.status()} ${response.url()}`);
  });
  return { page, problems };
}

/** Kept in test-artifacts/ as a record of the run. */
export async function keepScreenshot(page: Page, name: string): Promise<void> {
  await mkdir(artifacts, { recursive: true });
  await page.screenshot({ path: join(artifacts, `${name}.png`) });
}
