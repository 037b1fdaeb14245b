/**
 * The data directory: made, checked and locked before anything else starts, so that a full disk, a
 * missing right or a second instance is one clear sentence and not a store's stack trace.
 *
 * Layout: `admin-key`, `lock`, `clickhouse/`, `postgres/`, `logs/`.
 */
import { randomUUID } from "node:crypto";
import { chmod, link, mkdir, readFile, rm, stat, statfs, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { systemClock } from "@axonize/core/runtime/clock";
import { errorMessage, StartError } from "@axonize/core/runtime/error";

export interface DataDir extends AsyncDisposable {
  path: string;
  /** Nothing was there before this start. */
  fresh: boolean;
}

/** The stores need about 60 MB for their empty selves; below this they would fail half-way. */
const leastFreeBytes = 200 * 1024 * 1024;

export async function openDataDir(given: string): Promise<DataDir> {
  const path = resolve(given);
  const fresh = await makeDir(path);
  await checkWritable(path);
  const { bavail, bsize } = await statfs(path);
  checkSpace(path, bavail * bsize);
  const unlock = await lock(path);
  return { path, fresh, [Symbol.asyncDispose]: unlock };
}

export function checkSpace(path: string, freeBytes: number): void {
  if (freeBytes >= leastFreeBytes) return;
  throw new StartError(
    `The disk of the data directory ${path} is full: ${Math.floor(freeBytes / 1024 / 1024)} MiB are free and at least ${leastFreeBytes / 1024 / 1024} MiB are needed. Free some space, or point AXONIZE_DATA_DIR to another disk.`,
  );
}

async function makeDir(path: string): Promise<boolean> {
  try {
    const first = await makeFolders(path);
    // Root runs PostgreSQL as another account, which must pass through; no one else may list it.
    if (first) await chmod(path, process.getuid?.() === 0 ? 0o711 : 0o700);
    return first;
  } catch (error) {
    throw notWritable(path, error);
  }
}

/** Says whether it made the folder. Node's own recursive mkdir never ends below /proc. */
async function makeFolders(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EEXIST" && (await stat(path)).isDirectory()) return false;
    if (code !== "ENOENT" || !(await makeFolders(dirname(path)))) throw error;
  }
  await mkdir(path);
  return true;
}

/** Only writing tells: access bits do not know of read-only file systems, quotas or containers. */
async function checkWritable(path: string): Promise<void> {
  const probe = join(path, `probe-${randomUUID()}`);
  try {
    await writeFile(probe, "x".repeat(4096));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOSPC") checkSpace(path, 0);
    throw notWritable(path, error);
  } finally {
    await rm(probe, { force: true });
  }
}

function notWritable(path: string, error: unknown): StartError {
  const reasons: Readonly<Record<string, string>> = {
    EACCES: "this user has no right to write there",
    EPERM: "this user has no right to write there",
    EROFS: "the file system is read-only",
    ENOTDIR: "a part of the path is a file",
    EEXIST: "a file is in its place",
    ENOSPC: "the disk is full",
    ENOENT: "no folder can be made there",
  };
  const code = (error as NodeJS.ErrnoException).code ?? "";
  return new StartError(
    `The data directory ${path} cannot be written: ${reasons[code] ?? errorMessage(error)}. Give this user the right to it, or set AXONIZE_DATA_DIR to a folder of your own, such as AXONIZE_DATA_DIR=~/axonize-data.`,
    { cause: error },
  );
}

/**
 * A file with our process id; Node has no file locks. A lock whose process is gone, or is another
 * one with the same id (told by its start time), is taken over.
 */
async function lock(dir: string): Promise<() => Promise<void>> {
  const file = join(dir, "lock");
  const own = `${process.pid} ${await processStart(process.pid)}\n`;
  for (let attempt = 0; attempt < 5; attempt += 1) {
    try {
      await createWhole(file, own);
      return async () => {
        if ((await readLock(file)) === own) await rm(file, { force: true });
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const held = (await readLock(file)) ?? "";
    const [pid = "", started = ""] = held.trim().split(" ");
    if (/^\d+$/.test(pid) && (await processStart(Number(pid))) === started && started !== "") {
      throw new StartError(
        `Another Axonize (process ${pid}) uses the data directory ${dir}. Stop it first (\`kill ${pid}\`), or give this one a directory and ports of its own (AXONIZE_DATA_DIR, AXONIZE_HTTP_LISTEN, AXONIZE_OTLP_GRPC_LISTEN, AXONIZE_OTLP_HTTP_LISTEN).`,
      );
    }
    await removeStale(file, held);
  }
  throw new StartError(
    `The lock ${file} could not be taken: several instances start at the same time. Start one of them again.`,
  );
}

/** Fails where it exists. It is there with all its text at once: an empty lock would look stale. */
async function createWhole(file: string, text: string): Promise<void> {
  const draft = `${file}-${randomUUID()}`;
  await writeFile(draft, text, { flag: "wx", mode: 0o600 });
  try {
    await link(draft, file);
  } finally {
    await rm(draft, { force: true });
  }
}

/** Longer than removing a file takes; who held it then is dead. */
const claimMs = 10_000;

/**
 * Removes a lock that still says what was judged stale. One starter at a time, by a folder that only one can
 * make: between looking and removing, the lock could otherwise become another starter's living one.
 */
async function removeStale(file: string, judged: string): Promise<void> {
  const claim = `${file}.claim`;
  try {
    await mkdir(claim);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const since = (await stat(claim).catch(() => undefined))?.mtimeMs; // given back meanwhile
    if (since !== undefined && systemClock.now() - since > claimMs)
      await rm(claim, { recursive: true });
    return;
  }
  try {
    if ((await readLock(file)) === judged) await rm(file, { force: true });
  } finally {
    await rm(claim, { recursive: true, force: true });
  }
}

async function readLock(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch {
    return undefined; // released meanwhile
  }
}

/** When a process started (clock ticks since boot), or "" if it is gone. Outside Linux: "alive". */
async function processStart(pid: number): Promise<string> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return "";
  }
  if (process.platform !== "linux") return "alive";
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // Fields after the command, which stands in brackets and may hold anything: state is the first.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? "" : (fields[19] ?? "");
  } catch {
    return ""; // ended between the two looks
  }
}
