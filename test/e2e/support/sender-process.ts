/**
 * A process of its own that sends calls by the real OpenTelemetry SDK whenever it is told to: one line of
 * JSON in, one out. Its pid is what a driver and a /proc know it by.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { sendWithNode, type NodeProtocol, type SentCall } from "./send-spans.ts";

export interface Order {
  readonly protocol: NodeProtocol;
  readonly endpoint: string;
  readonly service: string;
  readonly attributes: Readonly<Record<string, string | string[]>>;
  /** What its calls say of their devices: `cuda:N`. */
  readonly ordinals?: readonly number[];
}

export interface Sender extends AsyncDisposable {
  readonly pid: number;
  /** A process that it started, which ends with it. */
  readonly workerPid: number;
  send(order: Order): Promise<SentCall[]>;
}

export async function startSender(): Promise<Sender> {
  const child = spawn(process.execPath, [import.meta.filename, "child"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(child, "spawn");
  const { pid } = child;
  if (pid === undefined) throw new Error("the sender has no pid");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done) throw new Error("the sender ended without an answer");
    return JSON.parse(value);
  };
  return {
    pid,
    workerPid: Number(await next()),
    async send(order) {
      child.stdin.write(`${JSON.stringify(order)}\n`);
      return (await next()) as SentCall[]; // what the child below prints
    },
    [Symbol.asyncDispose]: async () => await end(child),
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, "close");
  child.kill("SIGKILL");
  await closed;
}

if (process.argv[2] === "child") {
  // Its standard input ends with us, however we end.
  const worker = spawn(process.execPath, ["-e", "process.stdin.resume()"], {
    stdio: ["pipe", "ignore", "ignore"],
  });
  process.stdout.write(`${worker.pid}\n`);
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line) as Order; // what send() writes
    const { protocol, endpoint, service, attributes, ordinals } = order;
    const sent = await sendWithNode(protocol, endpoint, service, attributes, ordinals);
    process.stdout.write(`${JSON.stringify(sent)}\n`);
  }
}
