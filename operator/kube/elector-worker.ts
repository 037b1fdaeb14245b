/**
 * The elector's own thread, with its own connection: a main thread that parses a large list or signs a
 * certificate does not miss a renewal.
 *
 * It also judges the main thread by its beat. One that stands still for as long as a renewal may take is
 * ended from here, for it can neither act on a loss nor on anything else.
 */
import { writeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { every, systemClock } from "@axonize/core/runtime/clock";
import { ensure } from "@axonize/core/runtime/assert";
import { errorMessage } from "@axonize/core/runtime/error";
import type { ClusterAccess } from "./access.ts";
import { slots, type ElectorData, type ToMain, type ToWorker } from "./elector-messages.ts";
import { createElector } from "./elector.ts";
import { beatMs, lossMs, releaseMs, renewDeadlineRatio } from "./limits.ts";
import { createTransport } from "./transport.ts";

const port = ensure(parentPort, "the elector's thread is started by elector-thread.ts");
// Both sides are this repository's.
const data = workerData as ElectorData;
const shared = new BigInt64Array(data.shared);
const post = (message: ToMain): void => port.postMessage(message);
const clock = systemClock;

let credentials = data.credentials;
const access: ClusterAccess = {
  url: data.url,
  namespace: undefined,
  credentials: async (refused) => {
    if (refused === true) {
      post({ type: "refused" });
      // The renewal after this one has what the main thread finds.
      await clock.sleep(beatMs);
    }
    return credentials;
  },
};

const transport = createTransport({ access, clock }, { userAgent: data.userAgent });
const stop = new AbortController();
const elector = createElector(
  {
    transport,
    clock,
    random: Math.random,
    validUntil: (ms) => {
      const until = Number.isFinite(ms)
        ? process.hrtime.bigint() + BigInt(Math.round((ms - clock.monotonic()) * 1e6))
        : 0n;
      Atomics.store(shared, slots.validUntil, until);
    },
    onAcquired: (epoch) => post({ type: "acquired", epoch }),
    onLost: (reason) => {
      post({ type: "lost", reason });
      setTimeout(() => end(`the lease was lost: ${reason}`), lossMs);
    },
    onHolder: (identity) => post({ type: "holder", identity }),
    onSlowPath: () => post({ type: "slowpath" }),
    onTrouble: (reason) => post({ type: "trouble", reason }),
  },
  data.lease,
);
const running = elector.run(stop.signal);

const lagMs = data.lease.leaseMs * renewDeadlineRatio;
let lastTickMs = clock.monotonic();
const watching = every(
  { clock, ms: beatMs, signal: stop.signal, onError: (error) => end(errorMessage(error)) },
  () => {
    const nowMs = clock.monotonic();
    // This thread stood still, too: the main one gets its chance to beat first.
    const isAwake = nowMs - lastTickMs < 4 * beatMs;
    lastTickMs = nowMs;
    const sinceBeatMs = Number(process.hrtime.bigint() - Atomics.load(shared, slots.beat)) / 1e6;
    if (isAwake && sinceBeatMs > lagMs) {
      Atomics.store(shared, slots.validUntil, 0n);
      end(`the main thread stood still for ${Math.round(sinceBeatMs)} ms`);
    }
  },
);

/** Without the main thread's help: it may be the one that hangs. */
function end(reason: string): void {
  const line = { level: "error", component: "operator", event: "kube.elector_exit", reason };
  writeSync(2, `${JSON.stringify(line)}\n`);
  process.kill(process.pid, "SIGKILL");
}

async function release(): Promise<void> {
  stop.abort();
  await Promise.all([running, watching]);
  try {
    await elector.release(AbortSignal.timeout(releaseMs));
    post({ type: "released" });
  } catch (error) {
    // It runs out by itself.
    post({ type: "released", failure: errorMessage(error) });
  }
  await transport.close();
  port.close();
}

port.on("message", (message: ToWorker) => {
  if (message.type === "credentials") ({ credentials } = message);
  // `release` tells its own failures.
  else void release();
});
