/**
 * Tenants, keys, limits, usage: the administration part of the API (design §6, §9, §10).
 */
import * as z from "zod";
import { TenantId, TimeRangeQuery, Timestamp, page } from "./common.ts";

export const captureModes = ["None", "Redacted", "Full"] as const;
export const Capture = z
  .enum(captureModes)
  .describe("What happens to prompts and completions before storage.");
/** `ReadOnly` and `Suspended` stop ingest and keep queries; `Suspended` stops injection, too. */
export const adminStates = ["Active", "ReadOnly", "Suspended"] as const;
/** What ingest does beyond a limit: keeps a part of the traces whole, refuses, or only says so. */
export const excessActions = ["Sample", "Reject", "Warn"] as const;
export const scopes = ["Ingest", "Query", "Admin"] as const;
export const Scope = z.enum(scopes);

/** Null means unlimited. Over a limit, ingest answers 429 / RESOURCE_EXHAUSTED with a retry hint. */
export const Limits = z.object({
  spansPerSecond: z.number().int().min(1).max(10_000_000).nullable().default(null),
  bytesPerDay: z.number().int().min(1).max(1e15).nullable().default(null),
});

export const Tenant = z
  .object({
    id: TenantId,
    name: z.string(),
    capture: Capture,
    limits: Limits,
    retentionDays: z.number().int(),
    owner: z
      .enum(["api", "operator", "standalone"])
      .describe("`operator`: a custom resource owns it; REST answers 409."),
    createdAt: Timestamp,
  })
  .meta({ id: "Tenant" });
export type Tenant = z.infer<typeof Tenant>;

export const TenantList = page(Tenant).meta({ id: "TenantList" });
export const TenantParams = z.object({ tenantId: TenantId });
const name = z.string().trim().min(1).max(128);
const retentionDays = z.number().int().min(1).max(3650);
export const CreateTenant = z
  .strictObject({
    id: TenantId.optional().describe("Made from the name when left out."),
    name,
    capture: Capture.optional(),
    limits: Limits.partial().optional(),
    retentionDays: retentionDays.optional(),
  })
  .meta({ id: "CreateTenant" });
export const UpdateTenant = z
  .strictObject({
    name: name.optional(),
    capture: Capture.optional(),
    limits: z
      .strictObject({
        spansPerSecond: z.number().int().min(1).max(10_000_000).nullable().optional(),
        bytesPerDay: z.number().int().min(1).max(1e15).nullable().optional(),
      })
      .optional(),
    retentionDays: retentionDays.optional(),
  })
  .meta({ id: "UpdateTenant" });

export const Key = z
  .object({
    prefix: z.string().describe("The key's id: what stands between `axk_` and the secret."),
    name: z.string(),
    scopes: z.array(Scope),
    createdAt: Timestamp,
    lastUsedAt: Timestamp.nullable(),
    expiresAt: Timestamp.nullable(),
    revokedAt: Timestamp.nullable(),
  })
  .meta({ id: "Key" });
export type Key = z.infer<typeof Key>;
export const KeyList = page(Key).meta({ id: "KeyList" });
export const CreateKey = z
  .strictObject({
    name: z.string().trim().max(128).default(""),
    scopes: z.array(Scope).min(1).max(3).default(["Ingest", "Query"]),
  })
  .meta({ id: "CreateKey" });
export const CreatedKey = z
  .object({ ...Key.shape, key: z.string().describe("The whole key. Shown this once.") })
  .meta({ id: "CreatedKey" });
export const KeyParams = z.object({ tenantId: TenantId, prefix: z.string().min(1).max(64) });

export const UsageQuery = z.object({
  ...TimeRangeQuery.shape,
  from: TimeRangeQuery.shape.from.default("-30d"),
});
const UsageFigures = z.object({
  spans: z.number().int(),
  bytes: z.number().describe("OTLP bytes taken in, after decompression."),
  inputTokens: z.number(),
  outputTokens: z.number(),
  gpuSeconds: z.number().describe("Span duration × devices; provisional until there is a ledger."),
});
export const Usage = z
  .object({
    tenantId: z.string(),
    from: Timestamp,
    to: Timestamp,
    ...UsageFigures.shape,
    gpuSecondsBasis: z.literal("spanDuration"),
    hours: z.array(z.object({ hour: Timestamp, ...UsageFigures.shape })),
  })
  .meta({ id: "Usage" });
export type Usage = z.infer<typeof Usage>;
