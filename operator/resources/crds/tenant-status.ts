/**
 * The status of an AxonizeTenant: what is in effect, enough to answer why a namespace does not report. Ids of
 * keys and never their values; times of use by day, so that use alone is no write.
 */
import * as z from "zod";
import * as k from "./schema.ts";

const NamespaceStatus = z.object({
  name: z.string().max(63).describe("As in the spec."),
  state: z
    .enum(["Bound", "Conflict", "Denied", "Missing", "Terminating"])
    .describe("Whether it is this tenant's, and if not, why."),
  conflictingTenant: z.string().max(253).optional().describe("With `Conflict`: who has it."),
  keyID: z.string().max(32).optional().describe("Of the key in its Secret."),
  secretResourceVersion: z
    .string()
    .max(64)
    .optional()
    .describe("Of that Secret, as the operator last saw it."),
  uninjectedPods: k.count
    .optional()
    .describe("Pods made before injection, which report nothing; above nine rounded down."),
  boundTime: k.time.optional().describe("Since when it is this tenant's."),
});

const KeyStatus = z.object({
  name: z.string().max(20).describe("As in the spec."),
  currentKeyID: z
    .string()
    .max(32)
    .optional()
    .describe("Absent where each namespace has its own: see `namespaces[].keyID`."),
  previousKeyID: z.string().max(32).optional().describe("A key before that still counts."),
  previousExpiresTime: k.time.optional().describe("Until when it does."),
  lastRotationTime: k.time.optional().describe("When the current key became it."),
  nextRotationTime: k.time.optional().describe("When it will be replaced by itself."),
  lastUsedTime: k.time.optional().describe("By day."),
});

const Usage = z.object({
  windowStart: k.time.describe("The hour's beginning."),
  windowEnd: k.time.describe("The hour's end."),
  spans: k.bigCount.describe("Spans that were kept."),
  ingestBytes: k.bigCount.describe("OTLP bytes after decompression."),
  gpuSeconds: z.string().max(32).describe("Span duration × devices."),
  quotaUsedPercent: k.count.describe("Of the quota that is used most."),
});

export const TenantStatus = z
  .object({
    observedGeneration: k.observedGeneration.optional(),
    tenantID: z.string().max(63).optional().describe("What the tenant is really called."),
    databaseID: z.string().max(20).optional().describe("Its number in ClickHouse's keys."),
    conditions: k.conditions.optional(),
    namespaces: k
      .listMap(NamespaceStatus, "name", 256)
      .optional()
      .describe("What became of each claim of the spec."),
    boundNamespaces: k.count.optional().describe("How many are bound."),
    apiKeys: k
      .listMap(KeyStatus, "name", 8)
      .optional()
      .describe("Ids of keys, never their values."),
    usage: Usage.optional().describe("Of the hour; written at most every 5 minutes."),
    retention: z
      .object({
        effectiveTraceDays: k.int32(1, 3650).optional().describe("Of spans."),
        effectivePayloadDays: k.int32(1, 3650).optional().describe("Of what they carry."),
      })
      .optional()
      .describe("What holds for reads now."),
    lastHandledRotateAt: z
      .string()
      .max(256)
      .optional()
      .describe("The value of `axonize.io/rotate-keys` that was acted on."),
    lastHandledReconcileAt: z
      .string()
      .max(256)
      .optional()
      .describe("The value of `axonize.io/reconcile-at` that was acted on."),
  })
  .describe("What is in effect, as the operator found it.");
