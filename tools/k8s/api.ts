/**
 * What a test asks of a cluster's API beside kubectl: readiness, tokens, the audit log, etcd's
 * compaction. One small HTTPS request function; it is no client for controllers.
 */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { join } from "node:path";
import { ensure } from "@axonize/core/runtime/assert";
import { kubectlOutputBytes, requestTimeoutMs } from "./limits.ts";

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** One event of the apiserver's audit log, as far as tests look at it. */
export interface AuditEvent {
  readonly auditID: string;
  readonly stage: string;
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string; readonly groups?: readonly string[] };
  readonly userAgent?: string;
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly apiVersion?: string;
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code: number; readonly reason?: string };
  /** RFC 3339 with microseconds. */
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ApiOptions {
  readonly dir: string;
  readonly url: string;
  readonly kubeconfigFile: string;
  readonly kubectlPath: string;
  readonly etcdUrl: string;
  readonly auditFile: string;
}

export interface ClusterApi {
  readonly url: string;
  /** The authority that signed the apiserver's certificate. */
  readonly caFile: string;
  /** The admin's kubeconfig. */
  readonly kubeconfigFile: string;
  /** Any request as admin, such as `request("GET", "/version")`. */
  request(method: string, path: string, body?: unknown): Promise<Answer>;
  /** Whether the apiserver's own checks pass and the namespace that it makes at its start is there. */
  isReady(): Promise<boolean>;
  /** A token of a ServiceAccount that exists, by the TokenRequest API; good for an hour. */
  tokenFor(namespace: string, serviceAccount: string): Promise<string>;
  /** Runs kubectl as admin; its standard output. Rejects with what it wrote to standard error. */
  kubectl(...args: readonly string[]): Promise<string>;
  /** Server-side apply of objects, or of YAML text. */
  apply(manifest: string | readonly object[]): Promise<string>;
  /** All audit events so far, oldest first. */
  auditEvents(): AuditEvent[];
  /**
   * Makes etcd forget all revisions before now. A running apiserver still answers for them from its
   * watch cache: only after a restart is an old resourceVersion 410 Gone.
   */
  compactEtcd(): Promise<void>;
}

export function createApi(options: ApiOptions): ClusterApi {
  const { dir, url } = options;
  const config = readKubeconfig(options.kubeconfigFile);
  const request = async (method: string, path: string, body?: unknown): Promise<Answer> =>
    await send(`${url}${path}`, method, body, config);
  const etcd = async (path: string, body: unknown): Promise<Record<string, unknown>> => {
    const answer = await send(`${options.etcdUrl}${path}`, "POST", body);
    if (answer.status !== 200) throw new Error(`etcd ${path}: ${answer.status} ${answer.body}`);
    return JSON.parse(answer.body) as Record<string, unknown>;
  };
  const kubectl = async (args: readonly string[], input?: string): Promise<string> =>
    await run(options.kubectlPath, args, {
      ...(input === undefined ? {} : { input }),
      env: {
        PATH: process.env["PATH"],
        HOME: dir,
        KUBECONFIG: options.kubeconfigFile,
        // By cluster, because discovery is cached by address and addresses come again.
        KUBECACHEDIR: join(dir, "kubectl-cache"),
      },
    });
  return {
    url,
    caFile: join(dir, "pki/ca.crt"),
    kubeconfigFile: options.kubeconfigFile,
    request,
    isReady: async () => {
      try {
        const paths = ["/readyz", "/api/v1/namespaces/default"];
        const answers = await Promise.all(paths.map(async (path) => await request("GET", path)));
        return answers.every(({ status }) => status === 200);
      } catch {
        return false; // It does not listen yet; callers poll until their deadline.
      }
    },
    tokenFor: async (namespace, serviceAccount) => {
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`;
      const answer = await request("POST", path, {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        spec: { expirationSeconds: 3600 },
      });
      if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${answer.body}`);
      return (JSON.parse(answer.body) as { status: { token: string } }).status.token;
    },
    kubectl: async (...args) => await kubectl(args),
    apply: async (manifest) =>
      await kubectl(
        ["apply", "--server-side", "-f", "-"],
        typeof manifest === "string"
          ? manifest
          : JSON.stringify({ apiVersion: "v1", kind: "List", items: manifest }),
      ),
    auditEvents: () => readAuditEvents(options.auditFile),
    compactEtcd: async () => {
      const status = await etcd("/v3/maintenance/status", {});
      const { revision } = status["header"] as { revision: string };
      await etcd("/v3/kv/compaction", { revision, physical: true });
    },
  };
}

interface ClientConfig {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Reads the kubeconfigs that flags.ts writes. */
function readKubeconfig(file: string): ClientConfig {
  const config = JSON.parse(readFileSync(file, "utf8")) as {
    clusters: { cluster: Record<string, string> }[];
    users: { user: Record<string, string> }[];
  };
  const cluster = ensure(config.clusters[0], "a cluster").cluster;
  const user = ensure(config.users[0], "a user").user;
  const decoded = (text: string | undefined): Buffer =>
    Buffer.from(ensure(text, "inline credentials"), "base64");
  return {
    ca: decoded(cluster["certificate-authority-data"]),
    cert: decoded(user["client-certificate-data"]),
    key: decoded(user["client-key-data"]),
  };
}

async function send(
  url: string,
  method: string,
  body: unknown,
  config?: ClientConfig,
): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const text = body === undefined ? "" : JSON.stringify(body);
    // Without a length Node sends no body with a DELETE that the server would read.
    const headers = {
      "content-type": "application/json",
      accept: "application/json",
      ...(text === "" ? {} : { "content-length": Buffer.byteLength(text) }),
    };
    const timeout = { signal: AbortSignal.timeout(requestTimeoutMs) };
    const request = config
      ? httpsRequest(url, { method, headers, agent: false, ...timeout, ...config })
      : httpRequest(url, { method, headers, agent: false, ...timeout });
    request.on("error", reject);
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        resolve({
          status: response.statusCode ?? 0,
          body: Buffer.concat(chunks).toString("utf8"),
        });
      });
    });
    request.end(text);
  });
}

/** Runs a program to its end; its standard output. Rejects with its standard error. */
export async function run(
  command: string,
  args: readonly string[],
  options: { input?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  return await new Promise((resolve, reject) => {
    const child = execFile(
      command,
      [...args],
      { maxBuffer: kubectlOutputBytes, ...(options.env ? { env: options.env } : {}) },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else {
          const what = [command.split("/").at(-1), ...args].join(" ");
          reject(new Error(`${what}: ${stderr.trim() || stdout.trim() || error.message}`));
        }
      },
    );
    // A program that ends without reading its input closes the pipe; its exit code says enough.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(options.input);
  });
}

function readAuditEvents(file: string): AuditEvent[] {
  if (!existsSync(file)) return [];
  const text = readFileSync(file, "utf8");
  // The last line may be half written.
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  return whole
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as AuditEvent);
}
