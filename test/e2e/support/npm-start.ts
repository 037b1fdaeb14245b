/**
 * `npm start` as a user runs it: in a terminal's process group, with its data in a folder of the
 * test's, on free ports, its addresses read from the banner.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";

const root = join(import.meta.dirname, "../../..");

export interface Started {
  /** Base of the dashboard and its API. */
  api: string;
  otlpHttp: string;
  /** host:port */
  otlpGrpc: string;
  /** Everything that was printed so far. */
  printed(): string;
  readyMs: number;
  /** Ctrl-C. Resolves with exit code and how long it took. */
  interrupt(): Promise<{ code: number | null; tookMs: number }>;
}

/** From an empty cache this builds the web app first. */
const startLimitMs = 120_000;

export async function npmStart(
  dataDir: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<Started> {
  const begun = performance.now();
  const child = spawn("npm", ["start"], {
    cwd: root,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      NO_COLOR: "1",
      AXONIZE_DATA_DIR: dataDir,
      AXONIZE_HTTP_LISTEN: "127.0.0.1:0",
      AXONIZE_OTLP_HTTP_LISTEN: "127.0.0.1:0",
      AXONIZE_OTLP_GRPC_LISTEN: "127.0.0.1:0",
      ...environment,
    },
  });
  let text = "";
  const collect = (chunk: Buffer): void => {
    text += chunk.toString();
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  await ready(child, () => text);
  const readyMs = performance.now() - begun;
  const find = (pattern: RegExp): string => {
    const found = pattern.exec(text)?.[1];
    if (found === undefined) throw new Error(`the banner names no ${pattern.source}:\n${text}`);
    return found.replace("localhost", "127.0.0.1");
  };
  return {
    api: find(/^\s*Dashboard\s+(http:\/\/\S+)/m),
    otlpHttp: find(/^\s*OTLP HTTP\s+(http:\/\/\S+)/m),
    otlpGrpc: find(/^\s*OTLP gRPC\s+(\S+)/m),
    printed: () => text,
    readyMs,
    interrupt: async () => await interrupt(child),
  };
}

async function ready(child: ChildProcess, text: () => string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const fail = (why: string): void => {
      signalGroup(child, "SIGKILL");
      reject(new Error(`npm start ${why}:\n${text()}`));
    };
    const timer = setTimeout(() => fail(`was not ready in ${startLimitMs} ms`), startLimitMs);
    child.once("error", reject);
    child.once("exit", (code) => fail(`ended with ${code}`));
    child.stdout?.on("data", () => {
      if (!text().includes("Ctrl-C")) return;
      clearTimeout(timer);
      child.removeAllListeners("exit");
      resolve();
    });
  });
}

async function interrupt(child: ChildProcess): Promise<{ code: number | null; tookMs: number }> {
  if (child.exitCode !== null) return { code: child.exitCode, tookMs: 0 };
  const begun = performance.now();
  const code = await new Promise<number | null>((resolve) => {
    child.once("close", resolve);
    signalGroup(child, "SIGINT");
    setTimeout(() => signalGroup(child, "SIGKILL"), 15_000).unref();
  });
  return { code, tookMs: performance.now() - begun };
}

/** A terminal sends its signals to everything in the foreground group. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
