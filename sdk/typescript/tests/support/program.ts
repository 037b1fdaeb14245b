/**
 * Runs a program in a process of its own, inside the package's folder so that it finds `@axonize/sdk`,
 * with an environment that has nothing of the test's OpenTelemetry or Axonize.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  /** From the start to the end. */
  tookMs: number;
}

const packageFolder = join(import.meta.dirname, "../..");

/** `flags` come before the program. `watch` is called when the process runs. */
export async function runProgram(
  program: string,
  env: NodeJS.ProcessEnv = {},
  watch: (child: ChildProcess, printed: () => string) => void = () => undefined,
  flags: readonly string[] = [],
): Promise<Ended> {
  const clean = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(AXONIZE_|OTEL_|NODE_TEST|CUDA_|NVIDIA_)/.test(name),
    ),
  );
  const began = performance.now();
  const child = spawn(process.execPath, [...flags, "--input-type=module", "--eval", program], {
    cwd: packageFolder,
    env: { ...clean, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (part: Buffer) => (stdout += part.toString()));
  child.stderr.on("data", (part: Buffer) => (stderr += part.toString()));
  watch(child, () => stdout);
  const timer = setTimeout(() => child.kill("SIGKILL"), 90_000);
  return await new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr, tookMs: performance.now() - began });
    });
  });
}
