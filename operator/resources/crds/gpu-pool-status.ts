/**
 * The status of a GpuPool: counts alone. Per-node detail is in PostgreSQL, as 5,000 nodes do not fit into one
 * object and each change would be written to etcd.
 */
import * as z from "zod";
import * as k from "./schema.ts";

const counts = <const T extends string>(docs: Readonly<Record<T, string>>) =>
  // The entries have just these names.
  z.object(
    Object.fromEntries(
      Object.entries<string>(docs).map(([name, doc]) => [name, k.count.optional().describe(doc)]),
    ) as Record<T, z.ZodOptional<typeof k.count>>,
  );

const Product = z.object({
  product: z.string().max(128).describe("As its driver names it."),
  count: k.count.describe("How many there are."),
  memoryMiB: k.count.optional().describe("Of one."),
  driverVersions: k.set(z.string().max(64), 8).optional().describe("On the nodes that have it."),
  migCapable: z.boolean().optional().describe("Whether it can be cut into slices."),
});

const Mig = z.object({
  strategy: z
    .enum(["None", "Single", "Mixed"])
    .describe("How the device plugin offers slices, as nodes show it."),
  devices: k
    .listMap(
      z.object({
        profile: z.string().max(64).describe("Such as `1g.10gb`."),
        count: k.count.describe("How many there are."),
        allocated: k.count.describe("How many a pod holds."),
      }),
      "profile",
      64,
    )
    .optional()
    .describe("Slices by profile."),
});

export const PoolStatus = z
  .object({
    observedGeneration: k.observedGeneration.optional(),
    conditions: k.conditions.optional(),
    nodes: counts({
      matched: "That the selector matches.",
      assigned: "That are this pool's.",
      ready: "Of these, with an agent that is ready.",
      unhealthy: "Of these, with something wrong; `topProblems` has what.",
      conflicting: "That match and are another pool's.",
    })
      .optional()
      .describe("How many nodes there are."),
    agent: z
      .object({
        daemonSet: z.string().max(253).optional().describe("Its name, in the agents' namespace."),
        ...counts({
          desired: "Nodes that should have an agent.",
          updated: "Agents of the current template.",
          ready: "Agents that are ready.",
          unavailable: "Nodes without an agent that is available.",
        }).shape,
        image: z.string().max(512).optional().describe("Of the template in effect."),
        templateHash: z.string().max(64).optional().describe("Of the template in effect."),
      })
      .optional()
      .describe("The DaemonSet of agents."),
    gpus: counts({
      total: "That agents, labels or DRA tell of.",
      allocatable: "That the kubelets offer; slices count one each.",
      allocated: "That pods hold.",
      unhealthy: "That are lost or that the kubelets do not offer.",
    })
      .optional()
      .describe("How many GPUs there are."),
    products: k.listMap(Product, "product", 64).optional().describe("GPUs by product."),
    mig: Mig.optional().describe("Slices, where GPUs are cut."),
    sampling: z
      .object({
        effectivePeriodMilliseconds: k.count.optional().describe("Of the slowest agent."),
        reason: z.string().max(256).optional().describe("`AsConfigured`, or why it is slower."),
      })
      .optional()
      .describe("What the agents really do; slower than asked where the budget says so."),
    topProblems: k
      .list(
        z.object({
          node: z.string().max(253).describe("Its name."),
          reason: z.string().max(256).describe("What is wrong there."),
          since: k.time.optional().describe("When it was first seen."),
        }),
        20,
      )
      .optional()
      .describe("The first twenty nodes with something wrong."),
    lastInventoryTime: k.time.optional().describe("When the inventory last changed."),
  })
  .describe("What is in effect, as the operator found it.");
