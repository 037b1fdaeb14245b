/**
 * The lowest layer of an image, from this machine: node, the few programs that a workload starts, the
 * shared libraries that `ldd` finds for them and for the workload's own native files, and the four files
 * that a libc wants. The Dockerfiles do the same in a stage of theirs (`images/dockerfile.ts`).
 *
 * Node carries its own list of certificate authorities, so there is none here.
 */
import { execFileSync } from "node:child_process";
import { realpathSync, statSync } from "node:fs";
import { modeOf } from "./tree.ts";
import type { Entry } from "./tar.ts";
import { accounts } from "../../../images/accounts.ts";

export interface BaseOptions {
  /** The node binary that becomes /usr/local/bin/node. */
  readonly node: string;
  readonly programs: readonly string[];
  /** Libraries and addons outside of this layer whose needs it must meet. */
  readonly natives: readonly string[];
}

export function baseEntries(options: BaseOptions): Entry[] {
  const libraries = new Set(
    [options.node, ...options.programs, ...options.natives].flatMap((file) => librariesOf(file)),
  );
  return [
    fileEntry("usr/local/bin/node", options.node),
    ...options.programs.map((path) => fileEntry(path.slice(1), path)),
    ...[...libraries].map((path) => fileEntry(path.slice(1), path)),
    ...accounts.map(({ path, text }): Entry => ({
      type: "file",
      path,
      mode: 0o644,
      content: Buffer.from(text),
    })),
    { type: "directory", path: "app", mode: 0o755 },
    { type: "directory", path: "tmp", mode: 0o1777 },
  ];
}

function fileEntry(path: string, source: string): Entry {
  const file = realpathSync(source);
  const { size, mode } = statSync(file);
  return { type: "file", path, mode: modeOf(mode), content: { file, size } };
}

/** Libraries of the system that the loader would open for this file; those beside it come with it. */
export function librariesOf(file: string): string[] {
  let listed: string;
  try {
    listed = execFileSync("ldd", [file], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    // Safe: execFileSync throws this. A static program and a script need nothing.
    const { stderr } = error as { stderr?: string };
    if (/not a dynamic executable/.test(stderr ?? "")) return [];
    throw error;
  }
  return [...listed.matchAll(/\s(\/(?:usr\/)?lib(?:64)?\/\S+)/g)].map((match) => match[1] ?? "");
}
