/**
 * Builds the web app into a folder of the caller's, as `npm run build` does, for tests and benches
 * that must not depend on what lies in dist.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "vite";

const webRoot = join(import.meta.dirname, "../../../dashboard/web");

export interface WebBuild extends AsyncDisposable {
  readonly dir: string;
}

export async function buildWeb(): Promise<WebBuild> {
  const dir = await mkdtemp(join(tmpdir(), "axonize-web-"));
  await build({ root: webRoot, logLevel: "warn", build: { outDir: dir, emptyOutDir: true } });
  return {
    dir,
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}
