/**
 * Whole processes under a real API server: one writes at a time, whichever is killed, stopped, blocked or
 * asked to end. Who wrote what and when is read from the API server's audit log.
 */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { AuditEvent } from "../../tools/k8s/api.ts";
import { startControlPlane, type ControlPlane } from "../../tools/k8s/control-plane.ts";
import { eventually } from "./support/eventually.ts";

let cluster: ControlPlane;
const children = new Set<ChildProcess>();
const script = join(import.meta.dirname, "support/kube-runtime-child.ts");

before(async () => {
  cluster = await startControlPlane();
  await cluster.kubectl("create", "configmap", "start");
});
after(async () => {
  for (const child of children) {
    child.kill("SIGCONT");
    child.kill("SIGKILL");
  }
  await cluster[Symbol.asyncDispose]();
});

interface Child {
  readonly name: string;
  readonly process: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals>;
  log(): string;
}

function start(name: string): Child {
  const child = fork(script, [cluster.kubeconfigFile, name], {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  children.add(child);
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => (text += chunk.toString()));
  }
  const ended = once(child, "exit").then(([code, signal]: (number | NodeJS.Signals | null)[]) => {
    children.delete(child);
    return code ?? signal ?? 0;
  });
  return { name, process: child, ended, log: () => text };
}

interface Tick {
  readonly writer: string;
  readonly epoch: number;
}

async function tick(): Promise<Tick | undefined> {
  const answer = await cluster.request("GET", "/api/v1/namespaces/default/configmaps/tick");
  if (answer.status !== 200) return undefined;
  const { data } = JSON.parse(answer.body) as { data: { writer: string; epoch: string } };
  return { writer: data.writer, epoch: Number(data.epoch) };
}

const writtenBy = async (child: Child): Promise<Tick> =>
  await eventually(`${child.name} writes\n${child.log()}`, async () => {
    const last = await tick();
    return last?.writer === child.name ? last : undefined;
  });

/** Writes of the ConfigMap that arrived, by child. */
const writes = (child: Child): AuditEvent[] =>
  cluster
    .auditEvents()
    .filter(
      ({ verb, objectRef, userAgent, stage }) =>
        verb === "patch" &&
        objectRef?.resource === "configmaps" &&
        userAgent === `axonize-operator/${child.name}` &&
        stage === "ResponseComplete",
    );
const times = (child: Child): number[] =>
  writes(child).map(({ requestReceivedTimestamp }) => Date.parse(requestReceivedTimestamp));

test("a leader that is killed is followed within 20 s, with the next epoch", async () => {
  const [one, two] = [start("killed"), start("follower")];
  const leader = await eventually("one leads", async () => {
    const last = await tick();
    return last === undefined ? undefined : last.writer === one.name ? one : two;
  });
  const other = leader === one ? two : one;
  await eventually(`the other is ready\n${other.log()}`, async () =>
    other.log().includes("kube.leader") ? true : undefined,
  );
  const before = await writtenBy(leader);
  const killedMs = Date.now();
  leader.process.kill("SIGKILL");
  const followed = await writtenBy(other);
  const seconds = (Math.min(...times(other)) - killedMs) / 1000;
  console.log(`followed after ${seconds.toFixed(1)} s`);
  assert.ok(seconds < 20, `${seconds} s`);
  assert.equal(followed.epoch, before.epoch + 1);
  other.process.kill("SIGTERM");
  assert.equal(await other.ended, 0);
});

test("a leader that is asked to end hands over at once, after its last write", async () => {
  const leaving = start("leaving");
  await writtenBy(leaving);
  const staying = start("staying");
  await eventually("it stands by", async () =>
    staying.log().includes("kube.leader") ? true : undefined,
  );
  const askedMs = Date.now();
  leaving.process.kill("SIGTERM");
  assert.equal(await leaving.ended, 0, leaving.log());
  await writtenBy(staying);
  const seconds = (Math.min(...times(staying)) - askedMs) / 1000;
  console.log(`handed over in ${seconds.toFixed(1)} s`);
  assert.ok(seconds < 10, `${seconds} s: the lease was given back`);
  assert.ok(Math.max(...times(leaving)) < Math.min(...times(staying)));
  staying.process.kill("SIGTERM");
  await staying.ended;
});

test("a leader that is stopped past its lease writes nothing after it goes on, and ends", async () => {
  const stopped = start("stopped");
  await writtenBy(stopped);
  const successor = start("successor");
  await eventually("it stands by", async () =>
    successor.log().includes("kube.leader") ? true : undefined,
  );
  stopped.process.kill("SIGSTOP");
  await writtenBy(successor);
  stopped.process.kill("SIGCONT");
  const ending = await stopped.ended;
  assert.ok(ending === 1 || ending === "SIGKILL", `it ended with ${ending}\n${stopped.log()}`);
  const takenMs = Math.min(...times(successor));
  const late = times(stopped).filter((ms) => ms >= takenMs);
  assert.deepEqual(late, [], "writes of the old leader after the new one's first");
  const { length } = times(successor);
  await eventually("the new one goes on", async () =>
    times(successor).length > length + 10 ? true : undefined,
  );
  assert.deepEqual(
    times(stopped).filter((ms) => ms >= takenMs),
    [],
  );
  successor.process.kill("SIGTERM");
  await successor.ended;
});

test("a leader whose main thread stands still is ended by the elector's thread, and followed", async () => {
  const blocked = start("blocked");
  await writtenBy(blocked);
  const next = start("next");
  await eventually("it stands by", async () =>
    next.log().includes("kube.leader") ? true : undefined,
  );
  // Four seconds are bad, and no reason to lose the lease: it is renewed by the other thread.
  blocked.process.send({ block: 4_000 });
  const before = times(blocked).length;
  await eventually("it writes again", async () =>
    times(blocked).length > before + 10 ? true : undefined,
  );
  assert.equal(times(next).length, 0);
  blocked.process.send({ block: 600_000 });
  assert.equal(await blocked.ended, "SIGKILL", blocked.log());
  assert.match(blocked.log(), /the main thread stood still/);
  await writtenBy(next);
  assert.ok(Math.max(...times(blocked)) < Math.min(...times(next)));
  next.process.kill("SIGTERM");
  await next.ended;
});
