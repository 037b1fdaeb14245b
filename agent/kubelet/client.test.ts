/**
 * pod-resources over a real socket: every recorded answer of a kubelet 1.36.3, its refusals, its restarts,
 * answers over 4 MiB, and a server that does not speak the protocol.
 */
import assert from "node:assert/strict";
import { globSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import { recording, startKubelet, type Recording } from "../testing/kubelet-emulator.ts";
import { createPodResourcesClient, type Answer, type PodResourcesClient } from "./client.ts";
import type { PodResources } from "./pod-resources.ts";

function inFolder(): Disposable & { socketPath: string } {
  const dir = mkdtempSync(join(tmpdir(), "axonize-kubelet-"));
  return {
    socketPath: join(dir, "kubelet.sock"),
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}
const connect = (socketPath: string): PodResourcesClient =>
  createPodResourcesClient({ clock: systemClock }, { socketPath });

function value<T>(answer: Answer<T>): T {
  assert.ok(answer.ok, JSON.stringify(answer));
  return answer.value;
}

/** A recorded or decoded List as sorted lines, to compare without order. */
function lines(pods: readonly PodResources[]): string[] {
  return pods
    .flatMap((pod) =>
      pod.containers.flatMap((c) => {
        const at = `${pod.namespace}/${pod.name}/${c.name}`;
        return [
          at,
          ...c.devices.flatMap((d) =>
            d.deviceIds.map((id) => `${at} ${d.resourceName} ${id} ${d.numaNodes.join()}`),
          ),
          ...c.claims.map((d) => `${at} ${d.claimName} ${d.driver} ${d.pool} ${d.device}`),
        ];
      }),
    )
    .sort();
}
type Json = Record<string, unknown>;
const listOf = (from: unknown, key: string): Json[] => ((from as Json)[key] ?? []) as Json[]; // JSON of the recordings
function recordedLines(recorded: Recording): string[] {
  return listOf(recorded["List"], "pod_resources")
    .flatMap((pod) =>
      listOf(pod, "containers").flatMap((c) => {
        const at = `${String(pod["namespace"])}/${String(pod["name"])}/${String(c["name"])}`;
        const devices = listOf(c, "devices").flatMap((d) => {
          const topology = d["topology"] as Json | undefined; // JSON of the recordings
          const nodes = topology ? listOf(topology, "nodes").map((n) => Number(n["ID"] ?? 0)) : [];
          const ids = d["device_ids"] as string[]; // JSON of the recordings
          return ids.map((id) => `${at} ${String(d["resource_name"])} ${id} ${nodes.join()}`);
        });
        const claims = listOf(c, "dynamic_resources").flatMap((claim) =>
          listOf(claim, "claim_resources").map((d) =>
            [at, claim["claim_name"], d["driver_name"], d["pool_name"], d["device_name"]].join(" "),
          ),
        );
        return [at, ...devices, ...claims];
      }),
    )
    .sort();
}

const folder = join(import.meta.dirname, "../../test/fixtures/kubelet-1.36.3-pod-resources");
const names = globSync("[0-9]*.json", { cwd: folder }).map((file) => basename(file, ".json"));

test("every recorded List is read as it was recorded, whatever its order", async () => {
  using at = inFolder();
  assert.ok(names.length >= 18);
  await using kubelet = await startKubelet({
    socketPath: at.socketPath,
    recorded: {},
    rateLimit: { perSecond: 1e6, burst: 1e6 },
  });
  using client = connect(at.socketPath);
  for (const name of names) {
    kubelet.show(recording(name));
    assert.deepEqual(lines(value(await client.list())), recordedLines(recording(name)), name);
    const allocatable = value(await client.allocatable());
    const expected = listOf(recording(name)["GetAllocatableResources"], "devices").length;
    assert.equal(allocatable.length, expected, name);
  }
});

test("Get answers one pod, and a pod that is unknown or has ended is undefined", async () => {
  using at = inFolder();
  await using kubelet = await startKubelet({
    socketPath: at.socketPath,
    recorded: recording("02-running"),
  });
  using client = connect(at.socketPath);
  const pod = value(await client.get("default", "initpod"));
  assert.deepEqual(pod?.containers.map(({ name }) => name).sort(), ["main", "nodev", "side"]);
  assert.equal(value(await client.get("default", "nosuch")), undefined);
  kubelet.show(recording("11-restarted-unregistered"));
  assert.equal(value(await client.get("default", "first")), undefined);
});

test("a kubelet without Get says so", async () => {
  using at = inFolder();
  await using kubelet = await startKubelet({
    socketPath: at.socketPath,
    recorded: recording("02-running"),
    without: ["Get"],
  });
  using client = connect(at.socketPath);
  const answer = await client.get("default", "first");
  assert.equal(answer.ok ? "answered" : answer.refusal, "unimplemented");
  assert.equal(kubelet.listCount, 0);
});

test("the rate limit is told as what it is", async () => {
  using at = inFolder();
  await using kubelet = await startKubelet({
    socketPath: at.socketPath,
    recorded: recording("02-running"),
    rateLimit: { perSecond: 0.001, burst: 10 },
  });
  using client = connect(at.socketPath);
  const answers = await Promise.all(Array.from({ length: 15 }, () => client.list()));
  assert.equal(answers.filter(({ ok }) => ok).length, 10);
  assert.equal(kubelet.listCount, 15);
  for (const answer of answers) if (!answer.ok) assert.equal(answer.refusal, "rate_limited");
});

test("an answer of more than 4 MiB is taken", async () => {
  using at = inFolder();
  const pods = Array.from({ length: 3000 }, (_, i) => ({
    namespace: "default",
    name: `pod-${i}-${"x".repeat(1500)}`,
    containers: [
      { name: "main", devices: [{ resource_name: "nvidia.com/gpu", device_ids: [`g${i}`] }] },
    ],
  }));
  await using kubelet = await startKubelet({
    socketPath: at.socketPath,
    recorded: { List: { pod_resources: pods } },
  });
  using client = connect(at.socketPath);
  assert.equal(value(await client.list()).length, 3000);
  assert.equal(kubelet.listCount, 1);
});

test("no socket is unavailable at once; a socket that appears, goes and comes again is found", async () => {
  using at = inFolder();
  using client = connect(at.socketPath);
  const absent = await client.list();
  assert.equal(absent.ok ? "answered" : absent.refusal, "unavailable");
  for (const round of [1, 2]) {
    await using kubelet = await startKubelet({
      socketPath: at.socketPath,
      recorded: recording("02-running"),
    });
    const deadline = performance.now() + 10_000;
    let answer = await client.list();
    while (!answer.ok) {
      assert.ok(performance.now() < deadline, `round ${round}: ${answer.detail}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
      answer = await client.list();
    }
    assert.equal(answer.value.length, 5);
    assert.ok(kubelet.listCount >= 1);
  }
});

test("a server that does not speak gRPC is no crash", async () => {
  using at = inFolder();
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.write("hello\r\n", () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(at.socketPath, resolve));
  {
    using client = connect(at.socketPath);
    const answer = await client.list();
    assert.equal(answer.ok, false);
  }
  await new Promise((resolve) => server.close(resolve));
});
