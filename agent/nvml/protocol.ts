/**
 * What the main thread and the NVML thread say to each other. Plain data only: it is cloned.
 */
import type { Cost, DriverInfo, Source, Topology } from "./driver.ts";
import type { DeviceEvent } from "./events.ts";
import type { ProcessList } from "./processes.ts";
import type { Reading, Reason } from "./readings.ts";

/** Each question and its answer. */
export interface Questions {
  topology: Topology;
  fast: readonly Reading[];
  slow: readonly Reading[];
  gpm: readonly Reading[];
  processes: ProcessList;
  costs: Readonly<Record<Source, Cost>>;
  close: undefined;
}
export type Question = keyof Questions;

export type ToWorker = { readonly id: number; readonly question: Question };

export type FromWorker =
  | { readonly type: "opened"; readonly info: DriverInfo }
  | { readonly type: "refused"; readonly trouble: Reason; readonly detail: string }
  | { readonly type: "answer"; readonly id: number; readonly answer: Questions[Question] }
  | { readonly type: "failed"; readonly id: number; readonly message: string }
  | { readonly type: "event"; readonly event: DeviceEvent };

export interface WorkerOptions {
  readonly libraryPath: string | undefined;
  /** How long one wait for events may take; also how long closing may. */
  readonly eventWaitMs: number;
}
