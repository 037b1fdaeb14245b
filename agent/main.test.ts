/**
 * The agent as a process: it runs against a driver, serves its metrics, refuses a second on the same node,
 * and ends in time.
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { createFakeNode } from "./testing/fake-driver.ts";

const main = join(import.meta.dirname, "main.ts");

function start(env: Record<string, string>, args: readonly string[] = []) {
  const child: ChildProcess = spawn(process.execPath, [main, ...args], {
    env: { ...process.env, AXONIZE_AGENT_METRICS_LISTEN: "127.0.0.1:0", ...env },
  });
  let text = "";
  child.stdout?.on("data", (chunk) => (text += String(chunk)));
  child.stderr?.on("data", (chunk) => (text += String(chunk)));
  return { child, text: () => text, exited: once(child, "exit") };
}

async function until<T>(look: () => T | undefined, what: () => string): Promise<T> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    assert.ok(performance.now() < deadline, what());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("the agent runs, shows its devices, keeps a second one off, and ends at SIGTERM", async () => {
  using node = createFakeNode("node mixed-8");
  const state = await mkdtemp(join(tmpdir(), "axonize-agent-"));
  const env = {
    AXONIZE_NVML_LIBRARY: node.library(),
    AXONIZE_AGENT_STATE_DIR: state,
    AXONIZE_INGEST_ENDPOINT: "127.0.0.1:9",
    AXONIZE_POD_RESOURCES_SOCKET: join(state, "no.sock"),
    AXONIZE_NODE_NAME: "gpu-7",
  };
  const first = start(env);
  try {
    const port = await until(() => /"metricsPort":(\d+)/.exec(first.text())?.[1], first.text);
    const page = async (): Promise<string> =>
      await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    const deadline = performance.now() + 30_000;
    while (!(await page()).includes("DCGM_FI_DEV_POWER_USAGE{")) {
      assert.ok(performance.now() < deadline, "no power on the page");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.match(await page(), /Hostname="gpu-7"/);
    assert.match(await page(), /axonize_agent_driver_open 1/);
    const second = start(env);
    const [code] = await second.exited;
    assert.equal(code, 1);
    assert.match(second.text(), /Another agent runs on this node/);
    assert.doesNotMatch(second.text(), /at .*\.ts:/, "no stack");
    first.child.kill("SIGTERM");
    const [ended] = await first.exited;
    assert.equal(ended, 0, first.text());
  } finally {
    first.child.kill("SIGKILL");
    await rm(state, { recursive: true });
  }
});

test("what it does not know is refused with the usage, and --help prints it", async () => {
  const wrong = start({}, ["docter"]);
  const [code] = await wrong.exited;
  assert.equal(code, 2);
  assert.match(wrong.text(), /does not know docter/);
  const help = start({}, ["--help"]);
  const [fine] = await help.exited;
  assert.equal(fine, 0);
  assert.match(help.text(), /^Usage: axonize-agent/);
});
