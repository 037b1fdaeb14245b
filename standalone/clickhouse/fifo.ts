/**
 * Named pipes through which the engine streams results: it writes with `INTO OUTFILE`, the front
 * reads at the client's pace, and a slow client stops the engine instead of filling memory.
 */
import { execFile } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";

export interface Fifo {
  path: string;
  /** Bytes that the engine writes. */
  stream: Socket;
  /** Says that the engine has written all; the stream ends once it is read empty. */
  writingDone(): void;
}

export interface Fifos {
  /** Opens one that is free. At most `count` at a time: the caller holds a slot. */
  open(): Fifo;
  close(fifo: Fifo): void;
}

/** Node cannot make a FIFO, so `mkfifo` makes all of them at once at the start. */
export async function createFifos(dir: string, count: number): Promise<Fifos> {
  const free = Array.from({ length: count }, (_, i) => join(dir, `answer-${i}`));
  await promisify(execFile)("mkfifo", ["-m", "600", ...free]);
  return {
    open: () => {
      const path = free.pop();
      if (path === undefined) throw new Error("no FIFO is free: more queries run than slots allow");
      return openFifo(path);
    },
    close: (fifo) => {
      fifo.stream.destroy();
      fifo.writingDone();
      free.push(fifo.path);
    },
  };
}

/** A writer of our own stays open, so that the stream ends only when we say so. */
function openFifo(path: string): Fifo {
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  let writer: number | undefined = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  const stream = new Socket({ fd: reader, readable: true, writable: false });
  return {
    path,
    stream,
    writingDone: () => {
      if (writer === undefined) return;
      closeSync(writer);
      writer = undefined;
    },
  };
}
