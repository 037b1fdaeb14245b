/**
 * Ingest as the cluster runs it, for tests: `main.ts` in a process of its own on free ports.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { eventually } from "./start-ingest.ts";

export interface IngestProcess extends AsyncDisposable {
  grpc: number;
  http: number;
  ops: number;
  output(): string;
  /** Status of an ops path; undefined where nobody answers. */
  status(path: string): Promise<number | undefined>;
  ready(): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  exited: Promise<unknown[]>;
}

export async function startIngestProcess(
  env: Readonly<Record<string, string>>,
): Promise<IngestProcess> {
  const [grpc, http, ops] = await Promise.all([freePort(), freePort(), freePort()]);
  const child = spawn(process.execPath, [join(import.meta.dirname, "../main.ts")], {
    env: {
      AXONIZE_OTLP_GRPC_LISTEN: `127.0.0.1:${grpc}`,
      AXONIZE_OTLP_HTTP_LISTEN: `127.0.0.1:${http}`,
      AXONIZE_INGEST_OPS_LISTEN: `127.0.0.1:${ops}`,
      ...env,
    },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const exited = once(child, "exit");
  const status = async (path: string): Promise<number | undefined> =>
    // Nobody listens before the start's end and after the stop.
    (await fetch(`http://127.0.0.1:${ops}${path}`).catch(() => undefined))?.status;
  return {
    grpc,
    http,
    ops,
    output: () => output,
    status,
    exited,
    kill: (signal) => {
      child.kill(signal);
    },
    ready: async () => {
      await eventually(async () => {
        assert.equal(child.exitCode, null, output);
        return (await status("/readyz")) === 200 ? true : undefined;
      }, 60_000);
    },
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
      await exited;
    },
  };
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  assert.ok(typeof address === "object" && address !== null);
  return address.port;
}
