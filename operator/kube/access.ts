/**
 * Where the API server is and who we are: a pod's own ServiceAccount, or a kubeconfig.
 *
 * A pod's files are read by ourselves: `@kubernetes/client-node` costs 80 MB and half a second, and is
 * loaded only for a kubeconfig (exec plug-ins and cloud log-ins are its business). Credentials are read
 * again after a minute and whenever the server refuses them, for tokens and authorities rotate.
 */
import { readFile } from "node:fs/promises";
import type { ConnectionOptions } from "node:tls";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage, StartError } from "@axonize/core/runtime/error";
import type { KubeConfig as KubeConfigType } from "@kubernetes/client-node";
import { credentialsMs } from "./limits.ts";

/** Plain data: it is posted to the elector's thread, too. */
export interface Credentials {
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: Readonly<
    Pick<ConnectionOptions, "rejectUnauthorized" | "servername"> & {
      ca?: string;
      cert?: string;
      key?: string;
    }
  >;
}

export interface ClusterAccess {
  readonly url: string;
  /** Of the pod or of the kubeconfig's context. */
  readonly namespace: string | undefined;
  /** `refused`: the server did not take the last ones. */
  credentials(refused?: boolean): Promise<Credentials>;
}

export interface AccessOptions {
  /** Path of a kubeconfig; wins over the pod's own account. */
  readonly kubeconfig: string | undefined;
  /** KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. */
  readonly serviceHost: string | undefined;
  readonly servicePort: string | undefined;
  /** Folder of token, ca.crt and namespace. */
  readonly accountDir?: string;
}

export async function createAccess(
  deps: { clock: Clock },
  options: AccessOptions,
): Promise<ClusterAccess> {
  if (options.kubeconfig !== undefined) return await fromKubeconfig(deps, options.kubeconfig);
  const { serviceHost: host, servicePort: port } = options;
  if (host === undefined || port === undefined) {
    throw new StartError(
      "There is no Kubernetes to talk to: this is no pod (KUBERNETES_SERVICE_HOST is not set) and KUBECONFIG names no file. Set KUBECONFIG, or run in the cluster.",
    );
  }
  const dir = options.accountDir ?? "/var/run/secrets/kubernetes.io/serviceaccount";
  return await fromServiceAccount(deps, {
    url: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    dir,
  });
}

/** From the environment that every process with a cluster has. */
export const accessFrom = async (
  deps: { clock: Clock },
  env: {
    readonly KUBECONFIG?: string | undefined;
    readonly KUBERNETES_SERVICE_HOST?: string | undefined;
    readonly KUBERNETES_SERVICE_PORT?: string | undefined;
  },
): Promise<ClusterAccess> =>
  await createAccess(deps, {
    kubeconfig: env.KUBECONFIG,
    serviceHost: env.KUBERNETES_SERVICE_HOST,
    servicePort: env.KUBERNETES_SERVICE_PORT,
  });

async function fromServiceAccount(
  deps: { clock: Clock },
  { url, dir }: { url: string; dir: string },
): Promise<ClusterAccess> {
  const text = async (name: string): Promise<string> =>
    (await readFile(`${dir}/${name}`, "utf8")).trim();
  const credentials = remembered(deps, async () => ({
    headers: { authorization: `Bearer ${await text("token")}` },
    tls: { ca: `${await text("ca.crt")}\n` },
  }));
  try {
    await credentials();
  } catch (error) {
    throw new StartError(
      `The pod's ServiceAccount cannot be read (${errorMessage(error)}). Does the pod set automountServiceAccountToken: false?`,
      { cause: error },
    );
  }
  return { url, namespace: await text("namespace").catch(() => undefined), credentials }; // optional
}

async function fromKubeconfig(deps: { clock: Clock }, path: string): Promise<ClusterAccess> {
  const { KubeConfig } = await import("@kubernetes/client-node");
  const load = (): KubeConfigType => {
    const config = new KubeConfig();
    config.loadFromFile(path);
    return config;
  };
  let config: KubeConfigType;
  try {
    config = load();
  } catch (error) {
    throw new StartError(`The kubeconfig ${path} cannot be read: ${errorMessage(error)}.`, {
      cause: error,
    });
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    throw new StartError(
      `The kubeconfig ${path} names no cluster in its current context. Choose one with \`kubectl config use-context\`.`,
    );
  }
  const context = config.getContextObject(config.getCurrentContext());
  const credentials = remembered(deps, async (refused) => {
    // An exec plug-in's log-in lives in the object; the file may have been renewed meanwhile.
    if (refused) config = load();
    return await credentialsOf(config);
  });
  return { url: cluster.server.replace(/\/$/, ""), namespace: context?.namespace, credentials };
}

/** What client-node would hand to `https.request`. */
async function credentialsOf(config: KubeConfigType): Promise<Credentials> {
  const options: Record<string, unknown> = {};
  await config.applyToHTTPSOptions(options);
  const pem = (value: unknown): string | undefined =>
    typeof value === "string" || Buffer.isBuffer(value) ? value.toString("utf8") : undefined;
  const [ca, cert, key] = [pem(options["ca"]), pem(options["cert"]), pem(options["key"])];
  const basic = options["auth"];
  const headers = Object.fromEntries(
    Object.entries((options["headers"] ?? {}) as Record<string, unknown>) // as node:http types it
      .map(([name, value]) => [name.toLowerCase(), String(value)] as const),
  );
  if (typeof basic === "string") {
    headers["authorization"] = `Basic ${Buffer.from(basic).toString("base64")}`;
  }
  return {
    headers,
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(options["rejectUnauthorized"] === false ? { rejectUnauthorized: false } : {}),
      ...(typeof options["servername"] === "string" ? { servername: options["servername"] } : {}),
    },
  };
}

/** Reads at most once a minute, one reader at a time. */
function remembered(
  { clock }: { clock: Clock },
  read: (refused: boolean) => Promise<Credentials>,
): ClusterAccess["credentials"] {
  let readAtMs = -Infinity;
  let current: Promise<Credentials> | undefined;
  return async (refused = false) => {
    const isFresh = clock.monotonic() - readAtMs < credentialsMs;
    if (current !== undefined && isFresh && !refused) return await current;
    const last = current;
    readAtMs = clock.monotonic();
    current = read(refused).catch(async (error: unknown) => {
      readAtMs = -Infinity;
      // A file that is being replaced: the last ones still work, or the server says so.
      if (last !== undefined) return await last;
      throw error;
    });
    return await current;
  };
}
