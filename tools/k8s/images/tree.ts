/**
 * Files of this tree as tar entries, in one fixed order, with modes that depend on the executable bit
 * alone: a checkout's umask is no part of an image.
 */
import { globSync, lstatSync, readdirSync, readlinkSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import type { Entry } from "./tar.ts";

export interface TreeOptions {
  /** Folder that `paths` are relative to. */
  readonly root: string;
  /** Files and folders; a folder means everything below it. */
  readonly paths: readonly string[];
  /** Whether a path is left out. */
  readonly isExcluded?: (path: string) => boolean;
  /** Folder of the image that `root` becomes: `app`. */
  readonly into: string;
}

/** Every file and link below `paths`, once, sorted. A path that does not exist is an error. */
export function treeEntries(options: TreeOptions): Entry[] {
  const found = new Map<string, Entry>();
  const visit = (path: string): void => {
    if (options.isExcluded?.(path) === true) return;
    const source = join(options.root, path);
    const stat = lstatSync(source);
    const target = posix.join(options.into, path);
    if (stat.isDirectory()) {
      for (const name of readdirSync(source)) visit(posix.join(path, name));
    } else if (stat.isSymbolicLink()) {
      found.set(target, { type: "symlink", path: target, target: readlinkSync(source) });
    } else if (stat.isFile()) {
      const content = { file: source, size: stat.size };
      found.set(target, { type: "file", path: target, mode: modeOf(stat.mode), content });
    }
  };
  for (const path of options.paths) visit(path);
  return [...found.values()];
}

export function modeOf(mode: number): number {
  return (mode & 0o111) === 0 ? 0o644 : 0o755;
}

/** Adds the folders that the entries lie in and sorts by name, so that each folder comes before what is in it. */
export function withFolders(entries: readonly Entry[]): Entry[] {
  const all = new Map(entries.map((entry) => [entry.path, entry]));
  for (const { path } of entries) {
    for (let folder = dirname(path); folder !== "."; folder = dirname(folder)) {
      if (all.has(folder)) break;
      all.set(folder, { type: "directory", path: folder, mode: 0o755 });
    }
  }
  return [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** What decides about an entry's bytes without reading them: for the key under which a layer is kept. */
export function fingerprint(entry: Entry): string {
  if (entry.type === "directory") return `${entry.path} d ${entry.mode}`;
  if (entry.type === "symlink") return `${entry.path} l ${entry.target}`;
  if (Buffer.isBuffer(entry.content)) {
    return `${entry.path} b ${entry.mode} ${entry.content.toString("base64")}`;
  }
  const { file, size } = entry.content;
  const { mtimeMs, ino } = lstatSync(file);
  return `${entry.path} f ${entry.mode} ${size} ${mtimeMs} ${ino}`;
}

/** Programs and libraries of a folder of node_modules that the loader must find libraries for. */
export function nativeFiles(root: string, folders: readonly string[]): string[] {
  return folders.flatMap((folder) =>
    globSync("**/{*.node,*.so,*.so.*,native/bin/*}", { cwd: join(root, folder) })
      .map((file) => join(root, folder, file))
      .filter((file) => lstatSync(file).isFile()),
  );
}
