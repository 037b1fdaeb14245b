/**
 * The whole agent as a process of its own against the false driver: CPU and memory from /proc, the lateness
 * of its ticks from its own metrics page. There is no ingest: batches go to the spool on disk.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { workloads } from "../../images/workloads.ts";

export interface Whole {
  /** Of one core. */
  readonly cpuPercent: number;
  readonly rssMb: number;
  readonly samplesPerSecond: number;
  /** Upper bound of the histogram's bucket that holds the 99th of a hundred ticks. */
  readonly lateP99Ms: number;
  /** The same of a timer in a process that does nothing else, in the same seconds: what the machine adds. */
  readonly bareP99Ms: number;
  readonly ticks: number;
  readonly missedTicks: number;
  readonly periodsMs: Readonly<Record<string, number>>;
}

const image = workloads.find(({ name }) => name === "agent");
const main = join(import.meta.dirname, "../../agent/main.ts");
/** Compilation and the first enumeration are no part of a life of weeks. */
const warmUpMs = 15_000;
/** Linux's USER_HZ. */
const ticksPerSecond = 100;

/** `socketPath` is a kubelet's, and may have none behind it. */
export async function measureWhole(
  libraryPath: string,
  measureMs: number,
  socketPath: string,
): Promise<Whole> {
  return await live({ libraryPath, socketPath }, async (pid, port) => {
    return await measure(pid, port, measureMs);
  });
}

/** One life of the agent, at most as long as `during` takes. */
async function live<T>(
  { libraryPath, socketPath }: { libraryPath: string; socketPath: string },
  during: (pid: number, port: number) => Promise<T>,
): Promise<T> {
  const state = mkdtempSync(join(tmpdir(), "axonize-bench-"));
  const child = spawn(process.execPath, [...(image?.flags ?? []), main], {
    env: {
      ...process.env,
      // As in the image in a pod's first life: its cache of compiled code is empty.
      ...image?.environment,
      NODE_COMPILE_CACHE: join(state, "compile-cache"),
      AXONIZE_NVML_LIBRARY: libraryPath,
      AXONIZE_AGENT_STATE_DIR: state,
      AXONIZE_AGENT_METRICS_LISTEN: "127.0.0.1:0",
      AXONIZE_INGEST_ENDPOINT: "127.0.0.1:9",
      AXONIZE_POD_RESOURCES_SOCKET: socketPath,
      AXONIZE_LOG_LEVEL: "info",
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    return await during(child.pid ?? 0, await portOf(child.stdout));
  } finally {
    child.kill("SIGTERM");
    await new Promise((resolve) => child.once("exit", resolve));
    rmSync(state, { recursive: true });
  }
}

async function measure(pid: number, port: number, measureMs: number): Promise<Whole> {
  await sleep(warmUpMs);
  const before = await look(pid, port);
  const bareP99Ms = await bareTimer(measureMs);
  const after = await look(pid, port);
  const seconds = (after.atMs - before.atMs) / 1000;
  const counts = after.late.map(({ le, count }, at) => ({
    le,
    count: count - (before.late[at]?.count ?? 0),
  }));
  const ticks = counts.at(-1)?.count ?? 0;
  const p99 = counts.find(({ count }) => count >= ticks * 0.99);
  return {
    cpuPercent: ((after.cpuTicks - before.cpuTicks) / ticksPerSecond / seconds) * 100,
    rssMb: after.rssMb,
    samplesPerSecond: (after.samples - before.samples) / seconds,
    lateP99Ms: (p99?.le ?? Number.NaN) * 1000,
    bareP99Ms,
    ticks,
    missedTicks: after.missed - before.missed,
    periodsMs: after.periodsMs,
  };
}

function portOf(stdout: NodeJS.ReadableStream): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = "";
    const late = setTimeout(() => reject(new Error(`the agent did not start:\n${text}`)), 60_000);
    stdout.on("data", (chunk) => {
      text += String(chunk);
      const port = /"metricsPort":(\d+)/.exec(text)?.[1];
      if (port === undefined) return;
      clearTimeout(late);
      resolve(Number(port));
    });
  });
}

async function look(pid: number, port: number) {
  const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const value = (name: string): number =>
    Number(new RegExp(`^${name} (\\S+)$`, "m").exec(page)?.[1] ?? Number.NaN);
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  const rss = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return {
    atMs: performance.now(),
    // utime and stime, fields 14 and 15 of proc(5).
    cpuTicks: Number(stat[11]) + Number(stat[12]),
    rssMb: (Number(rss) * 1024) / 1e6,
    samples: value("axonize_agent_samples_total"),
    missed: value("axonize_agent_missed_ticks_total"),
    late: [
      ...page.matchAll(/^axonize_agent_tick_late_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm),
    ].map(([, le, count]) => ({
      le: Number(le?.replace("+Inf", "Infinity")),
      count: Number(count),
    })),
    periodsMs: Object.fromEntries(
      [...page.matchAll(/^axonize_agent_period_seconds\{tick="(\w+)"\} (\S+)$/gm)].map(
        ([, tick, seconds]) => [tick ?? "", Number(seconds) * 1000],
      ),
    ),
  };
}

async function bareTimer(forMs: number): Promise<number> {
  const late: number[] = [];
  const startMs = performance.now();
  for (let plannedMs = startMs + 100; plannedMs < startMs + forMs; plannedMs += 100) {
    await sleep(Math.max(0, plannedMs - performance.now()));
    late.push(Math.max(0, performance.now() - plannedMs));
  }
  return late.sort((a, b) => a - b)[Math.floor(late.length * 0.99)] ?? Number.NaN;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
