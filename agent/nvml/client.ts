/**
 * NVML for the rest of the agent: questions to the thread that owns it, answers as promises.
 *
 * No call here blocks the event loop. The same question asked again while it is under way gets the
 * answer of the first, so a slow driver never makes a queue grow.
 */
import { Worker } from "node:worker_threads";
import { AxonizeError, errorMessage } from "@axonize/core/runtime/error";
import type { DriverInfo } from "./driver.ts";
import type { DeviceEvent } from "./events.ts";
import type { FromWorker, Question, Questions, ToWorker, WorkerOptions } from "./protocol.ts";
import type { Reason } from "./readings.ts";

export interface NvmlClient extends AsyncDisposable {
  readonly info: DriverInfo;
  ask<Q extends Question>(question: Q): Promise<Questions[Q]>;
}

export type NvmlOpened =
  | { readonly client: NvmlClient }
  | { readonly trouble: Reason; readonly detail: string };

export interface NvmlOptions extends WorkerOptions {
  readonly onEvent: (event: DeviceEvent) => void;
}

interface Pending {
  readonly promise: Promise<unknown>;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Starts the thread and opens the driver. No driver is an answer, not an error. */
export async function openNvml(options: NvmlOptions): Promise<NvmlOpened> {
  const workerData: WorkerOptions = {
    libraryPath: options.libraryPath,
    eventWaitMs: options.eventWaitMs,
  };
  const worker = new Worker(new URL("./nvml-worker.ts", import.meta.url), { workerData });
  const first = await firstWord(worker);
  if (first.type !== "opened") {
    await worker.terminate();
    return { trouble: first.trouble, detail: first.detail };
  }
  return { client: createClient(worker, first.info, options.onEvent) };
}

type FirstWord = Extract<FromWorker, { type: "opened" | "refused" }>;

function firstWord(worker: Worker): Promise<FirstWord> {
  return new Promise((resolve, reject) => {
    worker.once("error", reject);
    worker.once("message", (message: FromWorker) => {
      worker.off("error", reject);
      if (message.type === "opened" || message.type === "refused") resolve(message);
      else reject(new AxonizeError("internal", "The NVML thread spoke out of turn."));
    });
  });
}

function createClient(
  worker: Worker,
  info: DriverInfo,
  onEvent: (event: DeviceEvent) => void,
): NvmlClient {
  const byId = new Map<number, Question>();
  /** At most one of each question is under way: the limit is the number of questions. */
  const pending = new Map<Question, Pending>();
  let nextId = 1;
  let ended: Error | undefined;

  const settle = (id: number, how: (waiting: Pending) => void): void => {
    const question = byId.get(id);
    const waiting = question === undefined ? undefined : pending.get(question);
    byId.delete(id);
    if (question === undefined || waiting === undefined) return;
    pending.delete(question);
    how(waiting);
  };
  const end = (reason: string): void => {
    ended ??= new AxonizeError("unavailable", `The NVML thread ended: ${reason}`);
    for (const waiting of pending.values()) waiting.reject(ended);
    pending.clear();
    byId.clear();
  };

  worker.on("message", (message: FromWorker) => {
    if (message.type === "event") onEvent(message.event);
    if (message.type === "answer") settle(message.id, (w) => w.resolve(message.answer));
    if (message.type === "failed") {
      settle(message.id, (w) => w.reject(new AxonizeError("internal", message.message)));
    }
  });
  worker.on("error", (error) => end(errorMessage(error)));
  worker.on("exit", () => end("closed"));

  const ask = <Q extends Question>(question: Q): Promise<Questions[Q]> => {
    let waiting = pending.get(question);
    if (ended) return Promise.reject(ended);
    if (!waiting) {
      waiting = Promise.withResolvers<unknown>();
      pending.set(question, waiting);
      const message: ToWorker = { id: nextId, question };
      byId.set(nextId, question);
      nextId += 1;
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
      worker.postMessage(message);
    }
    // Safe: the worker answers each question with the type that protocol.ts gives it.
    return waiting.promise as Promise<Questions[Q]>;
  };

  return {
    info,
    ask,
    async [Symbol.asyncDispose]() {
      if (ended) return;
      const exited = new Promise((resolve) => worker.once("exit", resolve));
      await ask("close");
      await exited;
    },
  };
}
