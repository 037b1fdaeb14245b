/**
 * Controllers: what a reconciler may throw, take and leave undone without harm to the process or to others.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createFakeClock, type FakeClock } from "../../test/support/fake-clock.ts";
import { silentLog } from "@axonize/core/runtime/log";
import { createRegistry, type Registry } from "@axonize/core/runtime/metrics";
import { ApiError, TerminalError } from "./api-error.ts";
import { createController, isUnavailable } from "./controller.ts";
import { configMaps, secrets } from "./kinds.ts";
import { createKubeMetrics } from "./metrics.ts";
import { createQueue, type WorkQueue } from "./queue.ts";
import { currentScope } from "./scope.ts";
import { until, valueOf } from "./testing/cluster.ts";
import type { ReconcileContext, ReconcileResult } from "./types.ts";
import { createWatermarks, type Watermarks } from "./watermarks.ts";
import type { RunningInformer } from "./informer.ts";
import type { KubeObject } from "./types.ts";

const fresh: Watermarks = { note: () => undefined, isFresh: () => true };

interface Running {
  readonly clock: FakeClock;
  readonly queue: WorkQueue;
  readonly registry: Registry;
  readonly runs: { key: string; context: ReconcileContext }[];
  count(name: string, labels?: Record<string, string>): Promise<number | undefined>;
  /** Turns the clock until it holds. */
  pass(holds: () => boolean, what: string, stepMs?: number): Promise<void>;
  stop(): Promise<void>;
  abort(): void;
}

function run(
  reconcile: (key: string, context: ReconcileContext) => Promise<ReconcileResult>,
  options: { workers?: number; watermarks?: (clock: FakeClock) => Watermarks } = {},
): Running {
  const clock = createFakeClock();
  const registry = createRegistry();
  const metrics = createKubeMetrics(registry);
  const queue = createQueue({ clock, random: () => 0.5, metrics }, { name: "test" });
  const runs: Running["runs"] = [];
  const reconciler = {
    name: "test",
    reconcile: async (key: string, context: ReconcileContext) => {
      runs.push({ key, context });
      return await reconcile(key, context);
    },
  };
  const watermarks = options.watermarks?.(clock) ?? fresh;
  const deps = { queue, watermarks, clock, log: silentLog, metrics };
  const controller = createController(deps, reconciler, { workers: options.workers ?? 2 });
  const work = new AbortController();
  const running = controller.run({ epoch: 7, signal: work.signal });
  return {
    clock,
    queue,
    registry,
    runs,
    count: async (name, labels) => await valueOf(registry, `controller_runtime_${name}`, labels),
    pass: async (holds, what, stepMs = 5) =>
      await until(async () => {
        await clock.advance(stepMs);
        return holds();
      }, what),
    stop: async () => {
      queue.close();
      await running;
    },
    abort: () => work.abort(new Error("lost")),
  };
}

test("every outcome is counted from 0 on, and only failures come again by themselves", async () => {
  const answers = new Map<string, () => ReconcileResult>([
    ["fine", () => undefined],
    ["later", () => ({ requeueAfterMs: 60_000 })],
    [
      "conflict",
      () => {
        throw new ApiError("changed", { status: 409, reason: "Conflict" });
      },
    ],
    [
      "terminal",
      () => {
        throw new TerminalError("never");
      },
    ],
    [
      "broken",
      () => {
        throw new Error("away");
      },
    ],
    ["bug", () => (undefined as unknown as { x: { y: undefined } }).x.y],
  ]);
  const running = run(async (key) => answers.get(key)?.());
  for (const result of ["success", "error", "requeue", "requeue_after"]) {
    assert.equal(await running.count("reconcile_total", { result }), 0, result);
  }
  assert.equal(await running.count("max_concurrent_reconciles"), 2);
  for (const key of answers.keys()) running.queue.add(key);
  const of = (key: string): number => running.runs.filter((each) => each.key === key).length;
  await running.pass(() => of("broken") >= 3 && of("bug") >= 3 && of("conflict") >= 3, "retries");
  assert.deepEqual([of("fine"), of("terminal"), of("later")], [1, 1, 1]);
  assert.equal(running.runs[0]?.context.epoch, 7);
  assert.equal(running.runs[0]?.context.priority, "change");
  assert.equal(await running.count("reconcile_total", { result: "success" }), 1);
  assert.equal(await running.count("reconcile_total", { result: "requeue_after" }), 1);
  assert.equal(await running.count("terminal_reconcile_errors_total"), 1);
  assert.equal(await running.count("reconcile_panics_total"), of("bug"));
  assert.equal(await running.count("reconcile_total", { result: "requeue" }), of("conflict"));
  assert.equal(await running.count("reconcile_errors_total"), 1 + of("bug") + of("broken"));
  await running.pass(() => of("later") === 2, "a minute later", 1_000);
  await running.stop();
});

test("nothing that a reconciler throws reaches the process, neither at once nor later", async () => {
  const stray: unknown[] = [];
  const onStray = (error: unknown): void => void stray.push(error);
  process.on("unhandledRejection", onStray);
  const throwers: (() => Promise<ReconcileResult>)[] = [
    () => {
      throw new Error("at once");
    },
    async () => await Promise.reject(new Error("later")),
    // A reconciler may be plain JavaScript.
    async () => await Promise.reject(undefined),
    async () => "not a result" as unknown as ReconcileResult,
  ];
  const running = run(
    async (key) => await (throwers[Number(key)]?.() ?? Promise.resolve(undefined)),
  );
  throwers.forEach((_, i) => running.queue.add(String(i)));
  await running.pass(() => running.runs.length > 10, "all ran, again and again");
  running.queue.add("9");
  await running.pass(() => running.runs.some(({ key }) => key === "9"), "others work on");
  await running.stop();
  process.off("unhandledRejection", onStray);
  assert.deepEqual(stray, []);
});

test("after 60 s the signal aborts; who ignores it keeps the key but not the worker", async () => {
  const deaf = Promise.withResolvers<undefined>();
  const running: Running = run(
    async (key, { signal }) => {
      if (key === "deaf") return await deaf.promise;
      if (key === "slow" && running.runs.length === 1) {
        await new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason as Error));
        });
      }
      return undefined;
    },
    { workers: 1 },
  );
  running.queue.add("slow");
  await running.pass(() => running.runs.length === 1, "it runs");
  await running.clock.advance(59_900);
  assert.equal(await running.count("reconcile_timeouts_total"), 0);
  await running.clock.advance(200);
  assert.equal(await running.count("reconcile_timeouts_total"), 1);
  assert.match(String(running.runs[0]?.context.signal.reason), /more than 60 s/);
  running.queue.add("deaf");
  await running.pass(() => running.runs.at(-1)?.key === "deaf", "the deaf one runs", 1_000);
  running.queue.add("deaf");
  running.queue.add("other");
  await running.pass(
    () => running.runs.some(({ key }) => key === "other"),
    "the worker is free",
    1_000,
  );
  const deafRuns = (): number => running.runs.filter(({ key }) => key === "deaf").length;
  assert.equal(deafRuns(), 1, "its key is still taken");
  deaf.resolve(undefined);
  await running.pass(() => deafRuns() === 2, "then it runs again");
  await running.stop();
});

test("a loss of the lease aborts what runs and is no failure of it; a stop lets it finish", async () => {
  let finish = Promise.withResolvers<undefined>();
  const aborted: string[] = [];
  const running = run(async (key, { signal }) => {
    signal.addEventListener("abort", () => void aborted.push(key));
    return await finish.promise;
  });
  running.queue.add("a");
  await running.pass(() => running.runs.length === 1, "it runs");
  running.queue.close();
  running.queue.add("b");
  finish.resolve(undefined);
  await running.stop();
  assert.deepEqual(aborted, [] as string[]);
  assert.equal(await running.count("reconcile_total", { result: "success" }), 1);

  finish = Promise.withResolvers<undefined>();
  const losing = run(async (key, { signal }) => {
    signal.addEventListener("abort", () => void aborted.push(key));
    await finish.promise;
    throw new Error("cut short");
  });
  losing.queue.add("c");
  await losing.pass(() => losing.runs.length === 1, "it runs");
  losing.abort();
  assert.deepEqual(aborted, ["c"]);
  finish.resolve(undefined);
  await losing.stop();
  assert.equal(await losing.count("reconcile_errors_total"), 0);
});

test("a key waits until the caches have what its last reconcile wrote, and no longer than 2 s", async () => {
  let seen = "100";
  const informer = {
    kind: configMaps,
    hasSeen: (_key: string, version: string) => Number(seen) >= Number(version),
  } as unknown as RunningInformer<KubeObject>; // what watermarks ask of it
  const running = run(
    async (key) => {
      if (key === "a") currentScope()?.wrote(configMaps, "n/x", "105");
      if (key === "b") currentScope()?.wrote(secrets, "n/y", "999");
      return undefined;
    },
    {
      watermarks: (clock) =>
        createWatermarks({ clock, informers: (kind) => (kind === configMaps ? [informer] : []) }),
    },
  );
  const of = (key: string): number => running.runs.filter((each) => each.key === key).length;
  running.queue.add("a");
  running.queue.add("b");
  await running.pass(() => running.runs.length === 2, "both ran");
  running.queue.add("a");
  running.queue.add("b");
  await running.pass(() => of("b") === 2, "a kind without a cache is no reason to wait");
  await running.clock.advance(500);
  assert.equal(of("a"), 1, "its cache is behind");
  seen = "105";
  await running.pass(() => of("a") === 2, "the cache has it");
  const stale = await valueOf(running.registry, "axonize_operator_stale_reads_total");
  assert.ok((stale ?? 0) >= 1);
  seen = "100";
  running.queue.add("a");
  await running.clock.advance(1_500);
  assert.equal(of("a"), 2);
  await running.pass(() => of("a") === 3, "a cache that never sees it", 100);
  await running.stop();
});

test("what a store or the API says about itself is told from what it says about an object", () => {
  const coded = (code: string): Error => Object.assign(new Error(code), { code });
  for (const code of ["ECONNREFUSED", "ETIMEDOUT", "57P01", "53300", "08006", "25006", "25P03"]) {
    assert.ok(isUnavailable(coded(code)), code);
  }
  for (const code of ["23505", "42P01", "invalid-request"])
    assert.ok(!isUnavailable(coded(code)), code);
  const api = (status: number): ApiError => new ApiError("x", { status, reason: "x" });
  assert.deepEqual(
    [0, 429, 500, 503].map((status) => isUnavailable(api(status))),
    [true, true, true, true],
  );
  assert.deepEqual(
    [404, 409, 422].map((status) => isUnavailable(api(status))),
    [false, false, false],
  );
});
