/**
 * What the plug-in asks of the cluster, through the `kubectl` that called it: context, credentials and
 * proxies are kubectl's own business. Nothing is cached, nothing written but what a command says.
 */
import { spawn, type ChildProcess } from "node:child_process";
import * as z from "zod";

/** A failure that is told in one paragraph: what, why, what to do. */
export class PluginError extends Error {}

export interface Kubectl {
  run(args: readonly string[], input?: string): Promise<string>;
  /** undefined: there is none, or the kind is unknown to the cluster. */
  get(args: readonly string[]): Promise<unknown>;
  /** The items of a list; none where the kind is unknown. */
  list(args: readonly string[]): Promise<readonly Item[]>;
  /** A local port that leads to a Service's port, until it is closed. */
  forward(target: ForwardTarget): Promise<Forward>;
}

interface ForwardTarget {
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
}

interface Forward {
  readonly url: string;
  close(): void;
}

const Meta = z.looseObject({
  name: z.string(),
  namespace: z.string().optional(),
  uid: z.string().default(""),
  creationTimestamp: z.string().default(""),
  labels: z.record(z.string(), z.string()).default({}),
  annotations: z.record(z.string(), z.string()).default({}),
});
export const Item = z.looseObject({ metadata: Meta });
export type Item = z.infer<typeof Item>;
const List = z.object({ items: z.array(Item) });

/** Answers of `kubectl get -o json` are bounded by what a person's cluster holds; 256 MiB is not one. */
const mostBytes = 256 * 1024 * 1024;
const forwardMs = 15_000;

export function createKubectl(options: {
  readonly binary: string;
  /** `--context`, `--kubeconfig` and the like, handed on to each call. */
  readonly globals: readonly string[];
}): Kubectl {
  const start = (args: readonly string[]) =>
    spawn(options.binary, [...options.globals, ...args], { stdio: ["pipe", "pipe", "pipe"] });

  const run = async (args: readonly string[], input = ""): Promise<string> => {
    const child = start(args);
    let out = "";
    let told = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
      if (out.length > mostBytes) child.kill();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (told += text.slice(0, 10_000)));
    child.stdin.on("error", () => {
      // It did not read its input: its exit code says why.
    });
    child.stdin.end(input);
    const code = await new Promise<number>((resolve, reject) => {
      child.on("error", (cause) =>
        reject(
          new PluginError(
            `${options.binary} could not be run (${cause.message}). Install kubectl, or set KUBECTL to its path.`,
          ),
        ),
      );
      child.on("close", (exit) => resolve(exit ?? 1));
    });
    if (code !== 0) throw new PluginError(plain(told) || `kubectl ${args.join(" ")} failed.`);
    return out;
  };

  const get = async (args: readonly string[]): Promise<unknown> => {
    try {
      return JSON.parse(await run(["get", ...args, "-o", "json"])) as unknown;
    } catch (error) {
      if (error instanceof PluginError && isAbsent(error.message)) return undefined;
      throw error;
    }
  };
  return {
    run,
    get,
    list: async (args) => List.parse((await get(args)) ?? { items: [] }).items,
    forward: async (target) => await forward(start, target),
  };
}

async function forward(
  start: (args: readonly string[]) => ChildProcess,
  { namespace, service, port }: ForwardTarget,
): Promise<Forward> {
  const child = start(["-n", namespace, "port-forward", `service/${service}`, `:${port}`]);
  let told = "";
  const local = await new Promise<number>((resolve, reject) => {
    const give = (): void => {
      child.kill();
      const why = told.trim() || "no answer";
      reject(new PluginError(`No way to service ${service} in ${namespace}: ${why}`));
    };
    const timer = setTimeout(give, forwardMs);
    const listen = (text: Buffer): void => {
      told += text.toString().slice(0, 2_000);
      const [, found] = /Forwarding from 127\.0\.0\.1:(\d+)/.exec(told) ?? [];
      if (found === undefined) return;
      clearTimeout(timer);
      resolve(Number(found));
    };
    child.stdout?.on("data", listen);
    child.stderr?.on("data", listen);
    child.on("error", give);
    child.on("close", () => {
      clearTimeout(timer);
      give();
    });
  });
  return { url: `http://127.0.0.1:${local}`, close: () => void child.kill() };
}

/** kubectl's own log lines before its sentence say the same five times. */
const plain = (told: string): string =>
  told
    .split("\n")
    .filter((line) => !/^[EWI]\d{4} /.test(line))
    .join("\n")
    .trim();

const isAbsent = (message: string): boolean =>
  /\(NotFound\)|doesn't have a resource type|could not find the requested resource/.test(message);
