/**
 * /proc as the kernel has it for real processes, and as made-up files for what a test cannot provoke:
 * containers, MIG capabilities, hostile texts, pids used again between two reads.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, symlinkSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import { createFakeClock } from "../../test/support/fake-clock.ts";
import fc from "fast-check";
import { createFakeProc, numberByName, podCgroup } from "../testing/fake-proc.ts";
import { inodeOf } from "./connections.ts";
import { parseMajor, parseMigMinors } from "./device-nodes.ts";
import { parseEnvironment } from "./environment.ts";
import { createLane } from "./lane.ts";
import { createPeerResolver } from "./peer.ts";
import { createProc } from "./proc.ts";
import { parseOwnPid, parseStat } from "./stat.ts";

const real = createProc({ clock: systemClock }, { root: "/proc" });
const podUid = "5a568c15-a506-4824-a5ac-10ff89d837e1";
const containerId = "f871d3f1ff330eddd661af03fc0c9b7c156ee2f4eaf180a4431a798bf891e7a8";

test("the kernel's own files of a real process are read", () => {
  const facts = real.facts(process.pid);
  assert.equal(facts?.pid, process.pid);
  assert.equal(facts.parentPid, process.ppid);
  assert.ok(facts.startTime > 0);
  assert.ok(facts.ownPid > 0);
  assert.ok(real.isAlive(facts));
  assert.equal(real.isAlive({ ...facts, startTime: facts.startTime + 1 }), false);
  assert.match(real.bootId() ?? "", /^[0-9a-f-]{36}$/);
});

test("a real process's variables are read as they were at exec, and only those that count", async () => {
  const child = spawn(process.execPath, ["-e", "process.stdin.resume()"], {
    env: {
      PATH: process.env["PATH"],
      SECRET: "x",
      CUDA_VISIBLE_DEVICES: "1,0",
      CUDA_DEVICE_ORDER: "PCI_BUS_ID",
    },
    stdio: ["pipe", "ignore", "ignore"],
  });
  try {
    await once(child, "spawn");
    const facts = real.facts(child.pid ?? 0);
    assert.ok(facts);
    assert.deepEqual(await real.environment(facts), {
      visibleDevices: "1,0",
      deviceOrder: "PCI_BUS_ID",
      mps: false,
      remaps: false,
    });
  } finally {
    child.kill("SIGKILL");
    await once(child, "close");
  }
  assert.equal(real.facts(child.pid ?? 0), undefined, "it has ended and was waited for");
});

test("a process in a pod is known by its container, its pod and its own pid", () => {
  using fake = createFakeProc();
  fake.add({ pid: 41, ownPid: 7, command: "VLLM::Worker", cgroup: podCgroup(podUid, containerId) });
  const proc = createProc({ clock: systemClock }, { root: fake.root });
  assert.deepEqual(proc.facts(41), {
    pid: 41,
    startTime: 41,
    parentPid: 1,
    session: 0,
    ownPid: 7,
    command: "VLLM::Worker",
    podUid,
    containerId,
  });
  assert.equal(proc.bootId(), "boot-1");
  assert.equal(proc.facts(42), undefined);
});

test("MIG instances and GPUs that a container can open are told by their numbers, not their names", async () => {
  using fake = createFakeProc();
  fake.write(
    "devices",
    "Character devices:\n  1 mem\n195 nvidia\n508 nvidia-caps\n\nBlock devices:\n508 sd\n",
  );
  fake.write(
    "driver/nvidia-caps/mig-minors",
    "config 1\nmonitor 2\ngpu0/gi7/access 66\ngpu0/gi7/ci0/access 67\n",
  );
  fake.add({
    pid: 9,
    devices: ["nvidia0", "nvidiactl", "nvidia-caps/nvidia-cap66", "nvidia-caps/nvidia-cap67"],
  });
  const proc = createProc({ clock: systemClock, numberOf: numberByName(508) }, { root: fake.root });
  const facts = proc.facts(9);
  assert.ok(facts);
  assert.deepEqual(await proc.deviceNodes(facts), { gpus: [0], capabilities: [66, 67] });
  assert.deepEqual(proc.migCapabilities().get(67), {
    gpuMinor: 0,
    gpuInstanceId: 7,
    computeInstanceId: 0,
  });
  const asFiles = createProc({ clock: systemClock }, { root: fake.root });
  assert.deepEqual(
    await asFiles.deviceNodes(facts),
    { gpus: [], capabilities: [] },
    "regular files are no devices",
  );
});

test("a /dev that is a link, and one that is not there, are unknown", async () => {
  using fake = createFakeProc();
  fake.add({ pid: 8, devices: ["nvidia0"] });
  fake.add({ pid: 9 });
  const proc = createProc({ clock: systemClock, numberOf: numberByName(508) }, { root: fake.root });
  const [eight, nine] = [proc.facts(8), proc.facts(9)];
  assert.ok(eight && nine);
  rmSync(join(fake.root, "9/root/dev"), { recursive: true });
  symlinkSync(join(fake.root, "8/root/dev"), join(fake.root, "9/root/dev"));
  assert.deepEqual(await proc.deviceNodes(eight), { gpus: [0], capabilities: [] });
  assert.equal(await proc.deviceNodes(nine), undefined, "its /dev leads to another's");
  rmSync(join(fake.root, "9/root/dev"));
  assert.equal(await proc.deviceNodes(nine), undefined);
});

test("a pid used again between two reads is not answered for", async () => {
  using fake = createFakeProc();
  fake.add({ pid: 5, startTime: 100, environment: { CUDA_VISIBLE_DEVICES: "0" } });
  const proc = createProc({ clock: systemClock }, { root: fake.root });
  const before = proc.facts(5);
  assert.ok(before);
  fake.add({ pid: 5, startTime: 200, environment: { CUDA_VISIBLE_DEVICES: "3" } });
  assert.equal(await proc.environment(before), undefined);
  assert.equal(proc.isAlive(before), false);
});

test("a program that wrote its title over its environment has none that could be read", () => {
  assert.equal(parseEnvironment(Buffer.alloc(500), "python3"), undefined);
  assert.equal(parseEnvironment(Buffer.from("vllm worker 0\0\0\0A=1\0"), "python3"), undefined);
  assert.equal(parseEnvironment(Buffer.alloc(0), "python3"), undefined);
  const longList = Buffer.from(`A=1\0CUDA_VISIBLE_DEVICES=${"0,".repeat(5000)}\0`);
  assert.equal(parseEnvironment(longList, "x"), undefined, "too long to be one we could use");
});

test("frameworks that renumber, and MPS, show in the environment or the name", () => {
  const parse = (text: string, command = "python3") => parseEnvironment(Buffer.from(text), command);
  assert.equal(parse("A=1\0RAY_JOB_ID=x\0")?.remaps, true);
  assert.equal(parse("A=1\0", "ray::Worker")?.remaps, true);
  assert.equal(parse("A=1\0", "VLLM::EngineCor")?.remaps, true);
  assert.equal(parse("A=1\0CUDA_MPS_PIPE_DIRECTORY=/tmp\0")?.mps, true);
  assert.deepEqual(parse("CUDA_VISIBLE_DEVICES=2\0CUDA_VISIBLE_DEVICES=1\0"), {
    visibleDevices: "2",
    deviceOrder: undefined,
    mps: false,
    remaps: false,
  });
  assert.equal(parse("CUDA_VISIBLE_DEVICES=\0")?.visibleDevices, "", "set and empty: no devices");
});

test("a program may be named anything and forges neither its parent nor its start", () => {
  const zeros = "0 ".repeat(17);
  fc.assert(
    fc.property(fc.string({ maxLength: 15 }), fc.nat(), fc.nat(), (name, parentPid, startTime) => {
      const parsed = parseStat(`7 (${name}) S ${parentPid} ${zeros}${startTime} 0 0`);
      assert.deepEqual([parsed?.parentPid, parsed?.startTime], [parentPid, startTime]);
      assert.doesNotMatch(parsed?.command ?? "", /\p{Cc}/u);
    }),
  );
  assert.equal(parseStat("nonsense"), undefined);
  assert.equal(parseStat("7 (x) S y"), undefined);
  assert.equal(parseOwnPid("Name:\tx\nNSpid:\t300\t12\t3\n"), 3);
  assert.equal(parseOwnPid("Name:\tNSpid:\t9\n"), undefined);
});

test("any bytes are an environment or unknown, and the majors and minors of any text are numbers", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const parsed = parseEnvironment(bytes, "x");
      assert.ok(parsed === undefined || typeof parsed.mps === "boolean");
      const text = Buffer.from(bytes).toString("latin1");
      for (const [minor, { gpuMinor }] of parseMigMinors(text)) {
        assert.ok(Number.isSafeInteger(minor) && Number.isSafeInteger(gpuMinor));
      }
      assert.ok(parseMajor(text, "nvidia-caps") === undefined);
      assert.equal(inodeOf(text, 80, 90), undefined);
    }),
  );
});

test("a read that hangs holds one lane up to its limit, and the lane goes on once it ends", async () => {
  const clock = createFakeClock();
  const lane = createLane({ clock }, { limitMs: 2000 });
  const hangs = Promise.withResolvers<string>();
  const first = lane.run(() => hangs.promise);
  await clock.advance(2000);
  assert.equal(await first, undefined);
  assert.equal(await lane.run(() => Promise.resolve("not begun")), undefined);
  assert.equal(lane.stuckCount, 2);
  hangs.resolve("late");
  await clock.advance(1);
  assert.equal(await lane.run(() => Promise.resolve("again")), "again");
  await assert.rejects(
    lane.run(() => Promise.reject(new Error("work's own"))),
    /work's own/,
  );
  assert.equal(await lane.run(() => Promise.resolve("after")), "after");
});

test("the process at the other end of a loopback connection is found, and a used port is looked up anew", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(typeof address === "object" && address);
  const ownPort = address.port;
  const resolvePeer = createPeerResolver({ clock: systemClock }, { procRoot: "/proc" });
  const code = `require("node:net").connect(${ownPort}, "127.0.0.1").on("close", () => process.exit())`;
  const child = spawn(process.execPath, ["-e", code], { stdio: "ignore" });
  try {
    const [socket] = (await once(server, "connection")) as [Socket]; // the event's one argument
    const peer = await resolvePeer(ownPort, socket.remotePort ?? 0);
    assert.equal(peer?.pid, child.pid);
    assert.equal(peer?.command, "node");
    assert.equal(
      (await resolvePeer(ownPort, socket.remotePort ?? 0))?.pid,
      child.pid,
      "from memory",
    );
    socket.destroy();
    await once(child, "close");
    assert.equal(await resolvePeer(ownPort, socket.remotePort ?? 0), undefined, "it has ended");

    const accepted = once(server, "connection");
    const mine = connect(ownPort, "127.0.0.1");
    await Promise.all([accepted, once(mine, "connect")]);
    assert.equal((await resolvePeer(ownPort, mine.localPort ?? 0))?.pid, process.pid);
    mine.destroy();
  } finally {
    child.kill("SIGKILL");
    server.close();
  }
});

test("a connection from beyond loopback is nobody's", () => {
  const line = (from: string, to: string): string =>
    `   0: ${from}:C350 ${to}:10DE 01 00000000:00000000 00:00000000 00000000 0 0 777 1 ffff 20 4`;
  const ask = (table: string): number | undefined => inodeOf(table, 0xc350, 0x10de);
  assert.equal(ask(line("0100007F", "0100007F")), 777);
  assert.equal(ask(line("0A00000A", "0100007F")), undefined);
  const mapped = "0000000000000000FFFF00000100007F";
  assert.equal(ask(line(mapped, mapped)), 777);
  assert.equal(ask(readFileSync("/proc/net/tcp", "latin1")), undefined);
});
