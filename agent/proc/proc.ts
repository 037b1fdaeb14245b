/**
 * What /proc tells of a process: its container, its names for itself, the devices it can open and the few
 * variables that number them. `root` may be a host's /proc mounted elsewhere.
 *
 * A process may end, and its pid be another's, between two reads: every answer is checked against the
 * start time afterwards. What only the kernel answers is read at once; what waits for the process itself
 * (its memory, its files) goes through one lane with a time limit.
 */
import { closeSync, openSync, readlinkSync, readSync } from "node:fs";
import { open } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Clock } from "@axonize/core/runtime/clock";
import { parseCgroup } from "../identity/cgroup.ts";
import {
  parseMajor,
  parseMigMinors,
  readDeviceNodes,
  type DeviceNodes,
  type DeviceNumber,
  type MigCapability,
} from "./device-nodes.ts";
import { parseEnvironment, type Environment } from "./environment.ts";
import { createLane } from "./lane.ts";
import { maxEnvironmentBytes, maxFileBytes, slowReadMs } from "./limits.ts";
import { parseOwnPid, parseStat, type Stat } from "./stat.ts";

/** A process, told apart from others with its pid by the start time. */
export interface ProcessRef {
  readonly pid: number;
  readonly startTime: number;
}

export interface ProcessFacts extends ProcessRef {
  readonly parentPid: number;
  readonly session: number;
  /** The pid that the process itself sees. */
  readonly ownPid: number;
  readonly command: string;
  readonly podUid: string | undefined;
  readonly containerId: string | undefined;
}

export interface Proc {
  /** undefined: this is no /proc. */
  bootId(): string | undefined;
  /** undefined: there is no such process. */
  facts(pid: number): ProcessFacts | undefined;
  isAlive(process: ProcessRef): boolean;
  /** At exec. undefined: gone, not ours to read, or overwritten. */
  environment(process: ProcessFacts): Promise<Environment | undefined>;
  /** undefined: gone or not ours to read. */
  deviceNodes(process: ProcessRef): Promise<DeviceNodes | undefined>;
  /** Minor number of a capability → the instance. */
  migCapabilities(): ReadonlyMap<number, MigCapability>;
  /** Reads that took too long or were not begun because of one that does. */
  readonly stuckCount: number;
}

export function createProc(
  deps: { clock: Clock; numberOf?: DeviceNumber },
  options: { root: string },
): Proc {
  const { root } = options;
  const lane = createLane(deps, { limitMs: slowReadMs });
  const text = (...path: string[]): string | undefined => readText(join(root, ...path));
  const stat = (pid: number): Stat | undefined => {
    const found = text(String(pid), "stat");
    return found === undefined ? undefined : parseStat(found);
  };
  const isAlive = ({ pid, startTime }: ProcessRef): boolean => stat(pid)?.startTime === startTime;
  /** An answer about a process that was there before and after. */
  const ask = async <T>(of: ProcessRef, work: () => Promise<T>): Promise<T | undefined> => {
    const answer = await lane.run(async () => {
      try {
        return await work();
      } catch {
        return undefined; // gone, or not ours to read: unknown either way
      }
    });
    return isAlive(of) ? answer : undefined;
  };
  return {
    bootId: () => text("sys/kernel/random/boot_id")?.trim(),
    isAlive,
    facts(pid) {
      const found = stat(pid);
      const cgroup = text(String(pid), "cgroup");
      const status = text(String(pid), "status");
      if (found === undefined || cgroup === undefined || status === undefined) return undefined;
      const of = { pid, startTime: found.startTime };
      if (!isAlive(of)) return undefined;
      const owner = parseCgroup(cgroup);
      return {
        ...of,
        parentPid: found.parentPid,
        session: found.session,
        ownPid: parseOwnPid(status) ?? pid,
        command: found.command === nodeMain ? (exe(root, pid) ?? found.command) : found.command,
        podUid: owner?.podUid,
        containerId: owner?.containerId,
      };
    },
    environment: (process) =>
      ask(process, async () => {
        const bytes = await readEnvironment(join(root, String(process.pid), "environ"));
        const found = bytes && parseEnvironment(bytes, process.command);
        bytes?.fill(0);
        return found;
      }),
    deviceNodes: (process) =>
      ask(process, async () => {
        const capsMajor = parseMajor(text("devices") ?? "", "nvidia-caps");
        return await readDeviceNodes(
          join(root, String(process.pid), "root/dev"),
          capsMajor,
          deps.numberOf,
        );
      }),
    migCapabilities: () => parseMigMinors(text("driver/nvidia-caps/mig-minors") ?? ""),
    get stuckCount() {
      return lane.stuckCount;
    },
  };
}

/** Node names its first thread so, and a process goes by its first thread's name. */
const nodeMain = "MainThread";

/** The program's file name. undefined: not ours to see. */
function exe(root: string, pid: number): string | undefined {
  try {
    return basename(readlinkSync(join(root, String(pid), "exe")));
  } catch {
    return undefined; // another user's process, or a thread of the kernel
  }
}

const buffer = Buffer.alloc(maxFileBytes);

/** A small file of the kernel's. undefined: it is not there, or longer than any such file. */
function readText(path: string): string | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return undefined; // the process is gone, or this kernel has no such file
  }
  try {
    let length = 0;
    for (;;) {
      const read = readSync(file, buffer, length, buffer.length - length, null);
      if (read === 0) return buffer.toString("utf8", 0, length);
      length += read;
      if (length === buffer.length) return undefined;
    }
  } catch {
    return undefined; // it ended while it was read (ESRCH)
  } finally {
    closeSync(file);
  }
}

/** undefined: too long to be known whole. */
async function readEnvironment(path: string): Promise<Buffer | undefined> {
  await using file = await open(path, "r");
  const bytes = Buffer.alloc(maxEnvironmentBytes);
  let length = 0;
  for (;;) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length);
    if (bytesRead === 0) return bytes.subarray(0, length);
    length += bytesRead;
    if (length === bytes.length) {
      bytes.fill(0);
      return undefined;
    }
  }
}
