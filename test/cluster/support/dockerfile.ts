/**
 * Runs one of our Dockerfiles without a container engine: COPY copies, RUN runs on this machine with the
 * stage's folder in place of `/`. It knows the instructions that `images/dockerfile.ts` writes and refuses
 * others. What it cannot show is the base image: libraries and node are this machine's.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, posix, relative } from "node:path";
import { isExcluded } from "../../../images/workloads.ts";

export interface Ran extends Disposable {
  readonly root: string;
  readonly entrypoint: readonly string[];
  readonly user: string;
  readonly env: readonly string[];
}

interface Stage {
  readonly folder: string;
  workdir: string;
}

export function runDockerfile(tree: string, path: string): Ran {
  const home = mkdtempSync(join(tmpdir(), "axonize-dockerfile-"));
  try {
    return runInstructions(home, tree, path);
  } catch (error) {
    rmSync(home, { recursive: true, force: true });
    throw error;
  }
}

function runInstructions(home: string, tree: string, path: string): Ran {
  const ignored = readFileSync(join(tree, ".dockerignore"), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  const stages = new Map<string, Stage>();
  const said = { entrypoint: [] as string[], user: "", env: [] as string[] };
  let stage: Stage | undefined;
  const current = (): Stage => {
    if (stage === undefined) throw new Error("an instruction before FROM");
    return stage;
  };
  for (const [instruction, rest] of instructionsOf(readFileSync(join(tree, path), "utf8"))) {
    if (instruction === "ARG") continue;
    if (instruction === "FROM") stage = openStage(home, stages, rest);
    else if (instruction === "WORKDIR") current().workdir = rest;
    else if (instruction === "COPY") copy({ tree, stages, stage: current(), ignored }, rest);
    else if (instruction === "RUN") run(tree, current(), rest);
    else if (instruction === "ENV") said.env.push(rest);
    else if (instruction === "USER") said.user = rest;
    // Safe: JSON of strings, as the exec form has it.
    else if (instruction === "ENTRYPOINT") said.entrypoint = JSON.parse(rest) as string[];
    else if (instruction !== "EXPOSE") throw new Error(`${path}: ${instruction} is not known here`);
  }
  return {
    root: current().folder,
    ...said,
    [Symbol.dispose]: () => rmSync(home, { recursive: true, force: true }),
  };
}

function instructionsOf(text: string): [string, string][] {
  return text
    .replaceAll(/\\\n/g, "")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const at = line.indexOf(" ");
      return [line.slice(0, at), line.slice(at + 1).trim()];
    });
}

/** `FROM x AS y`: of an earlier stage it is a copy, of anything else an empty folder. */
function openStage(home: string, stages: Map<string, Stage>, rest: string): Stage {
  const [from = "", , name = "last"] = rest.split(" ");
  const stage: Stage = { folder: join(home, name), workdir: "/" };
  const parent = stages.get(from);
  mkdirSync(join(stage.folder, "tmp"), { recursive: true });
  if (parent !== undefined) {
    cpSync(parent.folder, stage.folder, { recursive: true, verbatimSymlinks: true });
    stage.workdir = parent.workdir;
  }
  stages.set(name, stage);
  return stage;
}

function copy(
  at: { tree: string; stages: Map<string, Stage>; stage: Stage; ignored: readonly string[] },
  rest: string,
): void {
  const words = rest.split(" ");
  const from = words[0]?.startsWith("--from=") ? words.shift()?.slice("--from=".length) : undefined;
  const base = from === undefined ? at.tree : at.stages.get(from)?.folder;
  if (base === undefined) throw new Error(`COPY --from=${from ?? ""}: no such stage`);
  const target = words.pop() ?? "";
  const into = join(at.stage.folder, posix.resolve(at.stage.workdir, target));
  for (const source of words) {
    const whole = source === "." || source.endsWith("/");
    const name = target.endsWith("/") && !whole ? posix.basename(source) : "";
    mkdirSync(dirname(join(into, name)), { recursive: true });
    cpSync(join(base, source), join(into, name), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (file) => from !== undefined || !isExcluded(relative(at.tree, file), at.ignored),
    });
  }
}

/** Absolute paths of the stage become those of its folder; the build argument is its default. */
function run(tree: string, stage: Stage, command: string): void {
  if (command === "npm ci") {
    // All packages, to build the web app with: they are installed already where this runs.
    symlinkSync(join(tree, "node_modules"), join(stage.folder, stage.workdir, "node_modules"));
    return;
  }
  // The machine's own node last: the tree may lie in /tmp.
  const placed = command
    .replaceAll("${SOURCE_DATE_EPOCH}", "0")
    .replaceAll(/(?<=[\s">])\/(out|tmp)(?=[/\s"])/g, `${stage.folder}/$1`)
    .replaceAll("/usr/local/bin/node", process.execPath);
  const ran = spawnSync("sh", ["-c", placed], {
    cwd: join(stage.folder, stage.workdir),
    encoding: "utf8",
  });
  if (ran.status !== 0) {
    throw new Error(`RUN ${command.slice(0, 200)} ended with ${ran.status}:\n${ran.stderr}`);
  }
}
