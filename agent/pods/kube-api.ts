/**
 * Requests to the Kubernetes API with the pod's own service account: its token and the cluster's CA from
 * files, both read again, because both rotate.
 *
 * GET only: the agent reads pods and resource slices and changes nothing.
 */
import { readFile } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Clock } from "@axonize/core/runtime/clock";
import { answerMs, tokenMs } from "./limits.ts";

export interface KubeAccess {
  /** `https://10.0.0.1:443`. Plain http only where a test serves it. */
  readonly url: string;
  readonly tokenFile: string | undefined;
  readonly caFile: string | undefined;
}

export interface KubeApi {
  /** The answer once its head is there, whatever its status. Rejects when there is none. */
  get(path: string, signal: AbortSignal): Promise<IncomingMessage>;
}

/** Where a pod finds the API and its credential. undefined: this is no pod with one. */
export function inClusterAccess(env: {
  readonly host: string | undefined;
  readonly port: string | undefined;
}): KubeAccess | undefined {
  if (!env.host || !env.port) return undefined;
  const host = env.host.includes(":") ? `[${env.host}]` : env.host;
  const folder = "/var/run/secrets/kubernetes.io/serviceaccount";
  return {
    url: `https://${host}:${env.port}`,
    tokenFile: `${folder}/token`,
    caFile: `${folder}/ca.crt`,
  };
}

export function createKubeApi(deps: { clock: Clock }, access: KubeAccess): KubeApi {
  let credential: { readonly headers: Record<string, string>; readonly ca: string | undefined } = {
    headers: {},
    ca: undefined,
  };
  let readAtMs = -Infinity;

  const refresh = async (): Promise<void> => {
    if (deps.clock.monotonic() - readAtMs < tokenMs) return;
    const token = access.tokenFile && (await readFile(access.tokenFile, "utf8")).trim();
    const ca = access.caFile && (await readFile(access.caFile, "utf8"));
    credential = { headers: token ? { authorization: `Bearer ${token}` } : {}, ca };
    readAtMs = deps.clock.monotonic();
  };
  return {
    async get(path, signal) {
      await refresh();
      const answer = await send(new URL(path, access.url), credential, signal);
      // The token may have been renewed within the minute: read it for the next attempt.
      if (answer.statusCode === 401) readAtMs = -Infinity;
      return answer;
    },
  };
}

function send(
  url: URL,
  credential: { headers: Record<string, string>; ca: string | undefined },
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const options = {
    headers: { accept: "application/json", "user-agent": "axonize-agent", ...credential.headers },
    signal,
    // A connection of its own: a watch holds it for minutes, and a broken one is not used again.
    agent: false as const,
    timeout: answerMs,
  };
  const request =
    url.protocol === "http:"
      ? httpRequest(url, options)
      : httpsRequest(
          url,
          credential.ca === undefined ? options : { ...options, ca: credential.ca },
        );
  request.once("response", (answer) => {
    // From here on, silence is the reader's to judge.
    request.setTimeout(0);
    answer.socket.setKeepAlive(true, 15_000);
    resolve(answer);
  });
  request.once("timeout", () =>
    request.destroy(new Error(`the API server did not answer within ${answerMs} ms`)),
  );
  request.once("error", reject);
  request.end();
  return promise;
}
