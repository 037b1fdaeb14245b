/**
 * Byte accounting of everything unacknowledged: bodies being read, open builders, blocks in flight.
 *
 * Over the soft mark new requests wait in line before their bodies are read, which pauses their
 * sockets; over the hard mark a body being read is refused. What was accepted is never dropped.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import * as limits from "../limits.ts";

export interface Budget {
  /** Takes `bytes` more for a body being read; false at the hard mark, and then nothing is taken. */
  reserve(bytes: number): boolean;
  /** Takes `bytes` that exist already, mark or not. */
  hold(bytes: number): void;
  release(bytes: number): void;
  /**
   * Waits its turn until `bytes` fit below the soft mark and takes them; false when that takes too
   * long. Bodies begin one after another, so that they do not all fail half-read.
   */
  admit(bytes: number): Promise<boolean>;
  heldBytes(): number;
}

interface Waiting {
  bytes: number;
  admit: (admitted: boolean) => void;
}

export function createBudget(
  deps: { clock: Clock },
  options: { bytes: number; openBytes: () => number },
): Budget {
  const soft = options.bytes * limits.softRatio;
  const hard = options.bytes * limits.hardRatio;
  let taken = 0;
  let line: Waiting[] = [];
  const held = (): number => taken + options.openBytes();
  const fits = (bytes: number): boolean => held() + bytes <= soft;
  const wake = (): void => {
    for (let first = line[0]; first !== undefined && fits(first.bytes); first = line[0]) {
      line.shift();
      taken += first.bytes;
      first.admit(true);
    }
  };
  const leaveLate = async (waiting: Waiting, signal: AbortSignal): Promise<void> => {
    try {
      await deps.clock.sleep(limits.roomWaitMs, signal);
    } catch {
      return; // admitted in time
    }
    line = line.filter((other) => other !== waiting);
    waiting.admit(false);
  };
  return {
    reserve: (bytes) => {
      if (held() + bytes > hard) return false;
      taken += bytes;
      return true;
    },
    hold: (bytes) => {
      taken += bytes;
    },
    release: (bytes) => {
      taken -= bytes;
      if (line.length > 0) wake();
    },
    admit: async (bytes) => {
      if (line.length === 0 && fits(bytes)) {
        taken += bytes;
        return true;
      }
      if (line.length >= limits.roomWaiting) return false;
      const abort = new AbortController();
      const admitted = await new Promise<boolean>((resolve) => {
        const waiting = { bytes, admit: resolve };
        line.push(waiting);
        void leaveLate(waiting, abort.signal);
      });
      abort.abort();
      return admitted;
    },
    heldBytes: held,
  };
}
