/**
 * The machine inside the machine: PID, mount and network namespaces in which a whole node runs.
 *
 * `unshare --kill-child` under setpriv's parent death signal: when the owner dies, the kernel kills the
 * namespaces' first process and with it everything inside, and mounts and interfaces vanish with their
 * namespaces. Nothing of the host's network, mounts or /var/lib is touched.
 *
 * A veth pair joins it to the host's network, with a route for pods and one for Services, so that a test
 * runner or a browser on the host reaches node, pod, ClusterIP and NodePort addresses directly.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StartError } from "@axonize/core/runtime/error";
import { run } from "./api.ts";
import { clusterIndexes } from "./limits.ts";
import { childOf, startTicks } from "./parts.ts";

export interface Network {
  /** Which of the parallel clusters on this machine it is. */
  readonly index: number;
  /** The host's end of the veth pair: how pods reach what listens on the host. */
  readonly hostIp: string;
  readonly nodeIp: string;
  readonly podCidr: string;
  readonly serviceCidr: string;
  readonly kubernetesServiceIp: string;
}

export interface Namespace {
  /** The first process, as the host sees it. */
  readonly pid: number;
  readonly network: Network;
}

/** Directories of the host that the node sees its own version of, below `<dir>/node`. */
const ownDirectories = ["/var/lib", "/var/log", "/run"] as const;

/**
 * Kernel settings that the kubelet insists on. They belong to the whole machine and must not change for
 * a test: the kubelet is shown files that already say what it wants.
 */
const kubeletSysctls: Record<string, string> = {
  "vm/overcommit_memory": "1",
  "vm/panic_on_oom": "0",
  "kernel/panic": "10",
  "kernel/panic_on_oops": "1",
  "kernel/keys/root_maxkeys": "1000000",
  "kernel/keys/root_maxbytes": "25000000",
};

/** Where the host finds a path of the node below /var/lib, /var/log or /run. */
export function nodePath(dir: string, path: string): string {
  return join(dir, "node", path);
}

/** The wrapper that runs a command inside. Not `ip netns exec`: that hides the cgroup mounts. */
export function enter(pid: number): string[] {
  return ["nsenter", `--target=${pid}`, "--mount", "--net", "--pid", "--"];
}

const unshare = "unshare --net --mount --pid --fork --kill-child=SIGKILL --mount-proc".split(" ");

/** Makes the namespaces and their network. They live until this process ends or `pid` is killed. */
export async function createNamespace(dir: string): Promise<Namespace> {
  const init = initScript(dir);
  const child = spawn(
    "setpriv",
    ["--pdeathsig", "KILL", "--", ...unshare, "--", "sh", "-euc", init],
    { stdio: ["ignore", "pipe", "pipe"], detached: true, cwd: "/" },
  );
  const output = await new Promise<string>((resolve, reject) => {
    let text = "";
    const collect = (chunk: Buffer): void => {
      text += chunk.toString("utf8");
      if (text.endsWith("ready\n")) resolve(text);
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.on("error", reject);
    child.on("exit", () => {
      resolve(text);
    });
  });
  const pid = child.pid === undefined ? undefined : await childOf(child.pid);
  if (!output.endsWith("ready\n") || pid === undefined) {
    throw new StartError(
      "A cluster's node runs in PID, mount and network namespaces of its own, and this machine does not " +
        `let them be made: ${output.trim()}. In a container, it takes a privileged one.`,
    );
  }
  child.unref();
  // Their ends would be held open by whatever inherited them, and they have said all they will say.
  child.stdout.destroy();
  child.stderr.destroy();
  return { pid, network: await createNetwork(pid) };
}

function initScript(dir: string): string {
  const lines = ["mount --make-rshared /"];
  for (const path of ownDirectories) {
    mkdirSync(nodePath(dir, path), { recursive: true });
    lines.push(`mount --bind ${nodePath(dir, path)} ${path}`);
  }
  const sysctls = join(dir, "sysctls");
  mkdirSync(sysctls, { recursive: true });
  for (const [name, value] of Object.entries(kubeletSysctls)) {
    if (!existsSync(join("/proc/sys", name))) continue;
    const file = join(sysctls, name.replaceAll("/", "."));
    writeFileSync(file, `${value}\n`);
    lines.push(`mount --bind ${file} /proc/sys/${name}`);
  }
  // The first process of a PID namespace inherits orphans; a shell that waits reaps them.
  lines.push("echo ready", "while :; do sleep 3600 & wait $!; done");
  return lines.join("\n");
}

async function createNetwork(pid: number): Promise<Network> {
  const used = await run("ip", ["-4", "route", "show"]);
  for (let index = 0; index < clusterIndexes; index++) {
    const network = networkOf(index);
    if (used.includes(`10.222.${index}.`)) continue;
    try {
      // The name is the lock: the kernel lets one of two clusters that start at once have it.
      const peer = ["peer", "name", "eth0", "netns", String(pid)];
      await run("ip", ["link", "add", linkName(index), "type", "veth", ...peer]);
    } catch (error) {
      if (error instanceof Error && error.message.includes("File exists")) continue;
      throw error;
    }
    await configure(pid, network);
    return network;
  }
  throw new StartError(
    `${clusterIndexes} test clusters run on this machine already; stop some first.`,
  );
}

async function configure(pid: number, network: Network): Promise<void> {
  const { index, hostIp, nodeIp, podCidr, serviceCidr } = network;
  await run("ip", ["addr", "add", `${hostIp}/30`, "dev", linkName(index)]);
  await run("ip", ["link", "set", linkName(index), "up"]);
  for (const cidr of [podCidr, serviceCidr]) await run("ip", ["route", "add", cidr, "via", nodeIp]);
  const inside = [
    "ip link set lo up",
    `ip addr add ${nodeIp}/30 dev eth0`,
    "ip link set eth0 up",
    `ip route add default via ${hostIp}`,
    "echo 1 > /proc/sys/net/ipv4/ip_forward",
  ];
  const [program = "", ...before] = enter(pid);
  await run(program, [...before, "sh", "-euc", inside.join("\n")]);
}

/** 10.222.N for the link, 10.223.N for pods, 10.224.N for Services. */
function networkOf(index: number): Network {
  return {
    index,
    hostIp: `10.222.${index}.1`,
    nodeIp: `10.222.${index}.2`,
    podCidr: `10.223.${index}.0/24`,
    serviceCidr: `10.224.${index}.0/24`,
    kubernetesServiceIp: `10.224.${index}.1`,
  };
}

function linkName(index: number): string {
  return `axk${index}`;
}

/**
 * Makes a cgroup of this name below every controller, for the kubelet to put its pods under: so that two
 * clusters and the host's own cgroups never meet.
 */
export function createCgroups(name: string): void {
  const base = "/sys/fs/cgroup";
  removeDeadCgroups(base);
  if (existsSync(join(base, "cgroup.controllers"))) {
    // Version 2: one tree. Controllers reach a child only where the parent passes them on.
    const wanted = ["cpu", "cpuset", "memory", "pids"].map((name) => `+${name}`).join(" ");
    writeFileSync(join(base, "cgroup.subtree_control"), wanted);
    mkdirSync(join(base, name), { recursive: true });
    writeFileSync(join(base, name, "cgroup.subtree_control"), wanted);
    return;
  }
  for (const controller of readdirSync(base)) {
    const dir = join(base, controller, name);
    mkdirSync(dir, { recursive: true });
    if (controller !== "cpuset") continue;
    // A new cpuset is empty, and a process cannot enter an empty one.
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      writeFileSync(join(dir, file), readFileSync(join(base, controller, file)));
    }
  }
}

/** Those of clusters whose owner and whose guard both died, as in a machine's out-of-memory. */
function removeDeadCgroups(base: string): void {
  for (const parent of [base, ...readdirSync(base).map((entry) => join(base, entry))]) {
    if (!statSync(parent).isDirectory()) continue;
    for (const entry of readdirSync(parent)) {
      const owner = /^axonize-cluster-(\d+)-/.exec(entry)?.[1];
      if (owner === undefined || startTicks(Number(owner)) !== undefined) continue;
      // One that is just ending may still be busy; its own guard or the next start removes it.
      spawnSync("find", [join(parent, entry), "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"]);
    }
  }
}
