/**
 * Which folders of node_modules are the production dependencies of some workspaces, read from
 * package-lock.json by Node's own rule of look-up. `npm ci --omit=dev --workspace …` installs more: what
 * another workspace has as a production dependency, and optional peers.
 *
 * As a program it prints the paths, for the Dockerfiles: `node packages.ts <tree> <workspace> …`.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";

interface LockedPackage {
  readonly dependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
  readonly peerDependenciesMeta?: Record<string, { optional?: boolean }>;
  readonly link?: boolean;
  readonly resolved?: string;
}

export interface Installed {
  /** `node_modules/zod`, …: sorted, none inside another one. */
  readonly folders: readonly string[];
  /** `node_modules/@axonize/core` → `core`. */
  readonly links: ReadonlyMap<string, string>;
}

/** `from`: folders of workspaces, or names of packages at the top of node_modules. */
export function productionPackages(root: string, from: readonly string[]): Installed {
  // Safe: npm wrote it.
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, LockedPackage>;
  };
  const links = new Map<string, string>();
  const folders = new Set<string>();
  const visit = (path: string): void => {
    const found = lock.packages[path];
    if (found === undefined || folders.has(path)) return;
    if (path.includes("node_modules/")) {
      // Left out by npm on this platform (an optional dependency of another one).
      if (!existsSync(join(root, path))) return;
      folders.add(path);
    }
    for (const name of wantedBy(found)) {
      const at = lookUp(lock.packages, path, name);
      if (at !== undefined) visit(at);
    }
  };
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (entry.link === true && entry.resolved !== undefined && from.includes(entry.resolved)) {
      links.set(path, entry.resolved);
    }
  }
  for (const start of from) {
    const path = start in lock.packages ? start : `node_modules/${start}`;
    if (!(path in lock.packages)) throw new Error(`package-lock.json does not know ${start}`);
    visit(path);
  }
  const sorted = [...folders].sort();
  return { folders: sorted, links };
}

function wantedBy(found: LockedPackage): string[] {
  const peers = Object.keys(found.peerDependencies ?? {}).filter(
    (name) => found.peerDependenciesMeta?.[name]?.optional !== true,
  );
  return [
    ...Object.keys(found.dependencies ?? {}),
    ...Object.keys(found.optionalDependencies ?? {}),
    ...peers,
  ];
}

/** The nearest `node_modules/<name>` from `path` upwards. */
function lookUp(
  packages: Record<string, LockedPackage>,
  path: string,
  name: string,
): string | undefined {
  for (let at = path; ; at = posix.dirname(at)) {
    const candidate = posix.join(at, "node_modules", name);
    if (candidate in packages) return candidate;
    if (at === "" || at === ".") return undefined;
  }
}

if (import.meta.main) {
  const [root = ".", ...workspaces] = process.argv.slice(2);
  const { folders, links } = productionPackages(root, workspaces);
  process.stdout.write(`${[...folders, ...links.keys()].join("\n")}\n`);
}
