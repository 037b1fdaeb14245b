/**
 * `npm run generate`: writes what is derived from code: in docs/ the OpenAPI document and the references
 * of API, configuration and metrics, in images/ the Dockerfiles, in charts/ the chart's README and
 * schema, and the decoder's kernel as WebAssembly. `--check` writes nothing and fails when one differs.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { apiMarkdown } from "./generate/api-markdown.ts";
import { chartFiles } from "./generate/chart.ts";
import { configMarkdown } from "./generate/config-markdown.ts";
import { imageFiles } from "./generate/images.ts";
import { crdFiles } from "./generate/crds.ts";
import { crdsMarkdown } from "./generate/crds-markdown.ts";
import { injectionFiles } from "./generate/injection.ts";
import { injectionMarkdown } from "./generate/injection-markdown.ts";
import { kernelModule } from "./generate/kernel.ts";
import { metricsMarkdown } from "./generate/metrics-markdown.ts";
import { openApiDocument } from "./generate/openapi.ts";

const root = join(import.meta.dirname, "..");

/** Path in the tree → its text. */
export async function generate(): Promise<Map<string, string>> {
  return new Map([
    ["docs/openapi.json", `${JSON.stringify(openApiDocument(), undefined, 2)}\n`],
    ["docs/api.md", apiMarkdown()],
    ["docs/config.md", configMarkdown()],
    ["docs/metrics.md", await metricsMarkdown()],
    ["docs/crds.md", crdsMarkdown()],
    ["docs/injection.md", injectionMarkdown()],
    ["ingest/decode/kernel.generated.ts", await kernelModule()],
    ...crdFiles(),
    ...injectionFiles(),
    ...chartFiles(root),
    ...imageFiles(root),
  ]);
}

/** Paths of files that differ from what the code says. */
export async function findStale(files: ReadonlyMap<string, string>): Promise<string[]> {
  const stale: string[] = [];
  for (const [name, text] of files) {
    const written = await readFile(join(root, name), "utf8").catch(() => ""); // not written yet
    if (written !== text) stale.push(name);
  }
  return stale;
}

if (import.meta.main) {
  const files = await generate();
  const stale = await findStale(files);
  if (!process.argv.includes("--check")) {
    for (const [name, text] of files) {
      const path = join(root, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, text);
    }
    console.log(stale.length === 0 ? "Nothing changed." : `Written: ${stale.join(", ")}`);
  } else if (stale.length > 0) {
    console.error(`${stale.join(", ")} differ from the code. Run \`npm run generate\`.`);
    process.exit(1);
  }
}
