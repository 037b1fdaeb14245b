/**
 * Builds the images of the workloads from the working tree, without a container engine and without a
 * registry: layers of this machine's node and libraries, of node_modules, of our own files.
 *
 * The lists come from `images/workloads.ts`, as the Dockerfiles do.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { productionPackages } from "../../../images/packages.ts";
import { entrypoint, environment, environmentOf } from "../../../images/dockerfile.ts";
import {
  isExcluded,
  workloads,
  type Workload,
  type WorkloadName,
} from "../../../images/workloads.ts";
import { baseEntries } from "./base.ts";
import { imageTar, layerOf, sweepCache, type Layer } from "./oci.ts";
import type { Entry } from "./tar.ts";
import { nativeFiles, treeEntries } from "./tree.ts";

export interface BuiltImage {
  /** `axonize.io/ingest:dev` */
  readonly name: string;
  /** An OCI layout, for `ctr images import`. */
  readonly tar: string;
}

/** An image of a test or an example: files of its own over packages of node_modules. */
export interface TestImage {
  readonly name: string;
  /** Packages at the top of node_modules. */
  readonly packages: readonly string[];
  /** What lies in /app, and elsewhere. */
  readonly files: readonly Entry[];
  readonly entrypoint: readonly string[];
  readonly user: number;
}

const root = join(import.meta.dirname, "../../..");
/** The version that package.json pins, whatever node runs this. */
const node = join(root, "node_modules/node/bin/node");

export function imageName(workload: string): string {
  return `axonize.io/${workload}:dev`;
}

/** One image each, in the order asked. */
export function buildImages(names: readonly WorkloadName[]): BuiltImage[] {
  const cache = imageCache();
  sweepCache(cache, Date.now());
  return names.map((name) => {
    const workload = workloads.find((candidate) => candidate.name === name);
    if (workload === undefined) throw new Error(`images/workloads.ts has no ${name}`);
    buildWeb(workload);
    const packages = packageEntries(workload.workspaces);
    const layers = [
      baseLayer(cache, workload.programs, packages.folders),
      layerOf(cache, packages.entries),
      layerOf(cache, sourceEntries(workload)),
    ];
    const image = imageName(name);
    const tar = imageTar(cache, image, layers, {
      user: `${workload.user}:${workload.user}`,
      env: environmentOf(workload),
      entrypoint: entrypoint(workload),
      workingDir: "/app",
      ports: workload.ports,
    });
    return { name: image, tar };
  });
}

/** Our own files of a workload, as they lie in its image. */
export function sourceEntries(workload: Workload): Entry[] {
  return [
    ...treeEntries({ root, paths: workload.sources, isExcluded, into: "app" }),
    ...treeEntries({ root, paths: workload.built, into: "app" }),
  ];
}

export function buildTestImage(image: TestImage): BuiltImage {
  const cache = imageCache();
  const packages = packageEntries(image.packages);
  const layers = [
    baseLayer(cache, [], packages.folders),
    ...(packages.entries.length === 0 ? [] : [layerOf(cache, packages.entries)]),
    layerOf(cache, image.files),
  ];
  const tar = imageTar(cache, image.name, layers, {
    user: `${image.user}:${image.user}`,
    env: environment,
    entrypoint: image.entrypoint,
    workingDir: "/app",
    ports: [],
  });
  return { name: image.name, tar };
}

/** The program that holds a pod's namespaces: it sleeps until it is told to end, and reaps what it inherits. */
export function buildPause(name = "localhost/axonize-pause:1"): BuiltImage {
  const cache = imageCache();
  const hash = createHash("sha256").update(pauseSource).digest("hex");
  const folder = join(cache, `pause-${hash.slice(0, 16)}`);
  const binary = join(folder, "pause");
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true });
    const source = join(folder, "pause.c");
    writeFileSync(source, pauseSource);
    execFileSync("gcc", ["-Os", "-static", "-s", "-o", binary, source], { stdio: "inherit" });
  }
  const entries = treeEntries({ root: folder, paths: ["pause"], into: "" });
  const tar = imageTar(cache, name, [layerOf(cache, entries)], {
    user: "65535:65535",
    env: {},
    entrypoint: ["/pause"],
    workingDir: "/",
    ports: [],
  });
  return { name, tar };
}

const pauseSource = `#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int s) { (void)s; _exit(0); }
static void reap(int s) { (void)s; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) {
  signal(SIGINT, end); signal(SIGTERM, end); signal(SIGCHLD, reap);
  for (;;) pause();
}
`;

function imageCache(): string {
  const base = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  return join(base, "axonize/k8s/images");
}

function packageEntries(from: readonly string[]): {
  readonly folders: readonly string[];
  readonly entries: readonly Entry[];
} {
  const { folders, links } = productionPackages(root, from);
  const entries = treeEntries({ root, paths: folders, into: "app" });
  for (const [path, target] of links) {
    const up = "../".repeat(path.split("/").length - 1);
    entries.push({ type: "symlink", path: `app/${path}`, target: `${up}${target}` });
  }
  return { folders, entries };
}

function baseLayer(cache: string, programs: readonly string[], folders: readonly string[]): Layer {
  return layerOf(cache, baseEntries({ node, programs, natives: nativeFiles(root, folders) }));
}

function buildWeb(workload: Workload): void {
  if (workload.built.length === 0) return;
  execFileSync(node, [join(root, "scripts/build-web.ts")], { cwd: root, stdio: "inherit" });
}
