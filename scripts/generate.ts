/**
 * `npm run generate`: writes what is derived from code into docs/: the OpenAPI document, and the
 * references of API, configuration and metrics. `--check` writes nothing and fails when one differs.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { apiMarkdown } from "./generate/api-markdown.ts";
import { configMarkdown } from "./generate/config-markdown.ts";
import { metricsMarkdown } from "./generate/metrics-markdown.ts";
import { openApiDocument } from "./generate/openapi.ts";

const docs = join(import.meta.dirname, "../docs");

/** File name in docs/ → its text. */
export async function generate(): Promise<Map<string, string>> {
  return new Map([
    ["openapi.json", `${JSON.stringify(openApiDocument(), undefined, 2)}\n`],
    ["api.md", apiMarkdown()],
    ["config.md", configMarkdown()],
    ["metrics.md", await metricsMarkdown()],
  ]);
}

/** Names of files in docs/ that differ from what the code says. */
export async function findStale(files: ReadonlyMap<string, string>): Promise<string[]> {
  const stale: string[] = [];
  for (const [name, text] of files) {
    const written = await readFile(join(docs, name), "utf8").catch(() => ""); // not written yet
    if (written !== text) stale.push(`docs/${name}`);
  }
  return stale;
}

if (import.meta.main) {
  const files = await generate();
  const stale = await findStale(files);
  if (!process.argv.includes("--check")) {
    for (const [name, text] of files) await writeFile(join(docs, name), text);
    console.log(stale.length === 0 ? "Nothing changed." : `Written: ${stale.join(", ")}`);
  } else if (stale.length > 0) {
    console.error(`${stale.join(", ")} differ from the code. Run \`npm run generate\`.`);
    process.exit(1);
  }
}
