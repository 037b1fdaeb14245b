/**
 * A headless Chromium for tests and pictures, with the flags that keep it quiet and deterministic.
 */
import { chromium, type Browser } from "playwright-core";
import { ensureChromium } from "../../../scripts/system-packages.ts";

export async function openChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: await ensureChromium(),
    args: [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}
