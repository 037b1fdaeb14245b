/**
 * What the program's thread and the exporter's say to each other. Spans go through shared memory; only
 * wake-ups, flushes and log lines are messages.
 */
import type { MessagePort } from "node:worker_threads";
import type { Config } from "./config.ts";

/** What an exporter starts with. */
export interface Start {
  readonly memory: SharedArrayBuffer;
  readonly config: Config;
  readonly resource: Readonly<Record<string, unknown>>;
  readonly port: MessagePort;
  /** Time of the shared clock at which the program's `performance.now()` was 0. */
  readonly originMs: number;
  /** Epoch ms of that moment, as the program's thread knows it. */
  readonly timeOriginMs: number;
  /** In the program's own thread. */
  readonly here: boolean;
}

export type ToExporter =
  | { readonly kind: "full" }
  | { readonly kind: "flush"; readonly id: number; readonly timeoutMs: number }
  | { readonly kind: "stop" };

export type FromExporter =
  | { readonly kind: "warn"; readonly cause: string; readonly message: string }
  | { readonly kind: "flushed"; readonly id: number; readonly ok: boolean };
