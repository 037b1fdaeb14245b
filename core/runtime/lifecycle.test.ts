// The process's life, seen from outside: exit codes, signals, messages.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";

const lifecycle = join(import.meta.dirname, "lifecycle.ts");
const error = join(import.meta.dirname, "error.ts");

/** Runs `start` under runProcess in a child; sends `signals` one after another once it prints "up". */
async function run(start: string, signals: readonly NodeJS.Signals[] = []) {
  const script = `
    import { runProcess } from ${JSON.stringify(lifecycle)};
    import { StartError } from ${JSON.stringify(error)};
    setTimeout(() => {}, 20_000);
    await runProcess({ name: "test", stopBudgetMs: 1000, start: async (signal) => { ${start} } });
    console.log("up");`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script]);
  let output = "";
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
    const signal = /up|stopping/.test(chunk.toString()) ? signals[sent] : undefined;
    if (signal) child.kill(signal);
    if (signal) sent += 1;
  });
  let sent = 0;
  const [code] = (await once(child, "exit")) as [number];
  return { code, output };
}

test("SIGTERM stops in order and exits 0", async () => {
  const { code, output } = await run(`return { stop: async () => { console.log("stopped"); } };`, [
    "SIGTERM",
  ]);
  assert.equal(code, 0);
  assert.match(output, /stopped/);
});

test("a second Ctrl-C exits at once", async () => {
  const { code } = await run(
    `return { stop: () => { setTimeout(() => console.log("stopping"), 300); return new Promise(() => {}); } };`,
    ["SIGINT", "SIGINT"],
  );
  assert.equal(code, 130);
});

test("a signal that npm forwards once more is no second Ctrl-C", async () => {
  const { code, output } = await run(
    `return { stop: async () => { console.log("stopping"); await new Promise((r) => setTimeout(r, 500)); console.log("stopped"); } };`,
    ["SIGINT", "SIGINT"],
  );
  assert.equal(code, 0);
  assert.match(output, /stopped/);
});

test("a stop that hangs is cut off by its budget", async () => {
  const { code, output } = await run(`return { stop: () => new Promise(() => {}) };`, ["SIGTERM"]);
  assert.equal(code, 1);
  assert.match(output, /not stopped after 1000 ms/);
});

test("a StartError is one paragraph with its exit code and no stack", async () => {
  const { code, output } = await run(
    `throw new StartError("Port 3000 is taken.", { exitCode: 3 });`,
  );
  assert.equal(code, 3);
  assert.equal(output.trim(), "Port 3000 is taken.");
});

test("any other failure to start shows its stack and exits 1", async () => {
  const { code, output } = await run(`throw new TypeError("a bug");`);
  assert.equal(code, 1);
  assert.match(output, /test failed to start: TypeError: a bug\n\s+at /);
});
