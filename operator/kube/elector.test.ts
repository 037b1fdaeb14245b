/**
 * Leader election on a fake clock against a server that fails: never two that may act, epochs that only grow,
 * whatever is lost, slow, deleted or set to another time.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLog } from "@axonize/core/runtime/log";
import { createFakeClock, type FakeClock } from "../../test/support/fake-clock.ts";
import fc from "fast-check";
import { createElector, type Elector } from "./elector.ts";
import { startFaultServer, status, type FaultServer } from "./testing/fault-server.ts";
import { openAccess, until } from "./testing/cluster.ts";
import { createTransport } from "./transport.ts";

const path = "/apis/coordination.k8s.io/v1/namespaces/ns/leases";
const leaseName = "axonize-operator";
const startSeconds = (Date.UTC(2026, 0, 1) - Date.UTC(2020, 0, 1)) / 1000;

interface Candidate extends AsyncDisposable {
  readonly name: string;
  readonly elector: Elector;
  readonly epochs: number[];
  readonly lost: string[];
  slowPaths: number;
  holder: string | undefined;
  isValid(): boolean;
  stop(): Promise<void>;
  /** Requests without an answer. */
  inFlight(): number;
}

function candidate(
  server: FaultServer,
  clock: FakeClock,
  name: string,
  identity = name,
): Candidate {
  const plain = createTransport({ access: openAccess(server.url), clock }, { userAgent: name });
  let inFlight = 0;
  const transport = {
    ...plain,
    json: async <T>(request: Parameters<typeof plain.json>[0]): Promise<T> => {
      inFlight += 1;
      try {
        return await plain.json<T>(request);
      } finally {
        inFlight -= 1;
      }
    },
  };
  let validUntilMs = -Infinity;
  const stop = new AbortController();
  const self = { epochs: [] as number[], lost: [] as string[], slowPaths: 0 };
  const elector = createElector(
    {
      transport,
      clock,
      random: () => 0.5,
      validUntil: (ms) => (validUntilMs = ms),
      onAcquired: (epoch) => void self.epochs.push(epoch),
      onLost: (reason) => void self.lost.push(reason),
      onHolder: (identity) => (result.holder = identity),
      onSlowPath: () => (result.slowPaths += 1),
      onTrouble: (reason) => silentLog.info({ event: "trouble", name, reason }),
    },
    { namespace: "ns", name: leaseName, identity, leaseMs: 15_000 },
  );
  const running = elector.run(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  const result: Candidate = {
    ...self,
    name,
    elector,
    holder: undefined,
    isValid: () => clock.monotonic() < validUntilMs,
    inFlight: () => inFlight,
    stop: end,
    [Symbol.asyncDispose]: async () => {
      await end();
      await plain.close();
    },
  };
  return result;
}

/** Half a second passes for all, once whatever was asked is answered. */
async function pass(
  clock: FakeClock,
  candidates: readonly Candidate[],
  ms: number,
  onStep: () => void = () => undefined,
): Promise<void> {
  for (let left = ms; left > 0; left -= 500) {
    await clock.advance(Math.min(left, 500));
    await until(() => candidates.every((each) => each.inFlight() === 0), "all is answered");
    await clock.advance(0);
    const valid = candidates.filter((each) => each.isValid());
    assert.ok(valid.length <= 1, `${valid.map(({ name }) => name).join(" and ")} may act`);
    onStep();
  }
}

const leaseOf = (server: FaultServer): Record<string, unknown> =>
  (server.get(path, leaseName)?.["spec"] ?? {}) as Record<string, unknown>; // as it was put
/** Requests of this one are refused. */
const cutOff = (server: FaultServer, name: string): void =>
  server.fault(({ headers }, response) => {
    if (headers["user-agent"] !== name) return false;
    status(response, 500, "InternalError");
    return true;
  });

test("the first makes the lease, acts once it was renewed, and renews every 2 s; the second stands by", async () => {
  await using server = await startFaultServer();
  const clock = createFakeClock();
  await using a = candidate(server, clock, "a");
  await pass(clock, [a], 1_000);
  const { acquireTime, renewTime, ...lease } = leaseOf(server);
  const expected = {
    holderIdentity: "a",
    leaseDurationSeconds: 15,
    leaseTransitions: startSeconds,
  };
  assert.deepEqual(lease, expected);
  assert.match(String(acquireTime), /^2026-01-01T00:00:0\d\.\d{3}000Z$/);
  assert.equal(renewTime, acquireTime);
  assert.equal(a.isValid(), false, "made, not proven");
  await pass(clock, [a], 2_000);
  assert.deepEqual(a.epochs, [startSeconds]);
  await using b = candidate(server, clock, "b");
  await pass(clock, [a, b], 60_000, () => assert.ok(a.isValid()));
  assert.deepEqual(b.epochs, []);
  assert.equal(b.holder, "a");
  const puts = server.requests.filter(({ method }) => method === "PUT").length;
  assert.ok(puts >= 28 && puts <= 32, `${puts} renewals in a minute`);
  assert.equal(a.slowPaths, 0);
});

test("a leader that is cut off stops acting after 10 s, loses, and is followed after 15 s with the next epoch", async () => {
  await using server = await startFaultServer();
  const clock = createFakeClock();
  await using a = candidate(server, clock, "a");
  await pass(clock, [a], 4_000);
  await using b = candidate(server, clock, "b");
  await pass(clock, [a, b], 4_000);
  cutOff(server, "a");
  await pass(clock, [a, b], 7_500, () => assert.ok(a.isValid()));
  await pass(clock, [a, b], 3_000);
  assert.equal(a.isValid(), false);
  await pass(clock, [a, b], 2_000);
  assert.equal(a.lost.length, 1);
  assert.deepEqual(b.epochs, []);
  await pass(clock, [a, b], 7_000);
  assert.deepEqual(b.epochs, [startSeconds + 1]);
  server.fault(undefined);
  await pass(clock, [a, b], 30_000, () => assert.ok(!a.isValid() && b.isValid()));
  assert.equal(a.epochs.length, 1, "one that lost does not come back: its process ends");
});

test("a wall clock that jumps an hour, ahead or back, changes nothing", async () => {
  await using server = await startFaultServer();
  const clock = createFakeClock();
  await using a = candidate(server, clock, "a");
  await pass(clock, [a], 4_000);
  await using b = candidate(server, clock, "b");
  for (const hours of [1, -2]) {
    clock.jump(hours * 3_600_000);
    await pass(clock, [a, b], 40_000, () => assert.ok(a.isValid()));
  }
  assert.deepEqual([a.lost, b.epochs], [[], []]);
});

test("a lease that is given back is taken at the next look, with the next epoch", async () => {
  await using server = await startFaultServer();
  const clock = createFakeClock();
  await using a = candidate(server, clock, "a");
  await pass(clock, [a], 4_000);
  await using b = candidate(server, clock, "b");
  await pass(clock, [a, b], 1_000);
  await a.stop();
  // Its last renewal arrived and the answer was lost: the version is another than it knows.
  const lease = server.get(path, leaseName);
  assert.ok(lease);
  server.set(path, lease);
  await a.elector.release(AbortSignal.timeout(5_000));
  assert.equal(leaseOf(server)["holderIdentity"], "");
  assert.equal(a.isValid(), false);
  await pass(clock, [a, b], 4_000);
  assert.deepEqual(b.epochs, [startSeconds + 1]);
  assert.deepEqual(a.lost, [], "a stop is no loss");
});

test("somebody else's write costs a read, not the lease; one who takes it away ends the leader", async () => {
  await using server = await startFaultServer();
  const clock = createFakeClock();
  await using a = candidate(server, clock, "a");
  await pass(clock, [a], 4_000);
  const lease = server.get(path, leaseName);
  assert.ok(lease);
  server.set(path, { ...lease, metadata: { ...lease.metadata, annotations: { by: "kubectl" } } });
  await pass(clock, [a], 3_000, () => assert.ok(a.isValid()));
  assert.equal(a.slowPaths, 1);
  const now = server.get(path, leaseName);
  assert.ok(now);
  const renewTime = "2026-01-01T00:00:09.000000Z";
  server.set(path, { ...now, spec: { ...leaseOf(server), holderIdentity: "thief", renewTime } });
  await pass(clock, [a], 3_000);
  assert.equal(a.isValid(), false);
  assert.match(a.lost.join(), /another process/);
});

test("a lease that was deleted is made again by its holder under its epoch; made by another, the epoch grows", async () => {
  await using server = await startFaultServer();
  const clock = createFakeClock();
  await using a = candidate(server, clock, "a");
  await pass(clock, [a], 4_000);
  server.remove(path, leaseName);
  await pass(clock, [a], 5_000, () => assert.ok(a.isValid()));
  assert.equal(leaseOf(server)["leaseTransitions"], startSeconds);
  assert.deepEqual([a.epochs.length, a.lost], [1, []]);
  await using b = candidate(server, clock, "b");
  await pass(clock, [a, b], 1_000);
  cutOff(server, "a");
  server.remove(path, leaseName);
  await pass(clock, [b], 6_000);
  // The invariant is not asked of a here: nobody can know of a holder that is cut off and has no lease.
  assert.equal(b.epochs.length, 1);
  assert.ok((b.epochs[0] ?? 0) > startSeconds);
});

test("under any outages of either side never two may act, and epochs only grow", async () => {
  const outage = fc.record({
    who: fc.constantFrom("a", "b", "both"),
    ms: fc.integer({ min: 500, max: 25_000 }),
    calmMs: fc.integer({ min: 500, max: 12_000 }),
    // The request arrives and its answer is lost, or it does not arrive.
    arrives: fc.boolean(),
  });
  const report = await fc.check(
    fc.asyncProperty(fc.array(outage, { minLength: 1, maxLength: 4 }), async (outages) => {
      await using server = await startFaultServer();
      const clock = createFakeClock();
      await using stack = new AsyncDisposableStack();
      const all: Candidate[] = [];
      // Each process has an identity of its own, also the one that is started in another's place.
      const join = (name: string): void =>
        void all.push(stack.use(candidate(server, clock, name, `${name}-${all.length}`)));
      join("a");
      join("b");
      for (const { who, ms, calmMs, arrives } of outages) {
        // A process that lost its lease ends; another is started in its place.
        for (const each of all.filter(({ lost }) => lost.length === 1)) {
          each.lost.push("ended");
          join(each.name);
        }
        server.fault(({ headers, method, body }, response) => {
          if (who !== "both" && headers["user-agent"] !== who) return false;
          const there = server.get(path, leaseName);
          if (arrives && method === "PUT" && there !== undefined) {
            const sent = JSON.parse(body) as typeof there;
            const isCurrent = sent.metadata.resourceVersion === there.metadata.resourceVersion;
            if (isCurrent) server.set(path, sent);
          }
          status(response, 500, "InternalError");
          return true;
        });
        await pass(clock, all, ms);
        server.fault(undefined);
        await pass(clock, all, calmMs);
      }
      const epochs = all.flatMap((each) => each.epochs);
      assert.equal(new Set(epochs).size, epochs.length, "no epoch comes twice");
      await pass(clock, all, 20_000);
      const isAnyAlive = all.some(({ lost }) => lost.length === 0);
      if (isAnyAlive)
        assert.equal(all.filter((each) => each.isValid()).length, 1, "somebody leads");
    }),
    { numRuns: 12 },
  );
  console.log(`seed ${report.seed}`);
  assert.ok(!report.failed, `${fc.defaultReportMessage(report)} ${String(report.errorInstance)}`);
});
