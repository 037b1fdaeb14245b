/**
 * The operator as a process of its own against a control plane, as its container runs it, and what it
 * tells of itself: readiness, metrics, memory.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, readFileSync } from "node:fs";
import { join } from "node:path";
import { workloads } from "../../../images/workloads.ts";

const root = join(import.meta.dirname, "../../..");

export interface OperatorProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly logFile: string;
  /** Undefined while it does not answer. */
  metrics(): Promise<string | undefined>;
  isReady(): Promise<boolean>;
  /** Most memory it ever had, its threads included; bytes. */
  peakBytes(): number;
  stop(): Promise<void>;
}

export async function startOperatorProcess(options: {
  kubeconfigFile: string;
  postgresUrl: string;
  logFile: string;
  instance: string;
  opsPort: number;
  env?: Record<string, string>;
}): Promise<OperatorProcess> {
  const log = createWriteStream(options.logFile, { flags: "a" });
  const flags = workloads.find(({ name }) => name === "operator")?.flags ?? [];
  const child = spawn(process.execPath, [...flags, join(root, "operator/main.ts")], {
    env: {
      PATH: process.env["PATH"],
      // As the image has it.
      NODE_COMPILE_CACHE: join(root, ".cache/node"),
      KUBECONFIG: options.kubeconfigFile,
      AXONIZE_POSTGRES_URL: options.postgresUrl,
      AXONIZE_OPERATOR_NAMESPACE: "axonize-system",
      AXONIZE_AGENT_IMAGE: "axonize.io/agent:dev",
      AXONIZE_INGEST_ENDPOINT: "axonize-ingest.axonize-system.svc:4317",
      AXONIZE_INJECTION_ENDPOINT: "http://axonize-ingest.axonize-system.svc:4318",
      AXONIZE_OPERATOR_OPS_LISTEN: `127.0.0.1:${options.opsPort}`,
      AXONIZE_INSTANCE: options.instance,
      ...options.env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  const gone = once(child, "exit");
  const ask = async (path: string): Promise<Response | undefined> => {
    try {
      return await fetch(`http://127.0.0.1:${options.opsPort}${path}`);
    } catch {
      return undefined; // not listening yet, or not any more
    }
  };
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
    await gone;
  };
  return {
    child,
    logFile: options.logFile,
    metrics: async () => await (await ask("/metrics"))?.text(),
    isReady: async () => (await ask("/readyz"))?.status === 200,
    peakBytes: () => {
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
      return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Sum of a counter or gauge over the series that have all these labels. */
export function metricSum(text: string, name: string, labels: Record<string, string> = {}): number {
  let sum = 0;
  for (const line of text.split("\n")) {
    const [, found, given = "", value] = /^([\w:]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (found !== name) continue;
    const fits = Object.entries(labels).every(([key, wanted]) =>
      given.includes(`${key}="${wanted}"`),
    );
    if (fits) sum += Number(value);
  }
  return sum;
}

/** Upper edge of the bucket in which that share of a histogram's observations ends. */
export function quantileBound(
  text: string,
  name: string,
  labels: Record<string, string>,
  share: number,
  before = "",
): number {
  const edges = new Map<number, number>();
  for (const [source, sign] of [
    [text, 1],
    [before, -1],
  ] as const) {
    for (const line of source.split("\n")) {
      const [, found, given = "", value] = /^([\w:]+)\{(.*)\} (\S+)$/.exec(line) ?? [];
      if (found !== `${name}_bucket`) continue;
      const fits = Object.entries(labels).every(([k, wanted]) =>
        given.includes(`${k}="${wanted}"`),
      );
      const edge = /le="([^"]+)"/.exec(given)?.[1];
      if (!fits || edge === undefined) continue;
      const at = edge === "+Inf" ? Infinity : Number(edge);
      edges.set(at, (edges.get(at) ?? 0) + sign * Number(value));
    }
  }
  const sorted = [...edges].sort(([a], [b]) => a - b);
  const all = sorted.at(-1)?.[1] ?? 0;
  return sorted.find(([, count]) => count >= share * all)?.[0] ?? Infinity;
}
