/**
 * What a killed owner leaves behind: nothing, neither of a cluster with a node nor of a control plane.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, readdirSync, readlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { ClusterState } from "../../tools/k8s/cluster.ts";
import { startTicks, until } from "../../tools/k8s/parts.ts";

const killWaitMs = 60_000;

test("an owner that is killed leaves no process, mount, interface, cgroup or file", async () => {
  const owner = spawn(process.execPath, [join(import.meta.dirname, "support/testbed-owner.ts")], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const stateFile = await new Promise<string>((resolve, reject) => {
    owner.stdout.once("data", (chunk: Buffer) => {
      resolve(chunk.toString("utf8").trim());
    });
    owner.once("exit", (code) => {
      reject(new Error(`the owner ended with ${code}`));
    });
  });
  const state = JSON.parse(readFileSync(stateFile, "utf8")) as ClusterState;
  const dir = dirname(stateFile);
  const link = `/sys/class/net/axk${state.network.index}`;
  const cgroups = (): string[] => findCgroups(`axonize-${dir.split("/").at(-1)}`);
  const namespace = readlinkSync(`/proc/${state.pid}/ns/pid`);
  const inside = processesIn(namespace);
  assert.ok(inside.length > 8, `processes of the node: ${inside.length}`);
  assert.ok(existsSync(link));
  assert.ok(cgroups().length > 0);

  owner.kill("SIGKILL");

  await until(() => processesIn(namespace).length === 0, killWaitMs, "the node's processes to end");
  await until(() => !existsSync(link), killWaitMs, `${link} to vanish`);
  await until(() => cgroups().length === 0, killWaitMs, "the cgroups to vanish");
  await until(() => !existsSync(dir), killWaitMs, `${dir} to vanish`);
  assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(dir));
});

test("an owner that is killed takes a control plane along, too", async () => {
  const owner = spawn(
    process.execPath,
    [join(import.meta.dirname, "support/testbed-owner.ts"), "control-plane"],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const dir = await new Promise<string>((resolve) => {
    owner.stdout.once("data", (chunk: Buffer) => {
      resolve(chunk.toString("utf8").trim());
    });
  });
  const parts = readdirSync(join(dir, "pids")).map(
    (name) => readFileSync(join(dir, "pids", name), "utf8").split(" ") as [string, string],
  );
  assert.equal(parts.length, 2, "etcd and the apiserver");
  owner.kill("SIGKILL");
  for (const [pid, ticks] of parts) {
    await until(() => startTicks(Number(pid)) !== ticks, killWaitMs, `process ${pid} to end`);
  }
  await until(() => !existsSync(dir), killWaitMs, `${dir} to vanish`);
});

/** Living processes in a PID namespace, as this host sees them. */
function processesIn(namespace: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || startTicks(Number(pid)) === undefined) return false;
    try {
      return readlinkSync(`/proc/${pid}/ns/pid`) === namespace;
    } catch {
      return false; // It ended between the two looks.
    }
  });
}

function findCgroups(name: string): string[] {
  const base = "/sys/fs/cgroup";
  return [base, ...readdirSync(base).map((entry) => join(base, entry))]
    .map((path) => join(path, name))
    .filter((path) => existsSync(path));
}
