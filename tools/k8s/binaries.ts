/**
 * The programs of a test cluster, built from Go modules: etcd, Kubernetes, Helm, CoreDNS,
 * metrics-server and kwok.
 *
 * Each folder beside this file with a go.mod is one program. A build is cached under
 * `$XDG_CACHE_HOME/axonize/k8s/<name>-<stamp>/`, where the stamp covers what went in: go.mod, go.sum,
 * main.go, the link flags and the Go version. A build goes into a folder of its own and is renamed,
 * under a lock that a dying process cannot keep. Nothing prebuilt is ever downloaded.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, statSync, utimesSync } from "node:fs";
import { mkdir, rename, rm, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { ensure } from "@axonize/core/runtime/assert";
import { StartError } from "@axonize/core/runtime/error";
import { staleBuildDays } from "./limits.ts";

/** The parts of Kubernetes: one binary that decides by the name it is called by. */
export const kubernetesParts = [
  "etcd",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kubelet",
  "kube-proxy",
  "kubectl",
] as const;

export type KubernetesPart = (typeof kubernetesParts)[number];
export type ProgramName = "kubernetes" | "helm" | "helm3" | "coredns" | "metrics-server" | "kwok";
/** What a program gives: Kubernetes gives all its parts, the others themselves. */
export type ExecutableName<P extends ProgramName> =
  | (P extends "kubernetes" ? KubernetesPart : never)
  | P;

interface Program {
  /** The package to build, as `go build` names it. */
  readonly pkg: string;
  /** The module whose version the program should say it has. */
  readonly module: string;
  /** Variables that the linker sets, given that version (with its `v`). */
  stamps(version: string): Record<string, string>;
  readonly links: readonly string[];
}

const programs: Record<ProgramName, Program> = {
  kubernetes: {
    pkg: ".",
    module: "k8s.io/kubernetes",
    // Without these /version says v0.0.0-master and a chart's kubeVersion refuses the cluster.
    stamps: (version) => ({
      ...versionStamps("k8s.io/component-base/version", version),
      ...versionStamps("k8s.io/client-go/pkg/version", version),
    }),
    links: kubernetesParts,
  },
  helm: helm("v4"),
  helm3: helm("v3"),
  coredns: { pkg: ".", module: "github.com/coredns/coredns", stamps: () => ({}), links: [] },
  "metrics-server": {
    pkg: "sigs.k8s.io/metrics-server/cmd/metrics-server",
    module: "sigs.k8s.io/metrics-server",
    stamps: (version) => ({ "k8s.io/client-go/pkg/version.gitVersion": version }),
    links: [],
  },
  kwok: {
    pkg: "sigs.k8s.io/kwok/cmd/kwok",
    module: "sigs.k8s.io/kwok",
    stamps: (version) => ({ "sigs.k8s.io/kwok/pkg/consts.Version": version.slice(1) }),
    links: [],
  },
};

export const programNames = Object.keys(programs) as ProgramName[];

export interface BuildOptions {
  /** Gets a line when a build starts, waits or ends; standard error unless given. */
  readonly say?: (line: string) => void;
  /** Where builds are kept; the user's cache folder unless given. */
  readonly cacheDir?: string;
}

/**
 * Paths of the named programs, built first where the cache has none. Rejects with a StartError that
 * says what to install when there is no Go, and with the compiler's output when a build fails.
 */
export async function ensureBinaries<const P extends ProgramName>(
  names: readonly P[],
  options: BuildOptions = {},
): Promise<Record<ExecutableName<P>, string>> {
  const paths: Record<string, string> = {};
  for (const name of names) {
    const dir = await ensureProgram(name, options);
    for (const executable of [name, ...programs[name].links])
      paths[executable] = join(dir, executable);
  }
  return paths;
}

/** The version of Kubernetes that go.mod pins, such as `v1.36.3`. */
export function kubernetesVersion(): string {
  return moduleVersion("kubernetes");
}

async function ensureProgram(name: ProgramName, options: BuildOptions): Promise<string> {
  const cacheDir = options.cacheDir ?? defaultCacheDir();
  const say = options.say ?? ((line: string) => process.stderr.write(`${line}\n`));
  const dir = join(cacheDir, `${name}-${stampOf(name)}`);
  if (existsSync(join(dir, name))) {
    touch(dir);
    return dir;
  }
  await mkdir(cacheDir, { recursive: true });
  const release = await lockBuilds(join(cacheDir, "build.lock"), () => {
    say(`Waiting for another build of the cluster's programs to end (${cacheDir}) …`);
  });
  try {
    if (!existsSync(join(dir, name))) await build(name, dir, say);
    await removeStaleBuilds(cacheDir, name);
  } finally {
    release();
  }
  return dir;
}

/** A build's age tells the clean-up whether it is still wanted. */
function touch(dir: string): void {
  try {
    utimesSync(dir, new Date(), new Date());
  } catch (error) {
    // A cache that somebody else owns serves as well; it is theirs to clean up.
    if (!["EPERM", "EACCES", "EROFS"].includes((error as NodeJS.ErrnoException).code ?? ""))
      throw error;
  }
}

async function build(name: ProgramName, dir: string, say: (line: string) => void): Promise<void> {
  const partial = `${dir}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  say(`Building ${name} ${moduleVersion(name)} (once; ${expected[name]} on two cores) …`);
  const started = performance.now();
  await runGo(
    [
      "build",
      "-p",
      "2",
      "-ldflags",
      linkFlags(name),
      "-o",
      join(partial, name),
      programs[name].pkg,
    ],
    moduleDir(name),
    name,
  );
  for (const link of programs[name].links) await symlink(name, join(partial, link));
  await rename(partial, dir);
  say(`Built ${name} in ${((performance.now() - started) / 1000).toFixed(0)} s.`);
}

/** What a person should expect to wait when nothing is cached, downloads included. Measured. */
const expected: Record<ProgramName, string> = {
  kubernetes: "about 5 minutes",
  helm: "about 2 minutes",
  helm3: "about 2 minutes",
  coredns: "about 1 minute",
  "metrics-server": "about 1 minute",
  kwok: "about 1 minute",
};

async function runGo(args: readonly string[], cwd: string, name: string): Promise<void> {
  const output: string[] = [];
  const code = await new Promise<number | null>((resolve, reject) => {
    // Niced, so that tests which run meanwhile keep their turns; and never longer than this process.
    const wrapper = ["--pdeathsig", "TERM", "--", "nice", "-n", "10"];
    const child = spawn("setpriv", [...wrapper, "go", ...args], {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...goEnvironment },
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => output.push(chunk.toString("utf8")));
    }
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code === 0) return;
  throw new StartError(
    `${name} did not build with ${goVersion()}: \`go ${args.join(" ")}\` in ${cwd} ended with ${code}.\n` +
      output.join("").split("\n").slice(-30).join("\n"),
  );
}

/** The toolchain that is there, no other: a download would make the stamp's Go version a lie. */
const goEnvironment = {
  GOTOOLCHAIN: "local",
  CGO_ENABLED: "0",
  GOFLAGS: "-trimpath -buildvcs=false",
};

let knownGoVersion: string | undefined;

/** `go1.26.8 linux/amd64`; a StartError that says how to get Go where there is none. */
function goVersion(): string {
  if (knownGoVersion !== undefined) return knownGoVersion;
  const go = spawnSync("go", ["version"], {
    encoding: "utf8",
    env: { ...process.env, GOTOOLCHAIN: "local" },
  });
  const match = /go version (go(\d+)\.(\d+)\S*) (\S+)/.exec(go.stdout ?? "");
  const [, version = "", major = "0", minor = "0", platform = ""] = match ?? [];
  if (Number(major) * 1000 + Number(minor) < 1026) {
    throw new StartError(
      `The cluster's programs are built from source and need Go 1.26.4 or newer; ${
        version === "" ? "there is no `go` on the PATH" : `\`go\` on the PATH is ${version}`
      }. Take it from https://go.dev/dl (unpack it to /usr/local and add /usr/local/go/bin to the PATH), ` +
        "or install your distribution's package where it is new enough. " +
        "About 6 GB of disk are used for the build, 3 GB of memory, and about 12 minutes on two cores, once.",
    );
  }
  knownGoVersion = `${version} ${platform}`;
  return knownGoVersion;
}

function stampOf(name: ProgramName): string {
  const hash = createHash("sha256");
  for (const file of ["go.mod", "go.sum", "main.go"]) {
    const path = join(moduleDir(name), file);
    if (existsSync(path)) hash.update(readFileSync(path));
    hash.update("\0");
  }
  hash.update(`${linkFlags(name)}\0${goVersion()}`);
  return hash.digest("hex").slice(0, 16);
}

function linkFlags(name: ProgramName): string {
  const stamps = Object.entries(programs[name].stamps(moduleVersion(name)));
  return ["-s -w", ...stamps.map(([variable, value]) => `-X ${variable}=${value}`)].join(" ");
}

function versionStamps(pkg: string, version: string): Record<string, string> {
  const [major = "", minor = ""] = version.slice(1).split(".");
  return {
    [`${pkg}.gitVersion`]: version,
    [`${pkg}.gitMajor`]: major,
    [`${pkg}.gitMinor`]: minor,
    [`${pkg}.gitTreeState`]: "clean",
    // A constant, so that the same sources give the same binary.
    [`${pkg}.buildDate`]: "1970-01-01T00:00:00Z",
  };
}

function helm(major: "v3" | "v4"): Program {
  const module = `helm.sh/helm/${major}`;
  return {
    pkg: `${module}/cmd/helm`,
    module,
    stamps: (version) => ({ [`${module}/internal/version.version`]: version }),
    links: [],
  };
}

function moduleDir(name: ProgramName): string {
  return join(import.meta.dirname, name);
}

function moduleVersion(name: ProgramName): string {
  const { module } = programs[name];
  const text = readFileSync(join(moduleDir(name), "go.mod"), "utf8");
  const match = new RegExp(
    `^(?:require|\\s)\\s*${module.replaceAll(".", "\\.")} (v\\S+)`,
    "m",
  ).exec(text);
  return ensure(match?.[1], `${name}/go.mod requires ${module}`);
}

function defaultCacheDir(): string {
  const base = process.env["XDG_CACHE_HOME"];
  return join(base === undefined || base === "" ? join(homedir(), ".cache") : base, "axonize/k8s");
}

/**
 * One build at a time on this machine. The lock is flock(1)'s, held by a child that ends when our end
 * of its input closes: however this process dies, the lock is free again.
 */
async function lockBuilds(file: string, onWait: () => void): Promise<() => void> {
  const child = spawn("flock", [file, "sh", "-c", "echo locked; exec cat"], {
    stdio: ["pipe", "pipe", "inherit"],
    // Apart from the terminal's group: Ctrl-C must not free the lock under a build that still runs.
    detached: true,
  });
  const waiting = setTimeout(onWait, 1_000);
  try {
    await new Promise<void>((resolve, reject) => {
      child.stdout.once("data", () => {
        resolve();
      });
      child.on("error", reject);
      child.on("exit", (code) => {
        reject(new Error(`flock ${file} ended with ${code}`));
      });
    });
  } finally {
    clearTimeout(waiting);
  }
  return () => {
    child.stdin.end();
  };
}

async function removeStaleBuilds(cacheDir: string, name: ProgramName): Promise<void> {
  const oldest = Date.now() - staleBuildDays * 24 * 3600 * 1000;
  for (const entry of readdirSync(cacheDir)) {
    const isOurs = new RegExp(`^${name}-[0-9a-f]{16}(\\.partial)?$`).test(entry);
    const path = join(cacheDir, entry);
    if (isOurs && statSync(path).mtimeMs < oldest) await rm(path, { recursive: true, force: true });
  }
}
