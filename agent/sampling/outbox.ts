/**
 * Batches on their way to the main thread: one each report period, at most a bounded number that are not
 * taken yet. A batch beyond that is dropped, newest first, and the next one says how many were.
 */
import type { BatchWriter } from "./batch.ts";
import { unackedBatches } from "./limits.ts";
import type { Batch } from "./protocol.ts";

export interface Outbox {
  ticked(tick: { readonly lateMs: number; readonly missed: number }): void;
  /** Sends what was gathered. `figures`: what the batch says of sampling itself. */
  send(figures: Pick<Batch, "costs" | "periods" | "cpuRatio">): void;
  /** The main thread took one. */
  took(): void;
}

export function createOutbox(writer: BatchWriter, emit: (batch: Batch) => void): Outbox {
  let lateMs: number[] = [];
  let missedTicks = 0;
  let unacked = 0;
  let droppedBatches = 0;
  return {
    ticked(tick) {
      lateMs.push(tick.lateMs);
      missedTicks += tick.missed;
    },
    send(figures) {
      const { numbers, missing, droppedRows } = writer.take();
      if (unacked >= unackedBatches) {
        droppedBatches += 1;
      } else {
        unacked += 1;
        emit({ numbers, missing, droppedRows, droppedBatches, lateMs, missedTicks, ...figures });
        droppedBatches = 0;
        missedTicks = 0;
      }
      lateMs = [];
    },
    took() {
      unacked = Math.max(0, unacked - 1);
    },
  };
}
