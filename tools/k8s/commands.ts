/**
 * The commands behind `npm run cluster`: a cluster that outlives the command which started it.
 *
 * `up` starts an owner, a process in the background that keeps the cluster until `down`, and writes down
 * where it is in the state directory: `owner.json`, the owner's log, a kubeconfig, and `bin/` with
 * kubectl and helm.
 */
import { spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { errorMessage, StartError } from "@axonize/core/runtime/error";
import { ensureClusterPackages } from "../../scripts/system-packages.ts";
import { workloads } from "../../images/workloads.ts";
import { ownerArguments, type UpOptions } from "./arguments.ts";
import { ensureBinaries, programNames } from "./binaries.ts";
import { attachCluster, startCluster, type Cluster } from "./cluster.ts";
import { addFakeGpus } from "./gpus/fake-gpus.ts";
import { buildImages } from "./images/build.ts";
import { buildExampleChat } from "./images/example-chat.ts";
import { stopTimeoutMs } from "./limits.ts";
import { startTicks, until } from "./parts.ts";
import { requirePrivileges } from "./requirements.ts";

export interface CommandDeps {
  readonly stateDir: string;
  /** Progress, for the person. */
  readonly say: (line: string) => void;
  /** What was asked for. */
  readonly print: (text: string) => void;
}

export interface Commands {
  up(options: UpOptions): Promise<number>;
  down(): Promise<number>;
  status(): Promise<number>;
  pass(program: "kubectl" | "helm", args: readonly string[]): Promise<number>;
  build(): Promise<number>;
  /** The owner: started by `up`, not by a person. */
  own(options: UpOptions): Promise<number>;
}

/** `owner.json`. The start time tells the owner from a later process of the same number. */
interface Owner {
  readonly pid: number;
  readonly startTicks: string;
  readonly stateFile: string;
  readonly gpus: boolean;
}

/** What the owner tells `up`. */
type Message = { say: string } | { ready: string } | { failed: string };

export function createCommands(deps: CommandDeps): Commands {
  return {
    up: async (options) => await up(deps, options),
    down: async () => await down(deps),
    status: async () => await status(deps),
    pass: async (program, args) => {
      if (ownerOf(deps) === undefined) {
        throw new StartError("No test cluster is up. Start one with: npm run cluster -- up");
      }
      const child = spawn(join(deps.stateDir, "bin", program), [...args], {
        stdio: "inherit",
        env: { ...process.env, KUBECONFIG: kubeconfigOf(deps) },
      });
      return await new Promise((resolve, reject) => {
        child.on("error", reject);
        child.on("exit", (code) => {
          resolve(code ?? 1);
        });
      });
    },
    build: async () => {
      await ensureBinaries(programNames, { say: deps.say });
      return 0;
    },
    own,
  };
}

function ownerFileOf({ stateDir }: CommandDeps): string {
  return join(stateDir, "owner.json");
}

function kubeconfigOf({ stateDir }: CommandDeps): string {
  return join(stateDir, "kubeconfig");
}

/** The owner that runs; undefined also where a dead one left its file. */
function ownerOf(deps: CommandDeps): Owner | undefined {
  const file = ownerFileOf(deps);
  if (!existsSync(file)) return undefined;
  const found = JSON.parse(readFileSync(file, "utf8")) as Owner;
  return startTicks(found.pid) === found.startTicks ? found : undefined;
}

function printHints(deps: CommandDeps): void {
  const bin = join(deps.stateDir, "bin");
  deps.print(`export KUBECONFIG=${kubeconfigOf(deps)}\nexport PATH=${bin}:$PATH\n`);
}

async function up(deps: CommandDeps, options: UpOptions): Promise<number> {
  const { stateDir, say } = deps;
  const running = ownerOf(deps);
  if (running !== undefined) {
    if (options.gpus && !running.gpus) {
      throw new StartError(
        "A test cluster without GPUs is up. Stop it first with: npm run cluster -- down",
      );
    }
    say("A test cluster is up already.");
    printHints(deps);
    return 0;
  }
  requirePrivileges();
  ensureClusterPackages();
  const names = ["kubernetes", "coredns", "metrics-server", "helm"] as const;
  const paths = await ensureBinaries(options.kwok ? [...names, "kwok"] : names, { say });
  mkdirSync(join(stateDir, "bin"), { recursive: true });
  for (const name of ["kubectl", "helm"] as const) {
    rmSync(join(stateDir, "bin", name), { force: true });
    symlinkSync(paths[name], join(stateDir, "bin", name));
  }
  const started = await startOwner(deps, options);
  writeFileSync(ownerFileOf(deps), JSON.stringify(started));
  const cluster = attachCluster(started.stateFile);
  writeFileSync(kubeconfigOf(deps), readFileSync(cluster.kubeconfigFile), { mode: 0o600 });
  if (options.images) await importImages(cluster, say);
  if (options.images && options.gpus) {
    say("Building and importing the image of the example application …");
    await cluster.importImage(buildExampleChat().tar);
  }
  say(`The cluster is up; its node is ${cluster.nodeIp}. Stop it with: npm run cluster -- down`);
  printHints(deps);
  return 0;
}

async function down(deps: CommandDeps): Promise<number> {
  const running = ownerOf(deps);
  if (running === undefined) {
    deps.say("No test cluster is up.");
  } else {
    process.kill(running.pid, "SIGTERM");
    await until(
      () => startTicks(running.pid) !== running.startTicks,
      stopTimeoutMs,
      `the cluster's owner (process ${running.pid}) to end; see ${deps.stateDir}/owner.log`,
    );
    if (existsSync(running.stateFile)) {
      throw new StartError(
        `The cluster's owner ended but its files are still there; see ${deps.stateDir}/owner.log.`,
      );
    }
    deps.say("The cluster is gone.");
  }
  for (const file of [ownerFileOf(deps), kubeconfigOf(deps)]) rmSync(file, { force: true });
  return 0;
}

async function status(deps: CommandDeps): Promise<number> {
  const running = ownerOf(deps);
  if (running === undefined) {
    deps.print("No test cluster is up.\n");
    return 1;
  }
  const cluster = attachCluster(running.stateFile);
  deps.print(`Owner: process ${running.pid}. Files and logs: ${cluster.dir}\n`);
  // By command line: the names of their threads tell none of the services of Node from another.
  const shown = ["rss=RSS/KiB", "etime=ELAPSED", "args=COMMAND"].flatMap((column) => [
    "-o",
    column,
  ]);
  deps.print(await cluster.run("ps", "-e", "--cols", "120", "--sort=-rss", ...shown));
  deps.print(await cluster.kubectl("get", "nodes", "-o", "wide"));
  deps.print(await cluster.kubectl("get", "pods", "-A", "-o", "wide"));
  printHints(deps);
  return 0;
}

async function startOwner(deps: CommandDeps, options: UpOptions): Promise<Owner> {
  const logFile = join(deps.stateDir, "owner.log");
  const log = openSync(logFile, "w");
  const main = join(import.meta.dirname, "main.ts");
  const child = spawn(process.execPath, [main, "own", ...ownerArguments(options)], {
    stdio: ["ignore", log, log, "ipc"],
    detached: true,
  });
  closeSync(log);
  const stateFile = await new Promise<string>((resolve, reject) => {
    child.on("message", (message) => {
      // Safe: the other end is `own` below.
      const told = message as Message;
      if ("say" in told) deps.say(told.say);
      else if ("ready" in told) resolve(told.ready);
      else reject(new StartError(told.failed));
    });
    child.on("error", reject);
    child.on("exit", (code) => {
      reject(new StartError(`The cluster's owner ended with ${code}; see ${logFile}.`));
    });
  });
  child.disconnect();
  child.unref();
  const pid = child.pid ?? 0;
  return { pid, startTicks: startTicks(pid) ?? "", stateFile, gpus: options.gpus };
}

/** Keeps a cluster until it is told to stop. */
async function own(options: UpOptions): Promise<number> {
  const tell = (message: Message): void => {
    if (process.connected) process.send?.(message);
    // Nobody listens any more; the log is what a person is pointed to.
    else process.stderr.write(`${JSON.stringify(message)}\n`);
  };
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      stop.abort();
    });
  }
  try {
    await using cluster = await startCluster({
      metricsServer: true,
      kwok: options.kwok,
      say: (line) => {
        tell({ say: line });
      },
    });
    // Given back before the cluster, which is what the order of these two declarations says.
    await using gpus = options.gpus ? await addFakeGpus(cluster) : undefined;
    if (gpus !== undefined) tell({ say: "The node has GPUs that are made up." });
    tell({ ready: cluster.stateFile });
    await new Promise<void>((resolve) => {
      // A timer keeps this process alive: all else that it waits for is unreferenced.
      const alive = setTimeout(() => undefined, 2 ** 31 - 1);
      const end = (): void => {
        clearTimeout(alive);
        resolve();
      };
      if (stop.signal.aborted) end();
      else stop.signal.addEventListener("abort", end, { once: true });
    });
  } catch (error) {
    tell({ failed: errorMessage(error) });
    return 1;
  }
  return 0;
}

/** The images of the working tree, under the tag that the chart asks for by default too. */
async function importImages(cluster: Cluster, say: (line: string) => void): Promise<void> {
  const chart = readFileSync(join(import.meta.dirname, "../../charts/axonize/Chart.yaml"), "utf8");
  const version = /^appVersion:\s*"?([^"\s]+)"?/m.exec(chart)?.[1];
  for (const { name } of workloads) {
    say(`Building and importing the image of ${name} …`);
    for (const image of buildImages([name])) {
      await cluster.importImage(image.tar);
      if (version !== undefined) {
        await cluster.tagImage(image.name, image.name.replace(/:.*$/, `:${version}`));
      }
    }
  }
}
