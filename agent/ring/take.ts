/**
 * Finds rings of dead processes in a folder that other people's processes write to. It runs as root, so
 * it follows no link: every folder and file is opened by its name inside a folder that is already open, and
 * only a regular file of mode 0600 with a single name is a ring.
 */
import { constants } from "node:fs";
import { open, opendir, unlink, type FileHandle } from "node:fs/promises";
import { readHead, tailOffset, type RingHead } from "./format.ts";
import * as limits from "./limits.ts";
import { tryLock } from "./lock.ts";

const suffix = ".axring";
const asFolder = constants.O_RDONLY | constants.O_DIRECTORY;
// Opening a pipe must not wait for its other end.
const asFile = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface TakenRing {
  /** Inside the folder, for the log. */
  readonly name: string;
  readonly head: RingHead;
  /** Bytes of the ring; fewer where the file ends, as nobody but a stranger makes it. */
  read(position: bigint, length: number): Promise<Buffer>;
  /** What lies before it has arrived. */
  advance(tail: bigint): Promise<void>;
  remove(): Promise<void>;
}

/**
 * Calls `use` with each ring whose owner is dead, locked for that time, until it answers `stop`. A folder
 * that is not there (yet) has none.
 */
export async function visitRings(
  directory: string,
  use: (ring: TakenRing) => Promise<"go-on" | "stop">,
): Promise<void> {
  await using folder = await openIfThere(directory, asFolder);
  if (folder) await visit({ folder, name: "", depth: 0, budget: { folders: limits.folders } }, use);
}

async function visit(
  at: {
    readonly folder: FileHandle;
    readonly name: string;
    readonly depth: number;
    readonly budget: { folders: number };
  },
  use: (ring: TakenRing) => Promise<"go-on" | "stop">,
): Promise<"go-on" | "stop"> {
  const path = `/proc/self/fd/${at.folder.fd}`;
  const names: { name: string; isFolder: boolean }[] = [];
  for await (const entry of await opendir(path)) {
    if (names.length >= limits.entries) break;
    const isFolder = entry.isDirectory() && at.depth < limits.depth;
    const isFile = entry.isFile() && entry.name.endsWith(suffix);
    if (isFolder || isFile) names.push({ name: entry.name, isFolder });
  }
  for (const { name, isFolder } of names.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (isFolder && --at.budget.folders < 0) continue;
    const inside = `${path}/${name}`;
    const shown = at.name === "" ? name : `${at.name}/${name}`;
    await using handle = await openIfThere(
      inside,
      isFolder ? asFolder | constants.O_NOFOLLOW : asFile,
    );
    if (!handle) continue;
    if (isFolder) {
      const next = { ...at, folder: handle, name: shown, depth: at.depth + 1 };
      if ((await visit(next, use)) === "stop") return "stop";
      continue;
    }
    const head = await takeHead(handle);
    if (head && (await use(ringOf(handle, { head, path: inside, name: shown }))) === "stop") {
      return "stop";
    }
  }
  return "go-on";
}

/** undefined: a living process's, one that is being made, or no ring at all. */
async function takeHead(file: FileHandle): Promise<RingHead | undefined> {
  const stat = await file.stat();
  if (!stat.isFile() || stat.nlink !== 1 || (stat.mode & 0o077) !== 0) return undefined;
  // Before the lock: whoever makes a ring locks it first and writes its head last.
  if ((await headOf(file, stat.size)) === undefined || !tryLock(file.fd)) return undefined;
  // And after it: the owner may have written until it died.
  return await headOf(file, stat.size);
}

async function headOf(file: FileHandle, size: number): Promise<RingHead | undefined> {
  return readHead(await readAt(file, 0, limits.headerBytes), size);
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}

function ringOf(
  file: FileHandle,
  of: { readonly head: RingHead; readonly path: string; readonly name: string },
): TakenRing {
  const { head } = of;
  return {
    name: of.name,
    head,
    async read(position, length) {
      const at = Number(position % BigInt(head.capacity));
      return await readAt(file, limits.headerBytes + at, Math.min(length, head.capacity - at));
    },
    async advance(tail) {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(tail);
      await file.write(bytes, 0, bytes.length, tailOffset);
    },
    async remove() {
      await unlink(of.path);
    },
  };
}

async function openIfThere(path: string, flags: number): Promise<FileHandle | undefined> {
  try {
    return await open(path, flags);
  } catch {
    // Gone, a link, a pipe nobody reads, or closed to us: not a ring that we may take.
    return undefined;
  }
}
