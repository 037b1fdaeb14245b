/**
 * GpuPool: which nodes carry GPUs that are watched, by what agent, how often, and what they cost.
 *
 * Cluster-scoped, as nodes are. Per-node detail is not in its status: 5,000 nodes do not fit into one
 * object, and each change would be written to etcd.
 */
import * as z from "zod";
import { metricSets } from "@axonize/core/contract/agent";
import * as k from "./schema.ts";

const Expression = z
  .object({
    key: z.string().min(1).max(317),
    operator: z.enum(["In", "NotIn", "Exists", "DoesNotExist"]),
    values: k.list(z.string().max(63), 64).optional(),
  })
  .meta(
    k.rules([
      "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",
      "nodeSelector.matchExpressions[].values must be given for In and NotIn, and only for them",
    ]),
  );

const NodeSelector = z
  .object({
    matchLabels: k.map(16, 63).optional(),
    matchExpressions: k.list(Expression, 16).optional(),
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
    key: z.string().max(317).optional(),
    operator: z.enum(["Exists", "Equal"]).default("Equal"),
    value: z.string().max(63).optional(),
    effect: z.enum(["NoSchedule", "PreferNoSchedule", "NoExecute"]).optional(),
    tolerationSeconds: k.int64(0, 2 ** 31).optional(),
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

const resourceList = (field: string) =>
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
    .optional();

const UpdateStrategy = z
  .object({
    type: z.enum(["RollingUpdate", "OnDelete"]).default("RollingUpdate"),
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
    ),
  value: z.string().max(4096).default(""),
});

const Agent = z.object({
  image: z
    .string()
    .max(512)
    .default("")
    .describe(
      "Empty: the operator's own of the first rollout. An upgrade of the operator changes it only where the annotation axonize.io/agent-upgrade says so.",
    ),
  imagePullPolicy: z.enum(["Always", "IfNotPresent", "Never"]).default("IfNotPresent"),
  resources: z
    .object({
      limits: resourceList("agent.resources.limits"),
      requests: resourceList("agent.resources.requests"),
    })
    .prefault({
      requests: { cpu: "50m", memory: "96Mi" },
      limits: { cpu: "200m", memory: "256Mi" },
    }),
  tolerations: k.list(Toleration, 32).prefault([{ key: "nvidia.com/gpu", operator: "Exists" }]),
  priorityClassName: z.string().max(253).default("system-node-critical"),
  updateStrategy: UpdateStrategy.prefault({ type: "RollingUpdate", maxUnavailable: "10%" }),
  hostAccess: z
    .enum(["PodResourcesOnly", "HostPID", "Privileged"])
    .default("PodResourcesOnly")
    .describe("How deep the agent may look into its node: allocations, processes, everything."),
  runtimeClassName: z.string().max(253).optional(),
  spanRing: z
    .enum(["Disabled", "Enabled"])
    .default("Disabled")
    .describe(
      "`Enabled`: the agent sends what killed processes left in span rings under the node's /var/lib/axonize-span-rings, each under its own key. Needs DAC_OVERRIDE: the files are other users'.",
    ),
  env: k.listMap(EnvVariable, "name", 32).optional(),
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
    .optional(),
});

const Sampling = z
  .object({
    periodMilliseconds: k
      .int32(100, 60_000)
      .default(100)
      .describe("Utilisation and power; the rest at most once a second."),
    processPeriodMilliseconds: k.int32(1_000, 600_000).default(5_000),
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
    .default("USD"),
  perGpuHour: price("pricing.perGpuHour").optional(),
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
        perGpuHour: price("pricing.products[].perGpuHour"),
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
  nodeSelector: NodeSelector.prefault({ matchLabels: { "nvidia.com/gpu.present": "true" } }),
  priority: k
    .int32(-1000, 1000)
    .default(0)
    .describe("A node that two pools select is the higher one's, then the older one's."),
  vendor: z
    .enum(["NVIDIA", "Fake"])
    .default("NVIDIA")
    .meta(k.rules(["self == oldSelf", "vendor may not change: make another pool"]))
    .describe("`Fake`: devices that are made up, for trials without a GPU."),
  agent: Agent.prefault({}),
  sampling: Sampling.prefault({}),
  pricing: Pricing.prefault({}),
});
/** With defaults. */
export type GpuPoolSpec = z.infer<typeof GpuPoolSpec>;

const counts = <const T extends string>(...names: readonly T[]) =>
  // The entries have just these names.
  z.object(
    Object.fromEntries(names.map((name) => [name, k.count.optional()])) as Record<
      T,
      z.ZodOptional<typeof k.count>
    >,
  );

export const GpuPoolStatus = z.object({
  observedGeneration: k.int64(0, Number.MAX_SAFE_INTEGER).optional(),
  conditions: k.conditions.optional(),
  nodes: counts("matched", "assigned", "ready", "unhealthy", "conflicting").optional(),
  agent: z
    .object({
      daemonSet: z.string().max(253).optional(),
      ...counts("desired", "updated", "ready", "unavailable").shape,
      image: z.string().max(512).optional(),
      templateHash: z.string().max(64).optional(),
    })
    .optional(),
  gpus: counts("total", "allocatable", "allocated", "unhealthy").optional(),
  products: k
    .listMap(
      z.object({
        product: z.string().max(128),
        count: k.count,
        memoryMiB: k.count.optional(),
        driverVersions: k.set(z.string().max(64), 8).optional(),
        migCapable: z.boolean().optional(),
      }),
      "product",
      64,
    )
    .optional(),
  mig: z
    .object({
      strategy: z.enum(["None", "Single", "Mixed"]),
      devices: k
        .listMap(
          z.object({ profile: z.string().max(64), count: k.count, allocated: k.count }),
          "profile",
          64,
        )
        .optional(),
    })
    .optional(),
  sampling: z
    .object({
      effectivePeriodMilliseconds: k.count.optional(),
      reason: z.string().max(256).optional(),
    })
    .optional()
    .describe("What the agents really do; slower than asked where the budget says so."),
  topProblems: k
    .list(
      z.object({
        node: z.string().max(253),
        reason: z.string().max(256),
        since: k.time.optional(),
      }),
      20,
    )
    .optional(),
  lastInventoryTime: k.time.optional(),
});
export type GpuPoolStatus = z.infer<typeof GpuPoolStatus>;

export const gpuPool: k.CustomResource = {
  kind: "GpuPool",
  plural: "gpupools",
  shortNames: ["gpool"],
  scope: "Cluster",
  doc: "A pool of GPU nodes: which, watched by what agent, how often, at what price.",
  spec: GpuPoolSpec,
  status: GpuPoolStatus,
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
