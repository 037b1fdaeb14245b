/**
 * The cluster's objects as far as the plug-in reads them. What is not there yet has a default, so that a
 * resource that was just made is shown like any other.
 */
import * as z from "zod";
import { labels, annotations } from "../resources/crds/names.ts";
import type { Item } from "./kubectl.ts";

const text = z.string().default("");
const count = z.number().default(0);
export const Condition = z.looseObject({
  type: z.string(),
  status: z.string(),
  reason: text,
  message: text,
});
export type Condition = z.infer<typeof Condition>;

export const Tenant = z.looseObject({
  metadata: z.looseObject({ name: z.string() }),
  spec: z.looseObject({ adminState: z.string().default("Active") }).prefault({}),
  status: z
    .looseObject({
      tenantID: text,
      conditions: z.array(Condition).default([]),
      boundNamespaces: count,
      namespaces: z
        .array(
          z.looseObject({
            name: z.string(),
            state: z.string(),
            conflictingTenant: text,
            keyID: text,
            uninjectedPods: count,
          }),
        )
        .default([]),
      apiKeys: z
        .array(
          z.looseObject({
            name: z.string(),
            currentKeyID: text,
            previousKeyID: text,
            previousExpiresTime: z.string().optional(),
            nextRotationTime: z.string().optional(),
            lastUsedTime: z.string().optional(),
          }),
        )
        .default([]),
      usage: z
        .looseObject({
          windowStart: text,
          windowEnd: text,
          spans: text,
          ingestBytes: text,
          gpuSeconds: text,
          quotaUsedPercent: count,
        })
        .optional(),
    })
    .prefault({}),
});
export type Tenant = z.infer<typeof Tenant>;

export const Pool = z.looseObject({
  metadata: z.looseObject({ name: z.string() }),
  status: z
    .looseObject({
      conditions: z.array(Condition).default([]),
      nodes: z.looseObject({ assigned: count }).prefault({}),
      agent: z.looseObject({ ready: count, desired: count }).prefault({}),
      gpus: z.looseObject({ total: count, allocated: count }).prefault({}),
    })
    .prefault({}),
});

export const Workload = z.looseObject({
  metadata: z.looseObject({ name: z.string(), namespace: text }),
  spec: z.looseObject({ replicas: z.number().default(1) }).prefault({}),
  status: z.looseObject({ readyReplicas: count }).prefault({}),
});

export const Pod = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    uid: text,
    creationTimestamp: text,
    annotations: z.record(z.string(), z.string()).default({}),
  }),
  spec: z.looseObject({ nodeName: text }).prefault({}),
  status: z
    .looseObject({
      phase: text,
      conditions: z.array(z.looseObject({ type: z.string(), status: z.string() })).default([]),
    })
    .prefault({}),
});
export type Pod = z.infer<typeof Pod>;

export const isReady = (pod: Pod): boolean =>
  pod.status.conditions.some(({ type, status }) => type === "Ready" && status === "True");

export const conditionOf = (
  conditions: readonly Condition[],
  type: string,
): Condition | undefined => conditions.find((condition) => condition.type === type);

export const tenantOf = (namespace: Item): string => namespace.metadata.labels[labels.tenant] ?? "";
export const injectionOf = (namespace: Item): string =>
  namespace.metadata.labels[labels.injection] ?? "";
export const askedFor = (pod: Pod): string => pod.metadata.annotations[annotations.inject] ?? "";
export const injectedAs = (pod: Pod): string =>
  pod.metadata.annotations[annotations.injected] ?? "";
