/**
 * The package as users get it: packed, installed into an empty folder, imported and required, type-checked
 * from outside, bundled. Nothing of the source tree is used but to pack it.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import {
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { build as esbuild } from "esbuild";
import { build as vite } from "vite";

const here = import.meta.dirname;
const root = join(here, "../..");
const scratch = realpathSync(mkdtempSync(join(tmpdir(), "axonize-package-")));
const home = join(scratch, "empty");
const installed = join(home, "node_modules/@axonize/sdk");
const names = ["openai", "ollama", "http", "undici", "express", "fastify", "otel"];

before(async () => {
  const source = join(scratch, "source");
  mkdirSync(source, { recursive: true });
  for (const file of ["package.json", "README.md", "LICENSE"]) {
    cpSync(join(file === "LICENSE" ? root : here, file), join(source, file));
  }
  const built = await run(process.execPath, [join(here, "scripts/build.ts"), join(source, "dist")]);
  assert.equal(built.code, 0, built.output);
  // The build is done: packing must not look for its tools.
  const pack = ["pack", "--silent", "--ignore-scripts", "--pack-destination", scratch];
  const packed = await run("npm", pack, source);
  assert.equal(packed.code, 0, packed.output);
  const tarball = readdirSync(scratch).find((name) => name.endsWith(".tgz"));
  assert.ok(tarball);
  mkdirSync(home);
  writeFileSync(join(home, "package.json"), '{ "private": true }\n');
  const install = ["install", "--offline", "--no-audit", "--no-fund", "--silent", "--omit=peer"];
  const done = await run("npm", [...install, join(scratch, tarball)], home);
  assert.equal(done.code, 0, done.output);
  // For the bridge alone; the peer is optional.
  const api = join(root, "node_modules/@opentelemetry/api");
  mkdirSync(join(home, "node_modules/@opentelemetry"), { recursive: true });
  symlinkSync(api, join(home, "node_modules/@opentelemetry/api"));
});
after(() => {
  rmSync(scratch, { recursive: true, force: true });
});

test("it depends on nothing, is under a megabyte, and says its version", () => {
  const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as {
    version: string;
    dependencies?: object;
  };
  assert.equal(manifest.dependencies, undefined);
  assert.deepEqual(readdirSync(join(home, "node_modules/@axonize")), ["sdk"]);
  const files = globSync("**/*", { cwd: installed }).map((file) => statSync(join(installed, file)));
  const bytes = files.reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);
  assert.ok(bytes < 1 << 20, `${bytes} bytes`);
  const version = /version = "([^"]+)"/.exec(
    readFileSync(join(installed, "dist/esm/version.js"), "utf8"),
  );
  assert.equal(version?.[1], manifest.version);
});

test("every entry can be imported and required, and both faces export the same", async () => {
  for (const name of ["", ...names.map((entry) => `/${entry}`)]) {
    const esm = `import * as m from "@axonize/sdk${name}"; console.log(Object.keys(m).sort().join());`;
    const cjs = `console.log(Object.keys(require("@axonize/sdk${name}")).sort().join());`;
    const [imported, required] = await Promise.all([
      run(process.execPath, ["--input-type=module", "--eval", esm], home),
      run(process.execPath, ["--input-type=commonjs", "--eval", cjs], home),
    ]);
    assert.equal(imported.code, 0, imported.output);
    assert.ok(imported.output.trim().length > 3, name);
    assert.equal(imported.output, required.output, name);
  }
});

test("register records without a line of code", async () => {
  await using sink = await createSink();
  const program = `const http = require("node:http");
const server = http.createServer((q, r) => r.end("ok")).listen(0, "127.0.0.1", async () => {
  await (await fetch("http://127.0.0.1:" + server.address().port)).text();
  server.close();
});`;
  const flags = ["--import=@axonize/sdk/register", "--input-type=commonjs", "--eval", program];
  const done = await run(process.execPath, flags, home, {
    AXONIZE_ENDPOINT: sink.url,
    AXONIZE_SERVICE_NAME: "registered",
  });
  assert.equal(done.code, 0, done.output);
  assert.ok(sink.text().includes("registered"));
  assert.ok(sink.text().includes("http.request.method"));
});

const consumer = `
import * as axonize from "@axonize/sdk";
import { instrumentOpenAI } from "@axonize/sdk/openai";
import { axonizeExpress } from "@axonize/sdk/express";
import { createTracerProvider } from "@axonize/sdk/otel";
axonize.init({ serviceName: "typed", batchSize: 10 });
const length: number = axonize.span("s", (span) => span.setAttribute("k", [1, "a"]).traceId.length);
const answer: Promise<string> = axonize.llmSpan("call", { model: "m" }, async (span) => {
  for await (const token of span.stream(words(), (word) => word.length)) token.toUpperCase();
  span.setStatus(axonize.SpanStatus.OK);
  return "done";
});
async function* words(): AsyncGenerator<string> { yield "a"; }
const traced = axonize.trace(async (a: number, b: string) => a + b.length);
const sum: Promise<number> = traced(1, "x");
class Service {
  @axonize.trace
  run(a: number): number { return a; }
  @axonize.trace({ name: "other", attributes: { x: 1 } })
  async other(): Promise<void> {}
}
{ using span = axonize.startSpan("used"); span.addEvent("e", { a: true }); }
const client: { chat: object } = instrumentOpenAI({ chat: {} });
// @ts-expect-error a count is a number
axonize.startLlmSpan("x").setTokensInput("7");
// @ts-expect-error no such kind
axonize.startSpan("x", { kind: 9 });
export { answer, axonizeExpress, client, createTracerProvider, length, Service, sum };
`;

test("types hold for strict programs, as modules, CommonJS and under bundlers, libraries checked", async () => {
  const base = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--target", "es2022"];
  const lib = ["--lib", "es2023,esnext.disposable,dom", "--types", ""];
  for (const [file, ...flags] of [
    ["consumer.mts", "--module", "nodenext"],
    ["consumer.cts", "--module", "nodenext"],
    ["consumer.ts", "--module", "esnext", "--moduleResolution", "bundler"],
  ] as const) {
    writeFileSync(join(home, file), consumer);
    const args = [join(root, "node_modules/.bin/tsc"), ...base, ...lib, ...flags, file];
    const done = await run(process.execPath, args, home);
    assert.equal(done.code, 0, `${file}\n${done.output}`);
  }
});

/** What only integrations and the bridge contain. */
const marks = [
  "gen_ai.response.finish_reasons",
  "undici:request:create",
  "http.route",
  "SUPPRESS_TRACING",
];
const app = `
import { init, span, llmSpan } from "@axonize/sdk";
init({ serviceName: "bundled" });
span("work", (s) => s.setAttribute("answer", 42));
llmSpan("call", (s) => s.recordToken());
`;

test("bundled by esbuild and vite, unused integrations vanish and the bundle records", async () => {
  const entry = join(home, "app.mjs");
  writeFileSync(entry, app);
  const out = join(home, "out");
  for (const format of ["esm", "cjs"] as const) {
    const outfile = join(out, `esbuild.${format === "esm" ? "mjs" : "cjs"}`);
    await esbuild({
      entryPoints: [entry],
      outfile,
      format,
      bundle: true,
      minify: true,
      keepNames: true,
      platform: "node",
      logLevel: "error",
    });
  }
  await vite({
    root: home,
    logLevel: "error",
    configFile: false,
    ssr: { noExternal: true },
    build: { ssr: entry, outDir: join(out, "vite"), minify: true },
  });
  for (const bundle of globSync("out/**/*.{mjs,cjs,js}", { cwd: home })) {
    const code = readFileSync(join(home, bundle), "utf8");
    for (const mark of marks) assert.ok(!code.includes(mark), `${bundle} contains ${mark}`);
    assert.ok(code.length < 150_000, `${bundle}: ${code.length} bytes`);
    // Away from node_modules: the bundle must be all there is.
    const alone = join(scratch, `alone-${basename(dirname(bundle))}-${basename(bundle)}`);
    cpSync(join(home, bundle), bundle.endsWith(".js") ? `${alone}.mjs` : alone);
    await using sink = await createSink();
    const done = await run(
      process.execPath,
      [bundle.endsWith(".js") ? `${alone}.mjs` : alone],
      scratch,
      {
        AXONIZE_ENDPOINT: sink.url,
      },
    );
    assert.equal(done.code, 0, done.output);
    assert.ok(sink.text().includes("bundled") && sink.text().includes("ai.llm.ttft_ms"), bundle);
  }
});

test("a bundle that imports nothing it uses is empty", async () => {
  const entry = join(home, "unused.mjs");
  const imports = ["", ...names.map((name) => `/${name}`)];
  writeFileSync(
    entry,
    imports.map((name, i) => `import * as m${i} from "@axonize/sdk${name}";`).join("\n"),
  );
  const { outputFiles } = await esbuild({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
    logLevel: "error",
  });
  assert.ok((outputFiles[0]?.text.length ?? 0) < 2000, outputFiles[0]?.text.slice(0, 2000));
});

interface Sink extends AsyncDisposable {
  url: string;
  text(): string;
}

/** Takes OTLP/HTTP and keeps the bytes. */
async function createSink(): Promise<Sink> {
  const bodies: Buffer[] = [];
  const server = createServer((request, response) => {
    request.on("data", (part: Buffer) => bodies.push(part));
    request.on("end", () => response.end());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    // A listening TCP server has an address of this kind.
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    text: () => Buffer.concat(bodies).toString("latin1"),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

async function run(
  file: string,
  args: readonly string[],
  cwd = scratch,
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number; output: string }> {
  const { NODE_TEST_CONTEXT: _, ...clean } = process.env;
  return await new Promise((resolve) => {
    const options = { cwd, env: { ...clean, ...env }, timeout: 120_000, maxBuffer: 1 << 26 };
    execFile(file, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
      resolve({ code, output: `${stdout}${stderr}` });
    });
  });
}
