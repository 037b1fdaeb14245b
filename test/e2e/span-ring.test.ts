/**
 * The span ring from end to end: the real Python SDK with its C core is killed, and the agent's forwarder
 * brings what it had finished to an OTLP/gRPC server, under the key and the resource of the dead process.
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  chmod,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createRegistry, type Registry } from "@axonize/core/runtime/metrics";
import { systemClock as clock } from "@axonize/core/runtime/clock";
import { silentLog as log } from "@axonize/core/runtime/log";
import { createRingForwarder } from "../../agent/ring/forwarder.ts";
import { ensurePython } from "./support/python.ts";
import { createWorkshop, findPythons } from "../../sdk/python/tests/workshop.ts";
import type { Collector } from "../../sdk/typescript/tests/support/collector.ts";

/** Finishes `count` spans, says so, and lives on; it sends none of them. */
const program = `
import sys, time, axonize
assert axonize.implementation == "c"
axonize.init("127.0.0.1:1", "victim", api_key="axk_victim", span_ring=sys.argv[1], flush_interval_ms=3_600_000, batch_size=8192)
for number in range(int(sys.argv[2])):
    with axonize.llm_span("call", model="m", number=number) as span:
        span.record_token(); span.set_status(2, "why")
        with axonize.span("inner", text="x" * (number % 7 * 40)) as inner:
            inner.add_event("event", {"n": number})
print("finished", flush=True)
time.sleep(600)
`;
const descriptors = join(import.meta.dirname, "../../sdk/typescript/tests/support/descriptors.py");
const workshop = createWorkshop();
const children: ChildProcess[] = [];
let python = "";
let site = "";
let scratch = "";
let createCollector: (protocol: "grpc") => Promise<Collector>;

before(async () => {
  const [found] = findPythons();
  assert.ok(found, "install Python 3.10 or newer with its headers and venv");
  const venv = await workshop.createVenv(found);
  site = await workshop.install(venv, await workshop.buildWheel(venv, "ring", {}), "ring");
  python = join(venv, "bin/python");
  scratch = await mkdtemp(join(tmpdir(), "axonize-rings-"));
  // The collector decodes with the official definitions, which it reads when it is loaded.
  const told = await workshop.run(await ensurePython(), [descriptors], {});
  assert.equal(told.code, 0, told.output);
  const file = join(scratch, "otlp.bin");
  await writeFile(file, Buffer.from(told.output.trim(), "base64"));
  process.env["AXONIZE_TEST_DESCRIPTORS"] = file;
  ({ createCollector } = await import("../../sdk/typescript/tests/support/collector.ts"));
});
after(async () => {
  for (const child of children) child.kill("SIGKILL");
  workshop[Symbol.dispose]();
  await rm(scratch, { recursive: true, force: true });
});

let folders = 0;
async function folder(...below: string[]): Promise<{ root: string; own: string }> {
  const root = join(scratch, `node-${folders++}`);
  const own = join(root, ...below);
  await mkdir(own, { recursive: true });
  return { root, own };
}

/** A process that has finished `count` calls of two spans each and is still alive. */
async function victim(directory: string, count: number): Promise<ChildProcess> {
  const child = spawn(python, ["-c", program, directory, String(count)], {
    env: { ...process.env, PYTHONPATH: site, AXONIZE_PURE: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  assert.ok(child.stdout);
  const [line] = await once(createInterface(child.stdout), "line");
  assert.equal(line, "finished");
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

function forwarder(directory: string, collector: Collector, registry: Registry = createRegistry()) {
  const options = { directory, endpoint: `127.0.0.1:${collector.port}`, lookMs: 20 };
  return createRingForwarder({ clock, log, registry }, options);
}

async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, `in time: ${what}`);
    await sleep(10);
  }
}

const isEmpty = async (directory: string): Promise<boolean> =>
  (await readdir(directory)).length === 0;

async function count(registry: Registry, name: string, label: string): Promise<number> {
  const metric = await registry.getSingleMetric(name)?.get();
  return metric?.values.find((each) => Object.values(each.labels).includes(label))?.value ?? 0;
}

test("a killed process's spans arrive by the agent, once, under its own key", async () => {
  await using collector = await createCollector("grpc");
  const { root, own } = await folder("team-a", "pod-1");
  const registry = createRegistry();
  const calls = 4_000;
  await kill(await victim(own, calls));
  await using _ = forwarder(root, collector, registry);
  await until("the ring is gone", async () => await isEmpty(own));
  const spans = collector.spans();
  assert.equal(spans.length, calls * 2);
  assert.equal(new Set(spans.map((span) => span.spanId)).size, calls * 2, "none twice");
  const outer = spans.filter((span) => span.name === "call");
  assert.deepEqual(
    outer.map((span) => span.attributes["number"]),
    Array.from({ length: calls }, (_each, index) => index),
  );
  const inner = spans.find((span) => span.name === "inner");
  assert.equal(inner?.parentSpanId, outer[0]?.spanId);
  assert.equal(inner?.events.length, 1);
  assert.ok(collector.requests.length >= 4);
  for (const { headers } of collector.requests) {
    assert.equal(headers["authorization"], "Bearer axk_victim");
  }
  assert.equal(spans[0]?.resource["service.name"], "victim");
  assert.equal(await count(registry, "axonize_agent_ring_spans_total", "taken"), calls * 2);
  assert.equal(await count(registry, "axonize_agent_rings_total", "emptied"), 1);
});

test("a living process's ring is left alone until it dies", async () => {
  await using collector = await createCollector("grpc");
  const { root, own } = await folder();
  const living = await victim(own, 10);
  await kill(await victim(own, 5));
  await using _ = forwarder(root, collector);
  await until("the dead one's spans", () => collector.spans().length === 10);
  // The dead one's file went after the living one's had been looked at, at least once more now.
  await until("one ring is left", async () => (await readdir(own)).length === 1);
  await sleep(200); // ten more looks: nothing is to happen in them
  assert.equal(collector.spans().length, 10);
  await kill(living);
  await until("the ring is gone", async () => await isEmpty(own));
  assert.equal(collector.spans().length, 30);
});

test("what the server does not take now stays; what it took is not sent again by the next agent", async () => {
  await using collector = await createCollector("grpc");
  const { root, own } = await folder();
  await kill(await victim(own, 3_000));
  // The first request is taken, all others are not: 8 is RESOURCE_EXHAUSTED.
  collector.reply = (_request, number) => (number === 0 ? undefined : { grpcStatus: 8 });
  let asked = 0;
  {
    await using _ = forwarder(root, collector);
    const reply = collector.reply;
    collector.reply = (request, number) => {
      asked += 1;
      return reply(request, number);
    };
    await until("several attempts", () => asked > 3);
  }
  assert.equal((await readdir(own)).length, 1);
  const before = collector.spans().length;
  assert.ok(before > 0 && before < 6_000, `${before} spans`);
  collector.reply = () => undefined;
  await using _ = forwarder(root, collector);
  await until("the ring is gone", async () => await isEmpty(own));
  assert.equal(collector.spans().length, 6_000);
  assert.equal(new Set(collector.spans().map((span) => span.spanId)).size, 6_000);
});

test("a key that the server refuses for good frees the ring, counted", async () => {
  await using collector = await createCollector("grpc");
  const { root, own } = await folder();
  const registry = createRegistry();
  await kill(await victim(own, 5));
  collector.reply = () => ({ grpcStatus: 16 });
  await using _ = forwarder(root, collector, registry);
  await until("the ring is gone", async () => await isEmpty(own));
  assert.equal(await count(registry, "axonize_agent_ring_spans_total", "refused"), 10);
});

test("links, other people's files and rings that are none do nothing and stay", async () => {
  await using collector = await createCollector("grpc");
  const { root, own } = await folder("team-a", "pod-1");
  const outside = (await folder()).own;
  await kill(await victim(outside, 3));
  const [name = ""] = await readdir(outside);
  const real = await readFile(join(outside, name));
  const put = async (file: string, bytes: Uint8Array, mode = 0o600): Promise<void> => {
    await writeFile(join(own, file), bytes, { mode });
    await chmod(join(own, file), mode);
  };
  await symlink(join(outside, name), join(own, "link.axring"));
  await link(join(outside, name), join(own, "hard.axring"));
  await symlink(outside, join(root, "folder"));
  await put("open.axring", real, 0o644);
  await put("other-name.txt", real);
  await put("empty.axring", Buffer.alloc(0));
  await put("short.axring", real.subarray(0, 1_000_000));
  await put(
    "noise.axring",
    Buffer.from(Array.from({ length: 100_000 }, (_each, i) => (i * 7919) % 251)),
  );
  const changed: [string, (bytes: Buffer) => void][] = [
    ["huge", (bytes) => bytes.writeBigUInt64LE(1n << 60n, 16)],
    ["odd", (bytes) => bytes.writeBigUInt64LE(3n << 20n, 16)],
    ["ahead", (bytes) => bytes.writeBigUInt64LE(1n << 40n, 24)],
    ["behind", (bytes) => bytes.writeBigUInt64LE(1n << 40n, 32)],
    ["owner", (bytes) => bytes.writeUInt32LE(0xffff_ffff, 56)],
    ["version", (bytes) => bytes.writeUInt32LE(2, 8)],
    ["json", (bytes) => bytes.write("[[[[", 64)],
  ];
  for (const [of, change] of changed) {
    const bytes = Buffer.from(real);
    change(bytes);
    await put(`${of}.axring`, bytes);
  }
  const deep = join(own, "deeper");
  await mkdir(deep);
  await writeFile(join(deep, "x.axring"), real, { mode: 0o600 });
  const all = (await readdir(own)).sort();
  // One that is real comes last: when it is gone, all others have been looked at.
  await put("zz.axring", real);
  await using _ = forwarder(root, collector);
  await until("the real one is gone", async () => !(await readdir(own)).includes("zz.axring"));
  assert.deepEqual((await readdir(own)).sort(), all);
  assert.equal(collector.spans().length, 6);
  assert.deepEqual(await readFile(join(outside, name)), real);
});

test("a ring broken in the middle gives what lies before, and is removed", async () => {
  await using collector = await createCollector("grpc");
  const { root, own } = await folder();
  const registry = createRegistry();
  await kill(await victim(own, 50));
  const [name = ""] = await readdir(own);
  const bytes = await readFile(join(own, name));
  // Headers that would be a stranger's way to speak in the agent's name are not passed on.
  const ownerBytes = bytes.readUInt32LE(56);
  const owner = JSON.parse(bytes.toString("utf8", 64, 64 + ownerBytes)) as { resource: string };
  const told = JSON.stringify({
    headers: [
      ["x-axonize-key", "axk_x"],
      ["x-forwarded-for", "1.1.1.1"],
      ["authorization", "a\r\nb: c"],
    ],
    resource: owner.resource,
  });
  bytes.fill(0, 64, 16_384);
  bytes.write(told, 64);
  bytes.writeUInt32LE(Buffer.byteLength(told), 56);
  let at = 16_384;
  for (let record = 0; record < 20; record += 1) at += bytes.readUInt32LE(at);
  bytes.writeUInt32LE(0xffff_fff0, at + 8);
  await writeFile(join(own, name), bytes);
  await using _ = forwarder(root, collector, registry);
  await until("the ring is gone", async () => await isEmpty(own));
  assert.equal(collector.spans().length, 20);
  assert.equal(await count(registry, "axonize_agent_rings_total", "broken"), 1);
  const headers = collector.requests[0]?.headers ?? {};
  assert.equal(headers["x-axonize-key"], "axk_x");
  assert.equal(headers["authorization"], undefined);
  assert.equal(headers["x-forwarded-for"], undefined);
});
