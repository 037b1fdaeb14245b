/**
 * The made-up cluster that the demo's load runs on: three GPU nodes with 16 GPUs, one of them cut
 * into MIG slices, one idle; the pods on them, and the CPU pods in front.
 *
 * Everything is a function of the seed. Speeds are roughly those of the named hardware and models.
 */
import type { Attributes, Process } from "./otlp.ts";
import type { Random } from "./random.ts";

export interface Device {
  readonly uuid: string;
  /** NVML index on its node. For a slice the index of its GPU. */
  readonly index: number;
  readonly node: string;
  readonly name: string;
  readonly memoryBytes: number;
  readonly idleWatts: number;
  readonly limitWatts: number;
  /** The GPU of a MIG slice. */
  readonly parent: Device | undefined;
  readonly migProfile: string;
  pod: Pod | undefined;
  /** When something ran on it, and how hard it worked the GPU (0–1). Pruned as metrics pass. */
  busy: { startMs: number; endMs: number; intensity: number }[];
}

export interface Pod {
  readonly process: Process;
  readonly name: string;
  readonly container: string;
  readonly namespace: string;
  readonly uid: string;
  readonly node: string;
  readonly devices: readonly Device[];
  readonly model: string;
  readonly speed: Speed;
  /** Share of its memory that the process holds all the time (weights, reserved KV cache). */
  readonly memoryShare: number;
  /** End times of the calls it serves, to know how crowded it is. */
  active: number[];
}

/** What a call costs when it has the engine for itself. */
export interface Speed {
  readonly prefillTokensPerMs: number;
  readonly perTokenMs: number;
  /** Calls at once at which batching costs about half the speed. */
  readonly capacity: number;
}

export interface Cluster {
  readonly devices: readonly Device[];
  readonly vllm: readonly [Pod, Pod];
  readonly sglang: Pod;
  readonly dynamoPrefill: Pod;
  readonly dynamoDecode: Pod;
  readonly tgi: Pod;
  readonly embedder: Pod;
  readonly reranker: Pod;
  readonly painters: readonly [Pod, Pod];
  readonly cpu: Record<CpuService, Process>;
}

const cpuServices = {
  "chat-web": ["web", "@opentelemetry/instrumentation-http", "0.57.2"],
  "llm-gateway": ["platform", "opentelemetry.instrumentation.fastapi", "0.54b1"],
  "support-agent": ["agents", "opentelemetry.instrumentation.langchain", "0.46.2"],
  "research-agent": ["agents", "opentelemetry.instrumentation.langchain", "0.46.2"],
  "code-review": ["ci", "opentelemetry.instrumentation.openai_v2", "2.1b0"],
  "mobile-api": ["mobile", "opentelemetry.instrumentation.openai_v2", "2.1b0"],
  "search-indexer": ["search", "io.opentelemetry.okhttp-3.0", "2.15.0"],
  "doc-summarizer": ["docs", "@opentelemetry/instrumentation-undici", "0.10.1"],
  "image-studio": ["media", "@opentelemetry/instrumentation-express", "0.48.1"],
} as const;
export type CpuService = keyof typeof cpuServices;

/** Says on every resource that this is generated load. */
export const generated: Attributes = { "axonize.demo": true };

const gib = 1024 ** 3;
const h100 = {
  name: "NVIDIA H100 80GB HBM3",
  memoryBytes: 80 * gib,
  idleWatts: 71,
  limitWatts: 700,
};
const a100 = {
  name: "NVIDIA A100-SXM4-80GB",
  memoryBytes: 80 * gib,
  idleWatts: 58,
  limitWatts: 400,
};

export function createCluster(rng: Random): Cluster {
  const gpus = (node: string, count: number, kind: typeof h100): Device[] =>
    Array.from({ length: count }, (_, index) => ({
      ...kind,
      uuid: `GPU-${rng.uuid()}`,
      index,
      node,
      parent: undefined,
      migProfile: "",
      pod: undefined,
      busy: [],
    }));
  const first = gpus("gpu-h100-01", 8, h100);
  const second = gpus("gpu-h100-02", 4, h100);
  const third = gpus("gpu-a100-03", 4, a100);
  const slice = (profile: string, memoryGib: number): Device => ({
    ...at(third, 0),
    uuid: `MIG-${rng.uuid()}`,
    name: `${a100.name} MIG ${profile}`,
    memoryBytes: memoryGib * gib,
    parent: at(third, 0),
    migProfile: profile,
    busy: [],
  });
  const slices = [slice("3g.40gb", 40), slice("2g.20gb", 20), slice("1g.10gb", 10)];
  const pod = podFactory(rng);
  const painter = (index: number): Pod =>
    pod(axonizeSdk, {
      service: "image-worker",
      namespace: "media",
      container: "worker",
      model: "stable-diffusion-xl",
      devices: [at(third, index)],
      speed: { prefillTokensPerMs: 1, perTokenMs: 95, capacity: 2 },
      memoryShare: 0.31,
    });
  return {
    devices: [...first, ...second, ...third, ...slices],
    ...languagePods(pod, first, second),
    ...slicePods(pod, slices),
    painters: [painter(1), painter(2)],
    cpu: cpuProcesses(rng),
  };
}

const axonizeSdk = { name: "axonize", version: "0.1.0" };

interface PodPlan {
  service: string;
  namespace: string;
  container: string;
  model: string;
  devices: readonly Device[];
  speed: Speed;
  memoryShare: number;
  resource?: Attributes;
  /** Whether the pod's environment names its devices (`OTEL_RESOURCE_ATTRIBUTES`, injected). */
  namesDevices?: boolean;
}
type PodFactory = (scope: Process["scope"], plan: PodPlan) => Pod;

function podFactory(rng: Random): PodFactory {
  return (scope, plan) => {
    const { service, devices, namespace, container } = plan;
    const name = `${service}-${rng.hex(9)}-${rng.hex(5)}`;
    const uid = rng.uuid();
    const node = at(devices, 0).node;
    const resource: Attributes = {
      "service.name": service,
      "service.instance.id": rng.uuid(),
      "deployment.environment.name": "production",
      "k8s.namespace.name": namespace,
      "k8s.pod.name": name,
      "k8s.pod.uid": uid,
      "k8s.container.name": container,
      "k8s.node.name": node,
      ...plan.resource,
      ...(plan.namesDevices === false
        ? {}
        : { "axonize.gpu.uuids": devices.map((device) => device.uuid) }),
      ...generated,
    };
    const { model, speed, memoryShare } = plan;
    const pod: Pod = {
      process: { resource, scope },
      name,
      uid,
      node,
      namespace,
      container,
      devices,
      model,
      speed,
      memoryShare,
      active: [],
    };
    for (const device of devices) device.pod = pod;
    return pod;
  };
}

function languagePods(
  pod: PodFactory,
  first: readonly Device[],
  second: readonly Device[],
): Pick<Cluster, "vllm" | "sglang" | "dynamoPrefill" | "dynamoDecode"> {
  const python = { "telemetry.sdk.language": "python", "telemetry.sdk.name": "opentelemetry" };
  const vllm = (devices: readonly Device[]): Pod =>
    pod(
      { name: "vllm.tracing.otel", version: "" },
      {
        service: "vllm-llama-70b",
        namespace: "serving",
        container: "vllm",
        model: "llama-3.3-70b-instruct",
        devices,
        speed: { prefillTokensPerMs: 7, perTokenMs: 17, capacity: 48 },
        memoryShare: 0.91,
        resource: {
          ...python,
          "vllm.instrumenting_module_name": "vllm.llm_engine",
          "vllm.process_id": "1",
        },
      },
    );
  const dynamo = (role: string, device: Device): Pod =>
    pod(
      { name: "dynamo_runtime", version: "0.9.0" },
      {
        service: `dynamo-${role}`,
        namespace: "serving",
        container: "worker",
        model: "deepseek-r1-distill-qwen-32b",
        devices: [device],
        speed: { prefillTokensPerMs: 9, perTokenMs: 21, capacity: 32 },
        memoryShare: 0.88,
      },
    );
  return {
    vllm: [vllm(first.slice(0, 4)), vllm(first.slice(4, 8))],
    sglang: pod(
      { name: "sglang", version: "0.5.9" },
      {
        service: "sglang-qwen3-coder",
        namespace: "serving",
        container: "sglang",
        model: "qwen3-coder-30b-a3b",
        devices: second.slice(0, 2),
        speed: { prefillTokensPerMs: 22, perTokenMs: 7.5, capacity: 40 },
        memoryShare: 0.87,
        resource: python,
      },
    ),
    dynamoPrefill: dynamo("prefill", at(second, 2)),
    dynamoDecode: dynamo("decode", at(second, 3)),
  };
}

function slicePods(
  pod: PodFactory,
  slices: readonly Device[],
): Pick<Cluster, "tgi" | "embedder" | "reranker"> {
  const embedding = (service: string, model: string, device: Device): Pod =>
    pod(
      { name: "text-embeddings-inference", version: "1.8.3" },
      {
        service,
        namespace: "search",
        container: "tei",
        model,
        devices: [device],
        speed: { prefillTokensPerMs: 45, perTokenMs: 0, capacity: 64 },
        memoryShare: 0.36,
      },
    );
  return {
    tgi: pod(
      { name: "text_generation_router", version: "3.3.6" },
      {
        service: "tgi-mistral-small",
        namespace: "docs",
        container: "tgi",
        model: "mistral-small-3.2-24b",
        devices: [at(slices, 0)],
        speed: { prefillTokensPerMs: 5, perTokenMs: 24, capacity: 12 },
        memoryShare: 0.82,
        // Nobody injected this namespace: its devices are known only from its pod.
        namesDevices: false,
      },
    ),
    embedder: embedding("tei-bge-m3", "bge-m3", at(slices, 1)),
    reranker: embedding("tei-reranker", "bge-reranker-v2-m3", at(slices, 2)),
  };
}

function cpuProcesses(rng: Random): Record<CpuService, Process> {
  const process = (service: CpuService): Process => {
    const [namespace, scope, version] = cpuServices[service];
    return {
      scope: { name: scope, version },
      resource: {
        "service.name": service,
        "service.version": `2026.11.${rng.int(1, 24)}`,
        "service.instance.id": rng.uuid(),
        "deployment.environment.name": service === "code-review" ? "ci" : "production",
        "k8s.namespace.name": namespace,
        "k8s.pod.name": `${service}-${rng.hex(9)}-${rng.hex(5)}`,
        "k8s.pod.uid": rng.uuid(),
        "k8s.container.name": "app",
        "k8s.node.name": `cpu-0${rng.int(1, 3)}`,
        ...generated,
      },
    };
  };
  // The keys are those of cpuServices, which Object.keys does not say.
  const services = Object.keys(cpuServices) as CpuService[];
  // Every service of the record is among `services`.
  return Object.fromEntries(services.map((service) => [service, process(service)])) as Record<
    CpuService,
    Process
  >;
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new Error(`no item ${index} of ${items.length}`);
  return item;
}
