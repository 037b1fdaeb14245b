/**
 * The thread that owns NVML and samples it. A call that waits on the driver's lock stops this thread and
 * nothing else; only the wait for events has a thread of the pool.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { ensure } from "@axonize/core/runtime/assert";
import { systemClock } from "@axonize/core/runtime/clock";
import { openDriver, type Driver } from "../nvml/driver.ts";
import { eventWaitMs } from "./limits.ts";
import { createLoop, type Loop } from "./loop.ts";
import type { FromWorker, ToWorker, WorkerOptions } from "./protocol.ts";

const port = ensure(parentPort, "sampling-worker.ts runs as a worker thread");
// Safe: thread.ts starts this file with these options and nobody else does.
const options = workerData as WorkerOptions;
const clock = systemClock;

const opened = openDriver({
  libraryPath: options.libraryPath,
  pidExists: (pid) => existsSync(join(options.procRoot, String(pid))),
});
if ("driver" in opened) await serve(opened.driver);
else emit({ type: "trouble", reason: opened.trouble, detail: opened.detail });
port.close();

function emit(message: FromWorker): void {
  const moved = message.type === "batch" ? [message.batch.numbers.buffer] : [];
  port.postMessage(message, moved);
}

async function serve(driver: Driver): Promise<void> {
  const closing = new AbortController();
  const loop = createLoop(
    {
      clock,
      driver,
      emit,
      cpuMs: () => {
        const { user, system } = process.threadCpuUsage();
        return (user + system) / 1000;
      },
    },
    options.settings,
  );
  port.on("message", (message: ToWorker) => {
    if (message.type === "settings") loop.configure(message.settings);
    if (message.type === "took") loop.took();
    if (message.type === "close") closing.abort();
  });
  emit({ type: "opened", info: driver.info });
  const events = pumpEvents(driver, loop, closing.signal);
  await loop.run(closing.signal);
  closing.abort();
  await events;
  driver.close();
}

async function pumpEvents(driver: Driver, loop: Loop, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const startedMs = clock.monotonic();
    const event = await driver.waitForEvent(eventWaitMs);
    if (event) {
      emit({ type: "event", atMs: clock.now(), event });
      loop.refresh();
    } else if (clock.monotonic() - startedMs < eventWaitMs / 2) {
      // Nothing to wait on, or an error at once: do not spin.
      await clock.sleep(eventWaitMs, signal).catch(() => undefined); // aborted: the loop's end
    }
  }
}
