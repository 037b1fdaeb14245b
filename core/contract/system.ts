/**
 * What Axonize says of itself: session, first steps, own health.
 */
import * as z from "zod";
import { Timestamp } from "./common.ts";
import { Capture, Scope } from "./tenant.ts";

export const Health = z.object({ status: z.literal("ok") }).meta({ id: "Health" });
export const Ready = z
  .object({
    status: z.enum(["ready", "notReady"]),
    checks: z.record(z.string(), z.object({ ok: z.boolean(), detail: z.string() })),
  })
  .meta({ id: "Ready" });

export const Session = z
  .object({
    authenticated: z.boolean(),
    keyNeeded: z.boolean(),
    mode: z.enum(["standalone", "cluster"]),
    version: z.string(),
    tenant: z.object({ id: z.string(), name: z.string(), capture: Capture }).nullable(),
    scopes: z.array(Scope),
    admin: z.boolean().describe("The caller may use the admin routes."),
    login: z
      .object({ label: z.string() })
      .nullable()
      .describe("People may log in at `auth/login`; the provider's name. Null: keys alone."),
    user: z.object({ name: z.string() }).nullable().describe("Who is logged in."),
    csrfToken: z
      .string()
      .nullable()
      .describe("With a log-in, sent back as `x-axonize-csrf` by whatever changes something."),
    tenants: z
      .array(z.object({ id: z.string(), name: z.string() }))
      .describe("Whose data a person who is logged in may choose, by `x-axonize-tenant`."),
  })
  .meta({ id: "Session" });
export type Session = z.infer<typeof Session>;

export const Start = z
  .object({
    otlpGrpcEndpoint: z.string(),
    otlpHttpEndpoint: z.string(),
    apiEndpoint: z.string(),
    keyNeeded: z.boolean(),
    capture: Capture,
    firstSpanAt: Timestamp.nullable(),
    firstTraceId: z.string().nullable(),
    gpuSeen: z.boolean(),
  })
  .meta({ id: "Start" });
export type Start = z.infer<typeof Start>;

const nullableNumber = z.number().nullable();

const Store = z.object({
  name: z.enum(["clickhouse", "postgres"]),
  ok: z.boolean(),
  version: z.string(),
  latencyMs: z.number().nullable(),
  bytes: z.number().nullable(),
  detail: z.string(),
});

/** One running process of ours, from its heartbeat in PostgreSQL (`component_status`). */
const Component = z.object({
  component: z.string(),
  instance: z.string(),
  version: z.string(),
  updatedAt: Timestamp,
  stale: z.boolean(),
  status: z
    .record(z.string(), z.unknown())
    .describe("Counters and gauges, names as in docs/metrics.md."),
});

/** A node's agent, as its newest report has it. */
const Agent = z.object({
  node: z.string(),
  version: z.string(),
  lastReport: Timestamp,
  stale: z.boolean(),
  driverVersion: z.string(),
  trouble: z.string().describe("Why it reads nothing; empty when it does."),
  periodMs: nullableNumber.describe("Between samples now."),
  wantedPeriodMs: nullableNumber.describe("As configured; less than now when over its budget."),
  cpuRatio: nullableNumber.describe("Of one core."),
  offsetMs: nullableNumber.describe("Its clock minus ours."),
  offsetErrorMs: nullableNumber,
  drops: z.array(z.object({ reason: z.string(), count: z.number() })),
  findings: z.array(z.object({ check: z.string(), message: z.string(), mend: z.string() })),
});

export const System = z
  .object({
    time: Timestamp,
    version: z.string(),
    mode: z.enum(["standalone", "cluster"]),
    scope: z
      .enum(["installation", "tenant"])
      .describe(
        "`tenant`: for the whole installation's figures, left 0, null or empty here, the admin key is needed.",
      ),
    stores: z.array(Store),
    components: z.array(Component),
    ingest: z.object({
      spansPerSecond: z.number(),
      bytesPerSecond: z.number(),
      lagMs: z.number().nullable().describe("Age of the oldest span not yet acknowledged."),
      lastSpanAt: Timestamp.nullable(),
      rejects: z.array(
        z.object({
          reason: z.string(),
          count: z.number(),
          advice: z
            .string()
            .describe("What the sender should do; empty where the reason says it already."),
        }),
      ),
    }),
    tables: z.array(
      z.object({ name: z.string(), rows: z.number(), bytes: z.number(), parts: z.number() }),
    ),
    agents: z.array(Agent),
    unjoined: z
      .array(z.object({ reason: z.string(), seconds: z.number() }))
      .describe("Join health: seconds of device time without an owner, since the agents' start."),
    errors: z.array(
      z.object({ time: Timestamp, component: z.string(), code: z.string(), message: z.string() }),
    ),
  })
  .meta({ id: "System" });
export type System = z.infer<typeof System>;
