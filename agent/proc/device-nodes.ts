/**
 * Which NVIDIA devices a process can open, from the device nodes in its /dev: `nvidia<N>` for GPUs and
 * `nvidia-caps/nvidia-cap<M>` for MIG instances. On cgroup v2 the device filter itself cannot be read.
 *
 * A name proves nothing, the node's numbers do. Runtimes make nodes only for what a container was given;
 * a privileged one has them all.
 */
import type { Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { maxDeviceNames } from "./limits.ts";

export interface DeviceNodes {
  /** Minor numbers of GPUs. */
  readonly gpus: readonly number[];
  /** Minor numbers of MIG capabilities. */
  readonly capabilities: readonly number[];
}

/** The GPU driver's fixed major number; 255 is the control node and 254 the mode setter. */
const gpuMajor = 195;
const firstSpecialMinor = 254;

export type DeviceNumber = (
  path: string,
) => Promise<{ readonly major: number; readonly minor: number } | undefined>;

/** undefined: this is no /dev to read. `capsMajor` as /proc/devices tells it. */
export async function readDeviceNodes(
  dev: string,
  capsMajor: number | undefined,
  numberOf: DeviceNumber = numberOfNode,
): Promise<DeviceNodes | undefined> {
  // A container whose /dev is a link would show us the host's.
  if (!(await lstat(dev)).isDirectory()) return undefined;
  const names = await readdir(dev);
  if (names.length > maxDeviceNames) return undefined;
  const gpus: number[] = [];
  for (const name of names.filter((each) => /^nvidia\d{1,3}$/.test(each))) {
    const number = await numberOf(join(dev, name));
    if (number?.major === gpuMajor && number.minor < firstSpecialMinor) gpus.push(number.minor);
  }
  const capabilities: number[] = [];
  if (capsMajor !== undefined && names.includes("nvidia-caps")) {
    const folder = join(dev, "nvidia-caps");
    const caps = (await lstat(folder)).isDirectory() ? await readdir(folder) : [];
    if (caps.length > maxDeviceNames) return undefined;
    for (const name of caps.filter((each) => /^nvidia-cap\d{1,5}$/.test(each))) {
      const number = await numberOf(join(folder, name));
      if (number?.major === capsMajor) capabilities.push(number.minor);
    }
  }
  return { gpus: unique(gpus), capabilities: unique(capabilities) };
}

async function numberOfNode(path: string): ReturnType<DeviceNumber> {
  let stats: Stats;
  try {
    stats = await lstat(path);
  } catch {
    return undefined; // gone between the listing and the look
  }
  if (!stats.isCharacterDevice()) return undefined;
  const { rdev } = stats;
  return { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) };
}

export interface MigCapability {
  readonly gpuMinor: number;
  readonly gpuInstanceId: number;
  /** undefined: the capability of the GPU instance itself. */
  readonly computeInstanceId: number | undefined;
}

/** /proc/driver/nvidia-caps/mig-minors: `gpu0/gi7/ci0/access 67`. */
export function parseMigMinors(text: string): ReadonlyMap<number, MigCapability> {
  const found = new Map<number, MigCapability>();
  for (const match of text.matchAll(
    /^gpu(\d{1,3})\/gi(\d{1,3})(?:\/ci(\d{1,3}))?\/access (\d{1,6})$/gm,
  )) {
    found.set(Number(match[4]), {
      gpuMinor: Number(match[1]),
      gpuInstanceId: Number(match[2]),
      computeInstanceId: match[3] === undefined ? undefined : Number(match[3]),
    });
  }
  return found;
}

/** The major number of a character device in /proc/devices. */
export function parseMajor(devices: string, name: string): number | undefined {
  const [characters = ""] = devices.split("Block devices:");
  const found = [...characters.matchAll(/^\s*(\d+) (\S+)$/gm)].find((match) => match[2] === name);
  return found === undefined ? undefined : Number(found[1]);
}

function unique(numbers: readonly number[]): number[] {
  return [...new Set(numbers)].sort((a, b) => a - b);
}
