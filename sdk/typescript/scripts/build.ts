/**
 * Builds the package into dist/: two runs of tsc (modules and CommonJS) and one step of our own, which
 * puts what `worker.ts` needs into one text, so that the exporter's thread can be started without a file.
 *
 * `build.ts [folder]` builds, `build.ts --if-stale` only where a source is newer than dist/.
 *
 * The text is a bundle in the plainest sense: each CommonJS file in a function, and a `require` that
 * knows them. No bundler is needed for sixteen files without dependencies.
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

const here = join(import.meta.dirname, "..");
const project = join(here, "tsconfig.build.json");
const tsc = join(here, "../../node_modules/.bin/tsc");

const [flag = ""] = process.argv.slice(2);
if (flag !== "--if-stale" || isStale(join(here, "dist"))) {
  build(flag.startsWith("--") || flag === "" ? join(here, "dist") : flag);
}

/** Whether a source is newer than what was built of it. */
function isStale(target: string): boolean {
  const built = join(target, "cjs/package.json");
  if (!existsSync(built)) return true;
  const { mtimeMs } = statSync(built);
  return globSync("{src/**/*.ts,scripts/*.ts,*.json}", { cwd: here }).some(
    (file) => statSync(join(here, file)).mtimeMs > mtimeMs,
  );
}

/** Builds beside the target and moves it there at the end: nobody meets half a build. */
function build(target: string): void {
  const making = `${target}.${process.pid}`;
  const esm = join(making, "esm");
  const cjs = join(making, "cjs");
  run(["-p", project, "--outDir", esm]);
  run([
    "-p",
    project,
    "--outDir",
    cjs,
    "--module",
    "commonjs",
    "--moduleResolution",
    "bundler",
    "--verbatimModuleSyntax",
    "false",
  ]);
  writeFileSync(join(cjs, "package.json"), '{ "type": "commonjs" }\n');
  const code = JSON.stringify(bundle(cjs, "./worker.js"));
  writeFileSync(join(esm, "worker-source.js"), `export const workerSource = ${code};\n`);
  writeFileSync(
    join(cjs, "worker-source.js"),
    `"use strict";\nObject.defineProperty(exports, "__esModule", { value: true });\nexports.workerSource = ${code};\n`,
  );
  rmSync(join(esm, "worker.js"));
  rmSync(join(cjs, "worker.js"));
  rmSync(target, { recursive: true, force: true });
  mkdirSync(join(target, ".."), { recursive: true });
  renameSync(making, target);
}

function run(args: readonly string[]): void {
  const done = spawnSync(process.execPath, [tsc, ...args], { cwd: here, stdio: "inherit" });
  if (done.status !== 0) process.exit(done.status ?? 1);
}

/** Text that runs `entry` of `folder` and the files that it requires, in any CommonJS context. */
function bundle(folder: string, entry: string): string {
  const found = new Map<string, string>();
  const visit = (name: string): void => {
    if (found.has(name)) return;
    const path = join(folder, name);
    if (!existsSync(path)) throw new Error(`${path} is required by the worker and was not built`);
    const text = readFileSync(path, "utf8").replace(/^\/\/# sourceMappingURL.*$/m, "");
    found.set(name, text);
    for (const match of text.matchAll(/require\("(\.\/[\w-]+\.js)"\)/g)) visit(match[1] ?? "");
  };
  visit(entry);
  const modules = [...found].map(
    ([name, text]) => `${JSON.stringify(name)}(module,exports,require){${text}\n}`,
  );
  return [
    `const files={${modules.join(",\n")}};`,
    "const loaded={};",
    "const load=(name)=>{",
    "if(!(name in files))return require(name);",
    "if(name in loaded)return loaded[name].exports;",
    "const module=(loaded[name]={exports:{}});",
    "files[name](module,module.exports,load);",
    "return module.exports;};",
    `load(${JSON.stringify(entry)});`,
  ].join("\n");
}
