/**
 * A /proc of made-up processes in a folder, for tests: containers, environments and device nodes without
 * running any. What a kernel answers for real processes is tested beside it.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export interface FakeProcess {
  readonly pid: number;
  readonly startTime?: number;
  readonly parentPid?: number;
  readonly session?: number;
  readonly ownPid?: number;
  readonly command?: string;
  /** Text of /proc/<pid>/cgroup. */
  readonly cgroup?: string;
  readonly environment?: Readonly<Record<string, string>> | Uint8Array;
  /** Names under its /dev; regular files, so a test says which numbers they have. */
  readonly devices?: readonly string[];
}

export interface FakeProc extends Disposable {
  readonly root: string;
  /** Adds a process or replaces the one with its pid. */
  add(process: FakeProcess): void;
  remove(pid: number): void;
  /** Any other file under the root. */
  write(path: string, text: string): void;
}

/** The cgroup of a container in a pod, cgroup v2, systemd driver, containerd. */
export function podCgroup(podUid: string, containerId: string): string {
  const pod = `kubepods-pod${podUid.replaceAll("-", "_")}.slice`;
  return `0::/kubepods.slice/${pod}/cri-containerd-${containerId}.scope\n`;
}

export function createFakeProc(options: { bootId?: string } = {}): FakeProc {
  const root = mkdtempSync(join(tmpdir(), "axonize-proc-"));
  const write = (path: string, content: string | Uint8Array): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  };
  write("sys/kernel/random/boot_id", `${options.bootId ?? "boot-1"}\n`);
  const remove = (pid: number): void => {
    rmSync(join(root, String(pid)), { recursive: true, force: true });
  };
  return {
    root,
    write,
    remove,
    add(process) {
      const { pid, startTime = pid, parentPid = 1, session = 0, ownPid = pid } = process;
      const { command = "python3" } = process;
      remove(pid);
      const rest = Array.from({ length: 15 }, () => "0").join(" ");
      const numbers = `${parentPid} ${pid} ${session} ${rest} ${startTime}`;
      write(`${pid}/stat`, `${pid} (${command}) S ${numbers} 0 0\n`);
      write(`${pid}/status`, `Name:\t${command}\nNSpid:\t${pid}\t${ownPid}\n`);
      write(`${pid}/cgroup`, process.cgroup ?? "0::/user.slice\n");
      write(`${pid}/environ`, environOf(process.environment ?? { PATH: "/usr/bin" }));
      mkdirSync(join(root, String(pid), "root/dev"), { recursive: true });
      for (const name of process.devices ?? []) write(`${pid}/root/dev/${name}`, "");
    },
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}

function environOf(environment: Readonly<Record<string, string>> | Uint8Array): Uint8Array {
  if (environment instanceof Uint8Array) return environment;
  return Buffer.from(
    Object.entries(environment)
      .map(([name, value]) => `${name}=${value}\0`)
      .join(""),
  );
}

/**
 * Stands in for lstat where device nodes cannot be made: `nvidia3` has GPU minor 3, `nvidia-cap67`
 * capability 67 under the major number of `write("devices", …)`.
 */
export function numberByName(capsMajor: number) {
  return (path: string): Promise<{ major: number; minor: number } | undefined> => {
    const gpu = /\/nvidia(\d+)$/.exec(path);
    const cap = /\/nvidia-cap(\d+)$/.exec(path);
    if (gpu) return Promise.resolve({ major: 195, minor: Number(gpu[1]) });
    return Promise.resolve(cap ? { major: capsMajor, minor: Number(cap[1]) } : undefined);
  };
}
