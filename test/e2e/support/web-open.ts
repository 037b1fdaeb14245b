/**
 * A page of the web app in a browser context of its own, with what went wrong in it.
 */
import type { Browser, Page } from "playwright-core";

export interface View {
  readonly width?: number;
  readonly light?: boolean;
  /** Where the app is served, if not where the test's usual data are. */
  readonly url?: string;
  readonly admin?: boolean;
}

export interface Open extends AsyncDisposable {
  readonly page: Page;
  /** Uncaught errors of the page. */
  readonly errors: string[];
}

export async function openPage(browser: Browser, address: string, view: View): Promise<Open> {
  const context = await browser.newContext({
    viewport: { width: view.width ?? 1440, height: 900 },
    colorScheme: view.light ? "light" : "dark",
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  if (view.admin) {
    const keys = JSON.stringify({ query: "axk_admin", admin: "axk_admin", tenant: "" });
    await page.addInitScript(`sessionStorage.setItem("axonize.keys", ${JSON.stringify(keys)})`);
  }
  await page.goto(address);
  return { page, errors, [Symbol.asyncDispose]: () => context.close() };
}
