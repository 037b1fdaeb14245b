/**
 * The agent's configuration from environment variables. What a pool decides (periods, metric sets, host
 * access) is not here: it comes from AXONIZE_AGENT_CONFIG or the server and changes while the agent runs.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { Listen } from "@axonize/core/runtime/config";
import type { ExporterOptions } from "./export/exporter.ts";
import { inClusterAccess, type KubeAccess } from "./pods/kube-api.ts";
import { defaultPoolConfig } from "./pool-config.ts";

const path = z.string().regex(/^[^\0]+$/, "must be a path");

export const AgentEnv = z.object({
  AXONIZE_NODE_NAME: z
    .string()
    .max(253)
    .optional()
    .describe("Name of this node, as Kubernetes has it. Default: the host name."),
  AXONIZE_CLUSTER: z
    .string()
    .max(253)
    .optional()
    .describe("Name of the cluster that this node's devices are listed under."),
  AXONIZE_INGEST_ENDPOINT: z
    .string()
    .default("localhost:4317")
    .describe("Where readings go, by gRPC: host:port in plain text, or grpc(s)://host:port."),
  AXONIZE_AGENT_TOKEN_FILE: path
    .optional()
    .describe("Projected ServiceAccount token (audience axonize) that the stream is opened with."),
  AXONIZE_NVML_LIBRARY: path
    .optional()
    .describe("Path of libnvidia-ml.so.1. Default: where the loader and the GPU Operator have it."),
  AXONIZE_POD_RESOURCES_SOCKET: path
    .default("/var/lib/kubelet/pod-resources/kubelet.sock")
    .describe("The kubelet's pod-resources socket. Mount its folder, not the socket."),
  AXONIZE_AGENT_RESOURCE_NAMES: z
    .string()
    .regex(
      /^([\w.-]+\/[\w.-]+(,|$))*$/,
      "must be resource names such as example.com/h100, by commas",
    )
    .default("")
    .describe("Extended resources that are NVIDIA GPUs under names other than `nvidia.com/…`."),
  AXONIZE_AGENT_PROC_ROOT: path
    .default("/proc")
    .describe("Where the host's processes are seen; /host/proc where that is mounted."),
  AXONIZE_AGENT_STATE_DIR: path
    .default("/var/lib/axonize-agent")
    .describe("Folder of the spool and of the lock that keeps a second agent off this node."),
  AXONIZE_AGENT_SPAN_RINGS: path
    .optional()
    .describe(
      "Folder where processes of this node leave their span rings (`AXONIZE_SPAN_RING`), itself or two folders down. Rings of dead ones are sent to ingest under the key in them. Default: none is looked at.",
    ),
  AXONIZE_AGENT_CONFIG: path
    .optional()
    .describe("File of the pool's configuration as JSON, watched; it wins over the server's word."),
  AXONIZE_AGENT_METRICS_LISTEN: Listen.prefault("0.0.0.0:9400").describe(
    "Where `/metrics` is served, under dcgm-exporter's names, and `/healthz`.",
  ),
  AXONIZE_AGENT_OTLP_ENDPOINT: z
    .url({ protocol: /^https?$/, error: "must be http(s)://host:port" })
    .optional()
    .describe("Where `hw.*` metrics are sent by OTLP/HTTP, too. Default: nowhere."),
  KUBERNETES_SERVICE_HOST: z
    .string()
    .optional()
    .describe("The API server, as Kubernetes tells every pod. Default: no pod source."),
  KUBERNETES_SERVICE_PORT: z.string().optional().describe("Its port."),
  AXONIZE_LOG_LEVEL: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .default("info")
    .describe("Least level that is logged, as JSON lines on standard output."),
});
export type AgentEnv = z.infer<typeof AgentEnv>;

/** What the composition root needs, wherever it came from. */
export interface AgentConfig {
  readonly node: string;
  readonly cluster: string;
  readonly version: string;
  readonly nvmlLibrary: string | undefined;
  readonly podResourcesSocket: string;
  readonly procRoot: string;
  /** undefined: this process serves no metrics of devices. */
  readonly metricsListen: Listen | undefined;
  readonly otlpEndpoint: string | undefined;
  /** Where identity keeps its open intervals; undefined: a restart begins anew. */
  readonly stateDir: string | undefined;
  /** undefined: nobody leaves rings for us. */
  readonly spanRings: { readonly directory: string; readonly endpoint: string } | undefined;
  /** undefined: no API server; pods are known from the kubelet alone. */
  readonly kube: KubeAccess | undefined;
  /** Resources that are GPUs beside NVIDIA's own names. */
  readonly resourceNames: readonly string[];
}

export function agentConfigFrom(
  env: AgentEnv,
  of: { readonly hostname: string; readonly version: string },
): AgentConfig {
  return {
    node: env.AXONIZE_NODE_NAME ?? of.hostname,
    cluster: env.AXONIZE_CLUSTER ?? "",
    version: of.version,
    nvmlLibrary: env.AXONIZE_NVML_LIBRARY,
    podResourcesSocket: env.AXONIZE_POD_RESOURCES_SOCKET,
    resourceNames: env.AXONIZE_AGENT_RESOURCE_NAMES.split(",").filter((name) => name !== ""),
    procRoot: env.AXONIZE_AGENT_PROC_ROOT,
    metricsListen: env.AXONIZE_AGENT_METRICS_LISTEN,
    otlpEndpoint: env.AXONIZE_AGENT_OTLP_ENDPOINT,
    stateDir: env.AXONIZE_AGENT_STATE_DIR,
    spanRings: env.AXONIZE_AGENT_SPAN_RINGS
      ? { directory: env.AXONIZE_AGENT_SPAN_RINGS, endpoint: env.AXONIZE_INGEST_ENDPOINT }
      : undefined,
    kube: inClusterAccess({
      host: env.KUBERNETES_SERVICE_HOST,
      port: env.KUBERNETES_SERVICE_PORT,
    }),
  };
}

/** Of the exporter: where to, as whom, and where batches wait. */
export function exporterOptionsFrom(env: AgentEnv, of: AgentConfig): ExporterOptions {
  const tokenFile = env.AXONIZE_AGENT_TOKEN_FILE;
  return {
    endpoint: env.AXONIZE_INGEST_ENDPOINT,
    node: of.node,
    cluster: of.cluster,
    version: of.version,
    // Read anew each time: the kubelet renews a projected token in place.
    credential: async () =>
      tokenFile === undefined ? undefined : (await readFile(tokenFile, "utf8")).trim(),
    spoolDirectory: join(env.AXONIZE_AGENT_STATE_DIR, "spool"),
    config: defaultPoolConfig,
  };
}
