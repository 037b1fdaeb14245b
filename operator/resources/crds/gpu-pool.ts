/**
 * GpuPool: which nodes carry GPUs that are watched, by what agent, how often, and what they cost.
 *
 * Cluster-scoped, as nodes are. Per-node detail is not in its status: 5,000 nodes do not fit into one
 * object, and each change would be written to etcd.
 */
import * as z from "zod";
import { metricSets } from "@axonize/core/contract/agent";
import { PoolStatus } from "./gpu-pool-status.ts";
import * as k from "./schema.ts";

const Expression = z
  .object({
    key: z.string().min(1).max(317).describe("Of the label."),
    operator: z
      .enum(["In", "NotIn", "Exists", "DoesNotExist"])
      .describe("How the label is compared."),
    values: k.list(z.string().max(63), 64).optional().describe("For `In` and `NotIn` only."),
  })
  .meta(
    k.rules([
      "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",
      "nodeSelector.matchExpressions[].values must be given for In and NotIn, and only for them",
    ]),
  );

const NodeSelector = z
  .object({
    matchLabels: k.map(16, 63).optional().describe("Labels that a node must have."),
    matchExpressions: k.list(Expression, 16).optional().describe("What must hold for its labels."),
  })
  .meta({
    "x-kubernetes-map-type": "atomic",
    ...k.rules([
      "(has(self.matchLabels) ? size(self.matchLabels) : 0) + (has(self.matchExpressions) ? size(self.matchExpressions) : 0) > 0",
      "nodeSelector must select by something: an empty one would put an agent on every node",
    ]),
  });

const Toleration = z
  .object({
    key: z.string().max(317).optional().describe("Of the taint. None: every taint, with `Exists`."),
    operator: z.enum(["Exists", "Equal"]).default("Equal").describe("Whether `value` counts."),
    value: z.string().max(63).optional().describe("Of the taint, with `Equal`."),
    effect: z
      .enum(["NoSchedule", "PreferNoSchedule", "NoExecute"])
      .optional()
      .describe("Of the taint. None: every effect."),
    tolerationSeconds: k
      .int64(0, 2 ** 31)
      .optional()
      .describe("How long a `NoExecute` taint is tolerated. None: for ever."),
  })
  .meta(
    k.rules(
      [
        "has(self.key) || self.operator == 'Exists'",
        "agent.tolerations[].operator must be Exists where no key is given",
      ],
      [
        "self.operator != 'Exists' || !has(self.value)",
        "agent.tolerations[].value may not be given with the operator Exists",
      ],
    ),
  );

const resourceList = (field: string, doc: string) =>
  z
    .record(z.string(), k.intOrString)
    .meta({
      maxProperties: 3,
      ...k.rules(
        [
          "self.all(key, key in ['cpu', 'memory', 'ephemeral-storage'])",
          `${field} may name cpu, memory and ephemeral-storage: an agent holds no GPU`,
        ],
        [
          "self.all(key, type(self[key]) == int || (size(string(self[key])) <= 20 && isQuantity(string(self[key]))))",
          `${field} must have quantities such as 200m or 256Mi`,
        ],
      ),
    })
    .optional()
    .describe(doc);

const UpdateStrategy = z
  .object({
    type: z
      .enum(["RollingUpdate", "OnDelete"])
      .default("RollingUpdate")
      .describe("`OnDelete`: an agent is replaced when its pod is deleted."),
    maxUnavailable: k.intOrString
      .meta(
        k.rules([
          "type(self) == int ? int(self) >= 1 : string(self).matches('^(100|[1-9][0-9]?)%$')",
          "agent.updateStrategy.maxUnavailable must be a count from 1 or a share such as 10%",
        ]),
      )
      .optional()
      .describe("Default: 10%."),
  })
  .meta({
    // Else an apply of `type: OnDelete` would be merged with the default's maxUnavailable, and refused.
    "x-kubernetes-map-type": "atomic",
    ...k.rules([
      "self.type == 'RollingUpdate' || !has(self.maxUnavailable)",
      "agent.updateStrategy.maxUnavailable may be given for RollingUpdate only",
    ]),
  });

const EnvVariable = z.object({
  name: k
    .text(128, "^[A-Za-z_][A-Za-z0-9_]*$", "agent.env[].name must be letters, digits and '_'")
    .meta(
      k.rules(
        [
          "self.matches(r'^[A-Za-z_][A-Za-z0-9_]*$')",
          "agent.env[].name must be letters, digits and '_'",
        ],
        [
          "!self.startsWith('AXONIZE_') && !self.startsWith('KUBERNETES_')",
          "agent.env[].name may not begin with AXONIZE_ or KUBERNETES_: the operator sets these",
        ],
      ),
    )
    .describe("Of the variable."),
  value: z.string().max(4096).default("").describe("Its value, as it is."),
});

const Agent = z.object({
  image: z
    .string()
    .max(512)
    .default("")
    .describe(
      "Empty: the operator's own of the first rollout. An upgrade of the operator changes it only where the annotation axonize.io/agent-upgrade says so.",
    ),
  imagePullPolicy: z
    .enum(["Always", "IfNotPresent", "Never"])
    .default("IfNotPresent")
    .describe("When a node pulls it."),
  resources: z
    .object({
      limits: resourceList("agent.resources.limits", "What an agent may use at most."),
      requests: resourceList("agent.resources.requests", "What is set aside for an agent."),
    })
    .prefault({
      requests: { cpu: "50m", memory: "96Mi" },
      limits: { cpu: "200m", memory: "256Mi" },
    })
    .describe("Of an agent's container."),
  tolerations: k
    .list(Toleration, 32)
    .prefault([{ key: "nvidia.com/gpu", operator: "Exists" }])
    .describe("Taints that keep no agent away: nodes with GPUs are often tainted."),
  priorityClassName: z
    .string()
    .max(253)
    .default("system-node-critical")
    .describe("By default an agent is not evicted for a workload."),
  updateStrategy: UpdateStrategy.prefault({
    type: "RollingUpdate",
    maxUnavailable: "10%",
  }).describe("How agents are replaced by those of another template."),
  hostAccess: z
    .enum(["PodResourcesOnly", "HostPID", "Privileged"])
    .default("PodResourcesOnly")
    .describe("How deep the agent may look into its node: allocations, processes, everything."),
  runtimeClassName: z
    .string()
    .max(253)
    .optional()
    .describe("Such as `nvidia`, where only that runtime shows the driver to a container."),
  spanRing: z
    .enum(["Disabled", "Enabled"])
    .default("Disabled")
    .describe(
      "`Enabled`: the agent sends what killed processes left in span rings under the node's /var/lib/axonize-span-rings, each under its own key. Needs DAC_OVERRIDE: the files are other users'.",
    ),
  env: k.listMap(EnvVariable, "name", 32).optional().describe("Further variables of the agent."),
  podLabels: k
    .map(
      16,
      63,
      [
        "self.all(key, !key.startsWith('axonize.io/') && !key.startsWith('app.kubernetes.io/'))",
        "agent.podLabels may not begin with axonize.io/ or app.kubernetes.io/: the operator sets these",
      ],
      [
        "self.all(key, key.matches(r'^([a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$') && self[key].matches(r'^([A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?)?$'))",
        "agent.podLabels must be valid labels",
      ],
    )
    .optional()
    .describe("Further labels of the agents' pods."),
});

const Sampling = z
  .object({
    periodMilliseconds: k
      .int32(100, 60_000)
      .default(100)
      .describe("Utilisation and power; the rest at most once a second."),
    processPeriodMilliseconds: k
      .int32(1_000, 600_000)
      .default(5_000)
      .describe("Which processes use a device."),
    // Atomic: an apply that names fewer than the default must not be merged with it.
    metricSets: k
      .list(z.enum(metricSets), metricSets.length)
      .default(["Utilization", "Memory", "Power", "Thermal", "Errors"])
      .describe("`Profiling` keeps other profilers off the GPU."),
    overheadBudgetMillicores: k
      .int32(5, 2_000)
      .default(50)
      .describe("Above it the agent samples less often and the status says so."),
  })
  .meta(
    k.rules([
      "self.processPeriodMilliseconds >= self.periodMilliseconds",
      "sampling.processPeriodMilliseconds (5000 unless given) must be at least sampling.periodMilliseconds",
    ]),
  );

const price = (field: string) =>
  k.text(
    13,
    "^[0-9]{1,6}(\\.[0-9]{1,6})?$",
    `${field} must be a decimal such as "2.50": at most 6 digits on either side of the point`,
  );

const Pricing = z.object({
  currency: k
    .text(3, "^[A-Z]{3}$", "pricing.currency must be a code of three capital letters")
    .default("USD")
    .describe("ISO 4217."),
  perGpuHour: price("pricing.perGpuHour")
    .optional()
    .describe("What an hour of a whole GPU costs. None: no price is known."),
  products: k
    .listMap(
      z.object({
        product: k
          .text(
            63,
            "^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$",
            "pricing.products[].product must be a value of the label nvidia.com/gpu.product",
          )
          .describe("Of the label `nvidia.com/gpu.product`."),
        perGpuHour: price("pricing.products[].perGpuHour").describe("What an hour of one costs."),
      }),
      "product",
      64,
    )
    .optional()
    .describe("For a pool of several products; the others cost `perGpuHour`."),
  effectiveFrom: k.time
    .optional()
    .describe("Since when. Default: when it is applied. What was charged before stays as it was."),
});

export const GpuPoolSpec = z.object({
  nodeSelector: NodeSelector.prefault({
    matchLabels: { "nvidia.com/gpu.present": "true" },
  }).describe(
    "Which nodes are the pool's. By default those that GPU Feature Discovery found GPUs on.",
  ),
  priority: k
    .int32(-1000, 1000)
    .default(0)
    .describe("A node that two pools select is the higher one's, then the older one's."),
  vendor: z
    .enum(["NVIDIA", "Fake"])
    .default("NVIDIA")
    .meta(k.rules(["self == oldSelf", "vendor may not change: make another pool"]))
    .describe("`Fake`: devices that are made up, for trials without a GPU."),
  agent: Agent.prefault({}).describe("The pods that watch the pool's nodes, one each."),
  sampling: Sampling.prefault({}).describe(
    "What agents read, and how often; told without a restart.",
  ),
  pricing: Pricing.prefault({}).describe(
    "What the GPUs cost. Prices are appended, never rewritten.",
  ),
});
/** With defaults. */
export type GpuPoolSpec = z.infer<typeof GpuPoolSpec>;

export type GpuPoolStatus = z.infer<typeof PoolStatus>;

export const gpuPool: k.CustomResource = {
  kind: "GpuPool",
  plural: "gpupools",
  shortNames: ["gpool"],
  scope: "Cluster",
  doc: "A pool of GPU nodes: which, watched by what agent, how often, at what price.",
  spec: GpuPoolSpec,
  status: PoolStatus,
  rules: [
    ["size(self.metadata.name) <= 48", "metadata.name may have at most 48 characters"],
    [
      `self.metadata.name.matches(r'${k.dnsLabelPattern}')`,
      "metadata.name must be a DNS label without dots: it becomes a label of nodes",
    ],
  ],
  columns: [
    { name: "Nodes", type: "integer", jsonPath: ".status.nodes.assigned" },
    { name: "Agents", type: "integer", jsonPath: ".status.agent.ready" },
    { name: "GPUs", type: "integer", jsonPath: ".status.gpus.total" },
    { name: "MIG", type: "string", jsonPath: ".status.mig.strategy" },
    { name: "$/GPU-h", type: "string", jsonPath: ".spec.pricing.perGpuHour" },
    ...k.conditionColumns("Ready"),
    { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
    { name: "Image", type: "string", priority: 1, jsonPath: ".status.agent.image" },
    {
      name: "Period(ms)",
      type: "integer",
      priority: 1,
      jsonPath: ".status.sampling.effectivePeriodMilliseconds",
    },
    { name: "Product", type: "string", priority: 1, jsonPath: ".status.products[0].product" },
  ],
  selectableFields: [".spec.vendor"],
};
