/**
 * The thread that owns NVML. A call that waits on the driver's lock stops this thread and nothing else.
 *
 * Answers questions in the order they come, except that long ones give way between devices, so a short
 * tick's question is answered while a long one is under way.
 */
import { existsSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { ensure } from "@axonize/core/runtime/assert";
import { errorMessage } from "@axonize/core/runtime/error";
import { openDriver, type Driver } from "./driver.ts";
import type { FromWorker, Question, Questions, ToWorker, WorkerOptions } from "./protocol.ts";

const port = ensure(parentPort, "nvml-worker.ts runs as a worker thread");
// Safe: client.ts starts this file with these options and nobody else does.
const options = workerData as WorkerOptions;
const tell = (message: FromWorker): void => port.postMessage(message);

const opened = openDriver({
  libraryPath: options.libraryPath,
  pidExists: (pid) => existsSync(`/proc/${pid}`),
  monotonicMs: () => performance.now(),
});

if ("driver" in opened) serve(opened.driver);
else tell({ type: "refused", trouble: opened.trouble, detail: opened.detail });

function serve(driver: Driver): void {
  let closing = false;
  const events = pumpEvents(driver, () => closing);
  const answers: { [Q in Question]: () => Questions[Q] | Promise<Questions[Q]> } = {
    topology: () => driver.readTopology(),
    fast: () => driver.sampleFast(),
    slow: () => driver.sampleSlow(),
    gpm: () => driver.sampleGpm(),
    processes: () => driver.readProcesses(),
    costs: () => driver.costs(),
    close: async () => {
      closing = true;
      await events;
      driver.close();
      return undefined;
    },
  };
  port.on("message", ({ id, question }: ToWorker) => {
    void answer(id, question, answers[question]);
  });
  tell({ type: "opened", info: driver.info });
}

async function answer(
  id: number,
  question: Question,
  work: () => Questions[Question] | Promise<Questions[Question]>,
): Promise<void> {
  try {
    tell({ type: "answer", id, answer: await work() });
  } catch (error) {
    // A bug here must reach whoever asked, not end the thread without a word.
    tell({ type: "failed", id, message: errorMessage(error) });
  }
  if (question === "close") port.close();
}

async function pumpEvents(driver: Driver, closing: () => boolean): Promise<void> {
  while (!closing()) {
    const started = performance.now();
    const event = await driver.waitForEvent(options.eventWaitMs);
    if (event) tell({ type: "event", event });
    // Nothing to wait on, or an error at once: do not spin.
    else if (performance.now() - started < options.eventWaitMs / 2) {
      await new Promise((resolve) => setTimeout(resolve, options.eventWaitMs));
    }
  }
}
