/**
 * The operator's configuration. Names of the cluster's parts come from the chart.
 */
import { readFileSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { Listen, PostgresUrl } from "@axonize/core/runtime/config";
import { errorMessage, StartError } from "@axonize/core/runtime/error";
import * as z from "zod";
import { leaseMs } from "./kube/limits.ts";

/** Of the Lease that the leader holds. */
export const leaseName = "axonize-operator";

const hostPort = /^(\[[0-9a-fA-F:.]+\]|[^:/\s]+):\d{1,5}$/;

export const OperatorEnv = z.object({
  AXONIZE_POSTGRES_URL: PostgresUrl.optional().describe(
    "The PostgreSQL server. This or AXONIZE_POSTGRES_URL_FILE is needed.",
  ),
  AXONIZE_POSTGRES_URL_FILE: z
    .string()
    .optional()
    .describe("A file with that URL; wins over the variable."),
  AXONIZE_CLUSTER: z
    .string()
    .max(128)
    .default("")
    .describe("Name of this Kubernetes cluster, where several write to the same stores."),
  AXONIZE_OPERATOR_NAMESPACE: z
    .string()
    .optional()
    .describe("Namespace of the release: lease and Secrets. Default: the pod's own."),
  AXONIZE_AGENT_NAMESPACE: z
    .string()
    .default("axonize-agents")
    .describe("Namespace of the agents; privileged pods are allowed there."),
  AXONIZE_AGENT_IMAGE: z
    .string()
    .min(1)
    .describe("Image of the agents that came with this operator, where a pool names none."),
  AXONIZE_INGEST_ENDPOINT: z
    .string()
    .regex(hostPort, "must be host:port")
    .describe("Ingest for agents, by gRPC, as `host:port`."),
  AXONIZE_INJECTION_ENDPOINT: z
    .url({ protocol: /^https?$/, error: "must be http(s)://host:port" })
    .describe("Ingest for pods, by OTLP/HTTP: what injection puts into their environment."),
  AXONIZE_OPERATOR_OPS_LISTEN: Listen.prefault("0.0.0.0:8080").describe(
    "Where `/metrics`, `/healthz` and `/readyz` of the operator are served.",
  ),
  AXONIZE_OPERATOR_METRICS_LISTEN: Listen.optional().describe(
    "Where `/metrics` is served over TLS to accounts of this cluster that may get that path. Default: nowhere, and to everybody beside `/healthz`.",
  ),
  AXONIZE_INSTANCE: z
    .string()
    .max(200)
    .optional()
    .describe("Name of this process in the lease and in events. Default: the host's name."),
  AXONIZE_LOG_LEVEL: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .default("info")
    .describe("Least level that is logged."),
  AXONIZE_INJECTION: z
    .enum(["auto", "policy", "webhook", "off"])
    .default("auto")
    .describe("What injects pods, as the chart installed it."),
  AXONIZE_WEBHOOK_LISTEN: Listen.prefault("0.0.0.0:9443").describe(
    "Where the webhook is served, in clusters without admission policies.",
  ),
  AXONIZE_SECRET_ACCESS: z
    .enum(["Cluster", "PerNamespace"])
    .default("Cluster")
    .describe("Whether Secrets may be followed everywhere, or only where a tenant is bound."),
  AXONIZE_SERVICE_ACCOUNT: z
    .string()
    .default("axonize-operator")
    .describe("Our own ServiceAccount, for the RoleBindings of `PerNamespace`."),
  AXONIZE_SECRETS_ROLE: z
    .string()
    .default("axonize-operator-secrets")
    .describe("ClusterRole that such a RoleBinding grants: Secrets of one namespace."),
  AXONIZE_DENIED_NAMESPACES: z
    .string()
    .default("")
    .describe("Namespaces that no tenant may claim, by commas; `kube-*` and our own never."),
  AXONIZE_ALLOW_FORCED_ADOPTION: z
    .stringbool()
    .default(false)
    .describe("Whether `adoptionPolicy: Force` takes a tenant over that has another owner."),
  AXONIZE_KUBELET_DIRECTORY: z
    .string()
    .default("/var/lib/kubelet")
    .describe("The kubelet's folder on nodes, for the agents."),
  AXONIZE_AGENT_STATE_DIRECTORY: z
    .string()
    .default("/var/lib/axonize-agent")
    .describe("The agents' folder on nodes: their spool."),
  AXONIZE_FAKE_DRIVER_DIRECTORY: z
    .string()
    .default("/var/lib/axonize-fake-driver")
    .describe("Folder on nodes with the driver of pools of vendor Fake."),
  AXONIZE_LEASE_SECONDS: z.coerce
    .number()
    .int()
    .min(5)
    .max(300)
    .default(leaseMs / 1000)
    .describe("How long a leader that went silent is waited for. Longer where the API is slow."),
  KUBECONFIG: z.string().optional().describe("A kubeconfig. Default: the pod's own account."),
  KUBERNETES_SERVICE_HOST: z.string().optional().describe("As Kubernetes tells every pod."),
  KUBERNETES_SERVICE_PORT: z.string().optional().describe("Its port."),
});
export type OperatorEnv = z.infer<typeof OperatorEnv>;

/** What `cleanup` needs: neither stores nor endpoints. */
export const CleanupEnv = OperatorEnv.pick({
  AXONIZE_OPERATOR_NAMESPACE: true,
  AXONIZE_AGENT_NAMESPACE: true,
  AXONIZE_SECRET_ACCESS: true,
  AXONIZE_LOG_LEVEL: true,
  KUBECONFIG: true,
  KUBERNETES_SERVICE_HOST: true,
  KUBERNETES_SERVICE_PORT: true,
});
export type CleanupEnv = z.infer<typeof CleanupEnv>;

export type OperatorConfig = ReturnType<typeof configFrom>;

export function configFrom(
  env: OperatorEnv,
  process: { version: string; host: string; namespace: string | undefined },
) {
  const namespace = env.AXONIZE_OPERATOR_NAMESPACE ?? process.namespace;
  if (namespace === undefined) {
    throw new StartError(
      "The operator does not know its namespace. Set AXONIZE_OPERATOR_NAMESPACE to the one of the release.",
    );
  }
  return {
    namespace,
    userAgent: `axonize-operator/${process.version}`,
    version: process.version,
    cluster: env.AXONIZE_CLUSTER,
    postgresUrl: postgresUrlOf(env),
    opsListen: env.AXONIZE_OPERATOR_OPS_LISTEN,
    metricsListen: env.AXONIZE_OPERATOR_METRICS_LISTEN,
    webhookListen: env.AXONIZE_WEBHOOK_LISTEN,
    injection: env.AXONIZE_INJECTION,
    injectionEndpoint: env.AXONIZE_INJECTION_ENDPOINT,
    deniedNamespaces: [env.AXONIZE_AGENT_NAMESPACE, ...env.AXONIZE_DENIED_NAMESPACES.split(",")]
      .map((name) => name.trim())
      .filter((name) => name !== ""),
    allowForcedAdoption: env.AXONIZE_ALLOW_FORCED_ADOPTION,
    secretAccess:
      env.AXONIZE_SECRET_ACCESS === "Cluster"
        ? { kind: "Cluster" as const }
        : {
            kind: "PerNamespace" as const,
            clusterRole: env.AXONIZE_SECRETS_ROLE,
            serviceAccount: env.AXONIZE_SERVICE_ACCOUNT,
          },
    agentImage: env.AXONIZE_AGENT_IMAGE,
    agents: {
      namespace: env.AXONIZE_AGENT_NAMESPACE,
      cluster: env.AXONIZE_CLUSTER,
      ingestEndpoint: env.AXONIZE_INGEST_ENDPOINT,
      kubeletDirectory: env.AXONIZE_KUBELET_DIRECTORY,
      stateDirectory: env.AXONIZE_AGENT_STATE_DIRECTORY,
      fakeDriverDirectory: env.AXONIZE_FAKE_DRIVER_DIRECTORY,
    },
    lease: {
      namespace,
      name: leaseName,
      // A process that starts again under its name is another one.
      identity: `${env.AXONIZE_INSTANCE ?? process.host}_${randomUUID()}`,
      leaseMs: env.AXONIZE_LEASE_SECONDS * 1000,
    },
  };
}

function postgresUrlOf(env: OperatorEnv): string {
  const file = env.AXONIZE_POSTGRES_URL_FILE;
  if (file === undefined) {
    if (env.AXONIZE_POSTGRES_URL !== undefined) return env.AXONIZE_POSTGRES_URL;
    throw new StartError("Set AXONIZE_POSTGRES_URL or AXONIZE_POSTGRES_URL_FILE.", { exitCode: 2 });
  }
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    throw new StartError(`AXONIZE_POSTGRES_URL_FILE cannot be read: ${errorMessage(error)}.`, {
      exitCode: 2,
    });
  }
}
