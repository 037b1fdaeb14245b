/**
 * One append-only file of the spool, or its stand-in in memory while the disk takes nothing.
 *
 * A record is its length, the CRC-32 of its bytes (both 32 bits, little-endian) and the bytes. Reading
 * stops at the first record that is cut off or does not match: what follows a torn write is no record.
 */
import { open, readFile, rm, type FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { headOf, type FrameHead } from "./frames.ts";
import * as limits from "./limits.ts";

/** A frame in a segment. */
export interface Entry extends FrameHead {
  readonly offset: number;
  readonly length: number;
  acked: boolean;
}

export interface Segment {
  /** Grows from segment to segment. */
  readonly number: number;
  readonly onDisk: boolean;
  readonly entries: Entry[];
  /** With the records' headers. */
  bytes(): number;
  /** Throws what the disk says. */
  append(frame: Buffer, head: FrameHead): Promise<void>;
  read(entry: Entry): Promise<Buffer>;
  /** Everything written is on the platters. */
  sync(): Promise<void>;
  close(): Promise<void>;
  remove(): Promise<void>;
}

const headerBytes = 8;

export function memorySegment(number: number): Segment {
  const frames = new Map<Entry, Buffer>();
  const entries: Entry[] = [];
  let bytes = 0;
  return {
    number,
    onDisk: false,
    entries,
    bytes: () => bytes,
    append: async (frame, head) => {
      const entry = entryOf(head, bytes, frame.length);
      bytes += headerBytes + frame.length;
      entries.push(entry);
      frames.set(entry, frame);
      await Promise.resolve();
    },
    read: async (entry) => await Promise.resolve(frames.get(entry) ?? Buffer.alloc(0)),
    sync: async () => await Promise.resolve(),
    close: async () => await Promise.resolve(),
    remove: async () => {
      frames.clear();
      await Promise.resolve();
    },
  };
}

export async function createSegment(path: string, number: number): Promise<Segment> {
  const file = await open(path, "wx+", 0o600);
  return diskSegment({ path, number, file, entries: [], bytes: 0 });
}

/** What an earlier life left. `tornBytes`: of a write that did not finish; they are cut off. */
export async function recoverSegment(
  path: string,
  number: number,
): Promise<{ segment: Segment; tornBytes: number }> {
  const content = await readFile(path);
  const { entries, end } = entriesOf(content);
  return {
    segment: diskSegment({ path, number, file: undefined, entries, bytes: end }),
    tornBytes: content.length - end,
  };
}

function diskSegment(given: {
  path: string;
  number: number;
  file: FileHandle | undefined;
  entries: Entry[];
  bytes: number;
}): Segment {
  let { file, bytes } = given;
  const { path, number, entries } = given;
  // Opened again for reading after it was closed for writing.
  const handle = async (): Promise<FileHandle> => (file ??= await open(path, "r"));
  return {
    number,
    onDisk: true,
    entries,
    bytes: () => bytes,
    append: async (frame, head) => {
      const record = Buffer.allocUnsafe(headerBytes + frame.length);
      record.writeUInt32LE(frame.length, 0);
      record.writeUInt32LE(crc32(frame), 4);
      frame.copy(record, headerBytes);
      const at = bytes;
      const { bytesWritten } = await (await handle()).write(record, 0, record.length, at);
      if (bytesWritten < record.length) throw new Error("the disk took a part of a record only");
      bytes += record.length;
      entries.push(entryOf(head, at, frame.length));
    },
    read: async (entry) => {
      const frame = Buffer.allocUnsafe(entry.length);
      const from = entry.offset + headerBytes;
      const { bytesRead } = await (await handle()).read(frame, 0, entry.length, from);
      if (bytesRead < entry.length) throw new Error(`${path} is shorter than it was`);
      return frame;
    },
    sync: async () => await file?.datasync(),
    close: async () => {
      const open = file;
      file = undefined;
      await open?.close();
    },
    remove: async () => {
      const open = file;
      file = undefined;
      await open?.close();
      await rm(path, { force: true });
    },
  };
}

function entryOf(head: FrameHead, offset: number, length: number): Entry {
  return { ...head, offset, length, acked: false };
}

function entriesOf(content: Buffer): { entries: Entry[]; end: number } {
  const entries: Entry[] = [];
  let at = 0;
  while (at + headerBytes <= content.length) {
    const length = content.readUInt32LE(at);
    const end = at + headerBytes + length;
    if (length > limits.frameBytes || end > content.length) break;
    const frame = content.subarray(at + headerBytes, end);
    if (crc32(frame) !== content.readUInt32LE(at + 4)) break;
    const head = readHead(frame);
    if (head === undefined) break;
    entries.push(entryOf(head, at, length));
    at = end;
  }
  return { entries, end: at };
}

function readHead(frame: Buffer): FrameHead | undefined {
  try {
    return headOf(frame);
  } catch {
    return undefined; // its sum fits and it is no frame: not written by us
  }
}
