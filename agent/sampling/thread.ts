/**
 * One life of the sampling thread, seen from the main one: messages in order, and how it ended. The thread
 * ends by itself when the driver is not there or went away.
 */
import { Worker } from "node:worker_threads";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Reason } from "../nvml/readings.ts";
import type { FromWorker, Settings, ToWorker, WorkerOptions } from "./protocol.ts";

export interface ThreadEnd {
  /** undefined: it was closed, or it failed by itself, which `detail` then says. */
  readonly reason: Reason | undefined;
  readonly detail: string;
}

export interface SamplingThread {
  configure(settings: Settings): void;
  /** Asks it to end; it does within the longest driver call and one wait for events. */
  close(): void;
  readonly ended: Promise<ThreadEnd>;
}

/** Young objects of a thread that makes little garbage; keeps its heap from growing for nothing. */
const resourceLimits = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64 };

export function startThread(
  options: WorkerOptions,
  onMessage: (message: Exclude<FromWorker, { type: "trouble" }>) => void,
): SamplingThread {
  const worker = new Worker(new URL("./sampling-worker.ts", import.meta.url), {
    workerData: options,
    resourceLimits,
  });
  const ended = Promise.withResolvers<ThreadEnd>();
  const tell = (message: ToWorker): void => {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    worker.postMessage(message);
  };
  let end: ThreadEnd = { reason: undefined, detail: "closed" };
  worker.on("message", (message: FromWorker) => {
    if (message.type === "trouble") {
      end = { reason: message.reason, detail: message.detail };
      return;
    }
    if (message.type === "batch") tell({ type: "took" });
    onMessage(message);
  });
  worker.on("error", (error) => {
    end = { reason: undefined, detail: `the sampling thread failed: ${errorMessage(error)}` };
  });
  worker.on("exit", () => ended.resolve(end));
  return {
    configure: (settings) => tell({ type: "settings", settings }),
    ended: ended.promise,
    close: () => tell({ type: "close" }),
  };
}
