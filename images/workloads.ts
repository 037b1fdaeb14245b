/**
 * What each image holds: the one list that the Dockerfiles (`npm run generate`) and the cluster tests'
 * own image builder (`tools/k8s/images/`) both read, so that what is tested is what is shipped.
 *
 * A workload is folders of this tree without their tests, the production dependencies of a few
 * workspaces and an entry. Nothing else is in an image: no shell, no package manager.
 */

import { posix } from "node:path";

export interface Workload {
  readonly name: WorkloadName;
  /** One sentence for the head of its Dockerfile. */
  readonly purpose: string;
  /** Folders and files of the tree, less what `excluded` matches. */
  readonly sources: readonly string[];
  /** Built by `npm run build` before they are copied. */
  readonly built: readonly string[];
  /** Workspaces whose production dependencies it needs; `core` is always one. */
  readonly workspaces: readonly string[];
  readonly entry: string;
  /** Of node itself; a measurement stands beside each. */
  readonly flags?: readonly string[];
  /** Beside what all images have; a measurement stands beside each. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Programs of the base system that it starts. */
  readonly programs: readonly string[];
  readonly user: number;
  readonly ports: readonly number[];
}

export type WorkloadName = "ingest" | "dashboard" | "operator" | "agent" | "stores";

/** The account of everything that needs no right of its own; the number that distroless images use. */
export const nonRoot = 65_532;

/** In `.dockerignore`'s syntax; a folder that matches is left out with all that it holds. */
export const excluded: readonly string[] = [
  "**/*.test.ts",
  "**/*.test.tsx",
  "**/*.suite.ts",
  "**/testing",
  "**/node_modules",
  "**/*.md",
];

/** Whether a path, or a folder that it lies in, matches one of the globs. */
export function isExcluded(path: string, globs: readonly string[] = excluded): boolean {
  const parts = path.split("/");
  const folders = parts.map((_, index) => parts.slice(0, index + 1).join("/"));
  return folders.some((folder) => globs.some((glob) => posix.matchesGlob(folder, glob)));
}

const shared = ["package.json", "core"] as const;

export const workloads: readonly Workload[] = [
  {
    name: "ingest",
    purpose: "OTLP and the agents' streams in, ClickHouse out; migrates both stores at its start.",
    sources: [...shared, "ingest", "migrations"],
    built: [],
    workspaces: ["core", "ingest"],
    entry: "ingest/main.ts",
    programs: [],
    user: nonRoot,
    ports: [4317, 4318],
  },
  {
    name: "dashboard",
    purpose: "The HTTP API and the web app; migrates both stores at its start.",
    sources: [
      ...shared,
      "dashboard/package.json",
      "dashboard/api",
      "docs/openapi.json",
      "migrations",
    ],
    built: ["dashboard/web/dist"],
    workspaces: ["core", "dashboard"],
    entry: "dashboard/api/main.ts",
    programs: [],
    user: nonRoot,
    ports: [3000],
  },
  {
    name: "operator",
    purpose: "Reconciles tenants and GPU pools.",
    sources: [...shared, "operator"],
    built: [],
    workspaces: ["core", "operator"],
    entry: "operator/main.ts",
    // Caches of 9,000 objects: 420 MiB at its peak as node would have it, for a young generation of
    // 16 MiB a thread grows by what a burst leaves behind, and 217 to 231 so (test/cluster/scale.test.ts).
    flags: ["--max-semi-space-size=1", "--max-old-space-size=96"],
    programs: [],
    user: nonRoot,
    ports: [8080],
  },
  {
    name: "agent",
    // The kubelet's pod-resources folder is closed to all but root, and so are other users'
    // /proc/<pid>/environ and /proc/<pid>/fd, from which the devices of a process are read.
    purpose:
      "Reads the GPUs of one node. Runs as root: the kubelet's pod-resources socket and other users' /proc entries are closed to everybody else.",
    sources: [...shared, "agent"],
    built: [],
    workspaces: ["core", "agent"],
    entry: "agent/main.ts",
    // 146 → 137 MB beside a kubelet that restarts all the time, at the same CPU.
    flags: ["--max-semi-space-size=2"],
    environment: {
      // glibc keeps an arena a thread and gives little back: with an empty cache of compiled code, as
      // in a pod's first life, the agent was 159 MB resident on 8 GPUs × 7 slices, and is 142 so.
      MALLOC_ARENA_MAX: "2",
      MALLOC_TRIM_THRESHOLD_: "131072",
    },
    programs: [],
    user: 0,
    ports: [9400],
  },
  {
    name: "stores",
    purpose: "The embedded ClickHouse and PostgreSQL behind their own wire protocols, for a trial.",
    sources: [
      ...shared,
      "standalone/package.json",
      "standalone/data-dir.ts",
      "standalone/clickhouse",
      "standalone/postgres",
      "standalone/stores",
    ],
    built: [],
    workspaces: ["core", "standalone"],
    entry: "standalone/stores/main.ts",
    // initdb and postgres start programs through a shell; setpriv ends a server with its parent; the
    // embedded ClickHouse takes its input through FIFOs, which node cannot make.
    programs: ["/bin/sh", "/usr/bin/setpriv", "/usr/bin/mkfifo"],
    user: nonRoot,
    ports: [8123, 5432],
  },
];
