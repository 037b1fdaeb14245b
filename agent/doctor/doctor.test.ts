/**
 * Doctor as a person meets it: the command's text and exit code on a node with a driver and without, and
 * the findings that no machine of a test can show.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import { createFakeNode } from "../testing/fake-driver.ts";
import * as cluster from "./cluster.ts";
import { driverFinding, gpuFindings, readingFindings, versionFinding } from "./driver.ts";
import { ingestFindings } from "./ingest.ts";
import { exitCodeOf, findingsText } from "./print.ts";

async function doctor(env: Record<string, string>): Promise<{ text: string; code: number }> {
  const main = join(import.meta.dirname, "../main.ts");
  return await new Promise((resolve) => {
    execFile(
      process.execPath,
      [main, "doctor"],
      { env: { ...process.env, AXONIZE_NODE_NAME: "gpu-7", ...env } },
      (failure, stdout, stderr) => {
        resolve({ text: stdout + stderr, code: Number(failure?.code ?? 0) });
      },
    );
  });
}

async function serve(date: string | undefined) {
  const server = createServer();
  server.on("stream", (stream) => {
    stream.respond({ ":status": 200, ...(date === undefined ? {} : { date }) });
    stream.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`, // it listens on a port
    [Symbol.asyncDispose]: async () =>
      await new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

test("on a node with a partitioned GPU, doctor says what it sees and ends with what is missing", async () => {
  using node = createFakeNode(
    "node a100-mig7",
    "privileged 0",
    `process 0 ${process.pid} 10 slot=1`,
  );
  await using ingest = await serve(undefined);
  const { text, code } = await doctor({
    AXONIZE_NVML_LIBRARY: node.library(),
    AXONIZE_INGEST_ENDPOINT: ingest.endpoint,
    AXONIZE_AGENT_STATE_DIR: tmpdir(),
    AXONIZE_POD_RESOURCES_SOCKET: "/nowhere/kubelet.sock",
  });
  assert.match(text, /on gpu-7:/);
  assert.match(text, /ok +driver +NVIDIA 580/);
  assert.match(text, /ok +GPUs +1 \(NVIDIA A100/);
  assert.match(text, /warning +MIG +1 GPUs partitioned into 7 slices/);
  assert.match(text, /→ add capability SYS_ADMIN/);
  assert.match(text, /ok +processes +1 on the GPUs/);
  assert.match(text, /warning +kubelet +no socket at \/nowhere\/kubelet\.sock/);
  assert.match(text, /ok +ingest/);
  assert.equal(code, 1, text);
});

test("without a driver, doctor names the places it looked at and what to do, with exit code 2", async () => {
  const { text, code } = await doctor({
    AXONIZE_NVML_LIBRARY: "/nowhere/libnvidia-ml.so.1",
    AXONIZE_INGEST_ENDPOINT: "127.0.0.1:9",
  });
  assert.match(text, /ERROR +driver +no NVIDIA driver: not found: \/nowhere\/libnvidia-ml\.so\.1/);
  assert.match(text, /nvidia-smi must work/);
  assert.match(text, /127\.0\.0\.1:9 does not answer: connect ECONNREFUSED/);
  assert.equal(code, 2, text);
});

test("a state folder that cannot be written to is an error, one that can be made is not", async () => {
  const dir = await mkdtemp(join(tmpdir(), "axonize-doctor-"));
  try {
    const made = await doctor({ AXONIZE_AGENT_STATE_DIR: join(dir, "a/b") });
    assert.match(made.text, /ok +state folder +.*made at the first start/s);
    const refused = await doctor({ AXONIZE_AGENT_STATE_DIR: "/proc/axonize" });
    assert.match(refused.text, /(ERROR|warning) +state folder/);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test("a clock that is an hour off is found by the endpoint's own date", async () => {
  const hourAgo = new Date(Date.now() - 3_600_000).toUTCString();
  await using ingest = await serve(hourAgo);
  const findings = await ingestFindings(systemClock, ingest.endpoint);
  const clock = findings.find(({ check }) => check === "clock");
  assert.equal(clock?.level, "warning");
  assert.match(clock.message, /^3(599|600|601) s ahead of ingest's/);
  await using now = await serve(new Date().toUTCString());
  const good = await ingestFindings(systemClock, now.endpoint);
  assert.deepEqual(
    good.map(({ check, level }) => [check, level]),
    [
      ["ingest", "ok"],
      ["clock", "ok"],
    ],
  );
});

test("every trouble has a line that mends it", () => {
  const troubles = [
    driverFinding({ trouble: "library_mismatch", detail: "" }),
    driverFinding({ trouble: "failed", detail: "" }),
    versionFinding("470.82.01"),
    ...gpuFindings([], undefined, [{ index: 5, reason: "gpu_lost" }]),
    ...readingFindings(new Map([["GPU-1", new Map([["powerWatts", "failed"]])]])),
    cluster.kubeletFinding({ state: "silent", refusal: "unavailable", detail: "EACCES" }, "/x"),
    cluster.podsFinding("failing", "403"),
    cluster.podsFinding("none", ""),
    cluster.environmentFinding(false),
    cluster.cgroupFinding(undefined),
    cluster.processFinding({
      access: "HostPID",
      listed: 3,
      unseen: 3,
      unreadable: [],
      procRoot: "/proc",
    }),
  ];
  for (const finding of troubles) {
    assert.notEqual(finding?.level, "ok");
    assert.ok((finding?.mend ?? "").length > 10, JSON.stringify(finding));
  }
});

test("what a card never tells is no trouble; what a privilege would give is", () => {
  const never = readingFindings(new Map([["GPU-1", new Map([["pcieTxBytes", "not_supported"]])]]));
  assert.deepEqual(
    never.map(({ level }) => level),
    ["ok"],
  );
  const refused = readingFindings(
    new Map([["GPU-1", new Map([["memoryUsedBytes", "no_permission"]])]]),
  );
  assert.deepEqual(
    refused.map(({ level }) => level),
    ["warning"],
  );
});

test("the exit code follows the worst finding and the text wraps", () => {
  const fine = { check: "a", level: "ok", message: "b", mend: undefined } as const;
  assert.equal(exitCodeOf([fine]), 0);
  assert.equal(exitCodeOf([fine, { ...fine, level: "warning" }]), 1);
  assert.equal(exitCodeOf([{ ...fine, level: "error" }, fine]), 2);
  const long = {
    ...fine,
    level: "error",
    message: "word ".repeat(80),
    mend: "do ".repeat(60),
  } as const;
  for (const line of findingsText([long], "n").split("\n")) assert.ok(line.length <= 100, line);
});
