/**
 * Where a test cluster keeps its data: a directory named after its owner's process, so that the next
 * start can tell what a dead one left (its guard removes it; this is for a machine that lost both).
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startTicks } from "./parts.ts";

/** Linux's magic number of overlayfs, on which containerd's overlays cannot lie. */
const overlayfs = 0x79_4c_76_30;

/**
 * A new data directory. A control plane's is in memory, where etcd is fastest; a cluster's, which holds
 * gigabytes of images, on disk. Removes those of owners that are gone.
 */
export function newDataDir(kind: "control-plane" | "cluster"): string {
  const onDisk = kind === "cluster" && statfsSync(tmpdir()).type !== overlayfs;
  const base = join(onDisk ? tmpdir() : memoryDir(), `axonize-k8s-${process.getuid?.() ?? 0}`);
  mkdirSync(base, { recursive: true, mode: 0o700 });
  for (const entry of readdirSync(base)) {
    const owner = /^(?:control-plane|cluster)-(\d+)-/.exec(entry)?.[1];
    if (owner !== undefined && startTicks(Number(owner)) === undefined) {
      rmSync(join(base, entry), { recursive: true, force: true });
    }
  }
  return mkdtempSync(join(base, `${kind}-${process.pid}-`));
}

function memoryDir(): string {
  try {
    rmSync(mkdtempSync("/dev/shm/axonize-probe-"), { recursive: true });
    return "/dev/shm";
  } catch {
    return tmpdir(); // No writable shared memory: a disk will do, only slower.
  }
}
