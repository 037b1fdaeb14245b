/**
 * `npm start` for benches: the whole product as a user starts it, on ports of its own and in a data
 * directory that is given, and what its process tree holds in memory and has used of the CPU.
 *
 * Memory is proportional set size (shared pages counted once); Linux only.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");
const readyLine = "Ctrl-C stops it";

export interface Product {
  pid: number;
  /** From the command to the banner. */
  readyMs: number;
  /** Everything that it wrote so far. */
  output(): string;
  stop(): Promise<void>;
}

export async function startProduct(
  dataDir: string,
  ports: { http?: number; otlpHttp?: number; otlpGrpc?: number } = {},
): Promise<Product> {
  const started = performance.now();
  const child = spawn("npm", ["start", "--silent"], {
    cwd: root,
    env: {
      ...process.env,
      AXONIZE_DATA_DIR: dataDir,
      AXONIZE_HTTP_LISTEN: `127.0.0.1:${ports.http ?? 0}`,
      AXONIZE_OTLP_HTTP_LISTEN: `127.0.0.1:${ports.otlpHttp ?? 0}`,
      AXONIZE_OTLP_GRPC_LISTEN: `127.0.0.1:${ports.otlpGrpc ?? 0}`,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  await new Promise<void>((resolve, reject) => {
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes(readyLine)) resolve();
    });
    child.once("exit", () => reject(new Error(`did not start:\n${output}`)));
  });
  return {
    pid: child.pid ?? 0,
    readyMs: performance.now() - started,
    output: () => output,
    stop: async () => {
      child.kill("SIGTERM");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    },
  };
}

export interface Held {
  memoryMb: number;
  /** User and system time since the process began. */
  cpuMs: number;
}

/** By kind of process: Axonize, ClickHouse engine, PostgreSQL, npm. */
export function processTree(pid: number): Record<string, Held> {
  const found: Record<string, Held> = {};
  const visit = (at: number): void => {
    try {
      const held = (found[kindOf(at)] ??= { memoryMb: 0, cpuMs: 0 });
      const pss = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${at}/smaps_rollup`, "utf8"))?.[1];
      held.memoryMb += Math.round(Number(pss) / 1024);
      held.cpuMs += cpuMsOf(at);
    } catch {
      return; // PostgreSQL's workers come and go
    }
    for (const file of globSync(`/proc/${at}/task/*/children`)) {
      for (const child of readFileSync(file, "utf8").trim().split(" ").filter(Boolean))
        visit(Number(child));
    }
  };
  if (process.platform === "linux") visit(pid);
  return found;
}

function kindOf(pid: number): string {
  const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  if (/postgres/.test(command[0] ?? "")) return "PostgreSQL";
  if (command.some((word) => word.endsWith("clickhouse/child.ts"))) return "ClickHouse engine";
  return command.some((word) => word.endsWith("scripts/start.ts")) ? "Axonize" : "npm";
}

/** The kernel counts in hundredths of a second. */
function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

export const totalMb = (tree: Readonly<Record<string, Held>>): number =>
  Object.values(tree).reduce((sum, { memoryMb }) => sum + memoryMb, 0);
