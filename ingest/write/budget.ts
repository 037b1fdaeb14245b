/**
 * Byte accounting of everything unacknowledged: bodies being read, open builders, blocks in flight.
 *
 * Over the soft mark new requests wait before their bodies are read, which pauses their sockets;
 * over the hard mark they are refused. What was accepted is never dropped for memory.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import * as limits from "../limits.ts";

export interface Budget {
  /** Takes `bytes`; false at the hard mark, and then nothing is taken. */
  reserve(bytes: number): boolean;
  /** Takes `bytes` that exist already, mark or not. */
  hold(bytes: number): void;
  release(bytes: number): void;
  /** Waits until the total is below the soft mark; false when that takes too long. */
  room(): Promise<boolean>;
  heldBytes(): number;
}

export function createBudget(
  deps: { clock: Clock },
  options: { bytes: number; openBytes: () => number },
): Budget {
  const soft = options.bytes * limits.softRatio;
  const hard = options.bytes * limits.hardRatio;
  let taken = 0;
  let waiting: ((room: boolean) => void)[] = [];
  const held = (): number => taken + options.openBytes();
  const wake = (): void => {
    while (waiting.length > 0 && held() < soft) waiting.shift()?.(true);
  };
  const giveUp = (resolve: (room: boolean) => void): void => {
    waiting = waiting.filter((other) => other !== resolve);
    resolve(held() < hard);
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
      if (waiting.length > 0) wake();
    },
    room: async () => {
      if (held() < soft) return true;
      if (waiting.length >= limits.roomWaiting) return false;
      return await new Promise<boolean>((resolve) => {
        waiting.push(resolve);
        void deps.clock.sleep(limits.roomWaitMs).then(() => giveUp(resolve));
      });
    },
    heldBytes: held,
  };
}
