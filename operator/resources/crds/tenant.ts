/**
 * AxonizeTenant: who sends and who may read, which namespaces are theirs, with which keys and limits.
 *
 * Cluster-scoped: only who may edit the cluster maps a namespace to a tenant. Secrets are named and never
 * given; what cannot be changed later says so in its rule.
 */
import * as z from "zod";
import { captureModes, scopes } from "@axonize/core/contract/tenant";
import * as k from "./schema.ts";
import { TenantStatus } from "./tenant-status.ts";

export const injectionModes = ["OptIn", "OptOut", "Disabled"] as const;
const InjectionMode = z.enum(injectionModes);

const secretOf = (key: string) =>
  `(has(${key}.secretName) ? ${key}.secretName : 'axonize-' + ${key}.name)`;

/** Of `k=v,k=v` with kubelet's `$(VAR)`: the signs that either of them reads are refused. */
export const attributeValuePattern = "^[A-Za-z0-9._~:/@+-]{1,128}$";

const Namespace = z.object({
  name: k
    .dnsLabel("namespaces[].name")
    .meta(
      k.rules(
        [
          `self.matches(r'${k.dnsLabelPattern}')`,
          "namespaces[].name must be a DNS label: a-z, 0-9 and '-'",
        ],
        ["!self.startsWith('kube-')", "namespaces[].name may not begin with kube-"],
      ),
    )
    .describe("The namespace. It is bound by its UID: made anew, it is another one."),
  injection: InjectionMode.optional().describe("Instead of `injection.mode`, here."),
  environment: k
    .text(
      63,
      "^[A-Za-z0-9_.-]+$",
      "namespaces[].environment must be letters, digits, '_', '.' and '-'",
    )
    .optional()
    .describe("`deployment.environment.name` of what is sent from here."),
});

const Rotation = z
  .object({
    periodSeconds: k
      .int64(0, 315_360_000)
      .meta(
        k.rules([
          "self == 0 || self >= 86400",
          "rotation.periodSeconds must be 0 (never) or at least 86400 (a day)",
        ]),
      )
      .default(7_776_000)
      .describe("How long a key is current. 0: until asked to rotate."),
    overlapSeconds: k
      .int64(3_600, 2_592_000)
      .default(604_800)
      .describe("How long the key before still counts: pods keep what they were started with."),
    revokeWhen: z
      .enum(["OverlapElapsed", "UnusedFor24h"])
      .default("OverlapElapsed")
      .describe("`UnusedFor24h`: a key still in use lives on past its overlap."),
  })
  .meta(
    k.rules([
      "self.periodSeconds == 0 || self.periodSeconds >= 2 * self.overlapSeconds",
      "rotation.periodSeconds must be at least twice rotation.overlapSeconds (604800 unless given)",
    ]),
  );

const ApiKey = z
  .object({
    name: k.dnsLabel("apiKeys[].name", 20).describe("Of the key; its Secret is named after it."),
    // Atomic: an apply that names others than the default must not be merged with it.
    scopes: k
      .list(z.enum(scopes), scopes.length)
      .min(1)
      .default(["Ingest"])
      .meta(
        k.rules([
          "!self.exists(s, s == 'Admin') || size(self) == 1",
          "apiKeys[].scopes may not join Admin with another scope",
        ]),
      )
      .describe("What may be done with it: send, read, administrate."),
    distribution: z
      .enum(["AllNamespaces", "OperatorNamespace"])
      .default("AllNamespaces")
      .describe("Where the Secret is written."),
    secretName: k
      .text(
        63,
        "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
        "apiKeys[].secretName must be a DNS subdomain: a-z, 0-9, '-' and '.'",
      )
      .optional()
      .describe("Default: `axonize-<name>`."),
    rotation: Rotation.prefault({}).describe(
      "When it is replaced, and how long the old one counts.",
    ),
  })
  .meta(
    k.rules(
      [
        "self.distribution != 'AllNamespaces' || self.scopes.all(s, s == 'Ingest')",
        "apiKeys[].distribution must be OperatorNamespace for a key with other scopes than Ingest",
      ],
      [
        `${secretOf("self")} == ${secretOf("oldSelf")}`,
        "apiKeys[].secretName may not change: pods refer to it",
      ],
    ),
  );

const Quotas = z
  .object({
    spansPerSecond: k.int64(0, 10_000_000).default(0).describe("0: no limit."),
    burstSpans: k
      .int64(0, 100_000_000)
      .optional()
      .describe("How many at once. Default: twice `spansPerSecond`."),
    ingestBytesPerDay: k
      .quantity("quotas.ingestBytesPerDay")
      .optional()
      .describe("OTLP bytes after decompression, by UTC day."),
    onExceeded: z
      .enum(["Sample", "Reject", "Warn"])
      .default("Sample")
      .describe("`Sample`: whole traces, by their id. `Warn`: all is kept, the condition tells."),
  })
  .meta(
    k.rules([
      "!has(self.burstSpans) || self.burstSpans >= self.spansPerSecond",
      "quotas.burstSpans must be at least quotas.spansPerSecond",
    ]),
  );

const Retention = z
  .object({
    traceDays: k.int32(1, 3650).default(30).describe("Spans: all but what `payloadDays` is for."),
    payloadDays: k
      .int32(1, 3650)
      .default(7)
      .describe("Attributes, events, prompts and completions."),
  })
  .meta(
    k.rules([
      "self.payloadDays <= self.traceDays",
      "retention.payloadDays (7 unless given) may not exceed retention.traceDays",
    ]),
  );

const Injection = z.object({
  mode: InjectionMode.default("OptIn").describe(
    '`OptIn`: pods annotated `axonize.io/inject: "true"`; `OptOut`: all but those with "false".',
  ),
  containers: z
    .enum(["All", "First"])
    .default("All")
    .describe("A pod's annotation `axonize.io/containers` (names, by commas) wins."),
  delivery: z
    .enum(["Env", "EnvAndFile"])
    .default("Env")
    .describe("`EnvAndFile` mounts the key, too: it rotates without a restart."),
  endpoint: z
    .string()
    .max(512)
    .meta(
      k.rules([
        "isURL(self) && url(self).getScheme() in ['http', 'https'] && !self.contains('$')",
        "injection.endpoint must be an http or https URL",
      ]),
    )
    .optional()
    .describe("Where pods send by OTLP/HTTP. Default: the ingest of this cluster."),
  resourceAttributes: k
    .map(
      32,
      128,
      [
        "self.all(key, key.matches(r'^[a-z][a-z0-9_.]{0,127}$'))",
        "injection.resourceAttributes must have keys of a-z, 0-9, '_' and '.', at most 128 long",
      ],
      [
        "self.all(key, !key.startsWith('k8s.') && !key.startsWith('axonize.') && key != 'service.instance.id')",
        "injection.resourceAttributes may not set k8s.*, axonize.* or service.instance.id: they are facts",
      ],
      [
        `self.all(key, self[key].matches(r'${attributeValuePattern}'))`,
        "injection.resourceAttributes must have values of letters, digits and . _ ~ : / @ + -",
      ],
    )
    .optional()
    .describe("Resource attributes that everything sent from injected pods has."),
});

export const AxonizeTenantSpec = z
  .object({
    tenantID: k
      .dnsLabel("tenantID", 53)
      .optional()
      .describe("Public id, in the API and in keys. Default: the resource's name."),
    displayName: z
      .string()
      .min(1)
      .max(63)
      .optional()
      .describe("For people, on the dashboard. Default: the tenant's id."),
    adminState: z
      .enum(["Active", "ReadOnly", "Suspended"])
      .default("Active")
      .describe(
        "Neither `ReadOnly` nor `Suspended` takes anything in, both answer; `Suspended` stops injection, too.",
      ),
    deletionPolicy: z
      .enum(["Retain", "Delete"])
      .default("Retain")
      .describe("What becomes of the data when this resource is deleted."),
    adoptionPolicy: z
      .enum(["IfUnowned", "Force"])
      .default("IfUnowned")
      .describe("Of a tenant of this id that is there already."),
    namespaces: k
      .listMap(Namespace, "name", 256)
      .optional()
      .describe(
        "Whose pods send as this tenant. A namespace has one tenant: the first to bind it.",
      ),
    apiKeys: k
      .listMap(ApiKey, "name", 8)
      .meta(
        k.rules([
          `self.all(a, self.exists_one(b, ${secretOf("a")} == ${secretOf("b")}))`,
          "apiKeys[].secretName must differ between keys",
        ]),
      )
      .prefault([{ name: "ingest", scopes: ["Ingest"] }])
      .describe(
        "Keys are declared here, their values are in Secrets. What is there by default, a later server-side apply adds to.",
      ),
    quotas: Quotas.prefault({}).describe("How much may be sent, and what becomes of the rest."),
    retention: Retention.prefault({}).describe("For how long what was sent can be read."),
    privacy: z
      .object({
        capturePayloads: z
          .enum(captureModes)
          .default("None")
          .describe("`None` drops them, `Redacted` keeps how long they were, `Full` keeps them."),
      })
      .prefault({})
      .describe("What happens to prompts and completions before storage."),
    sampling: z
      .object({
        tracesPerMillion: k
          .int32(0, 1_000_000)
          .default(1_000_000)
          .describe("Of a million traces, each whole; the others are left out and counted."),
      })
      .prefault({})
      .describe("How many traces are kept, by their id."),
    injection: Injection.prefault({}).describe(
      "What pods of the namespaces get when they are made.",
    ),
  })
  .meta(
    k.rules([
      "!has(oldSelf.tenantID) || (has(self.tenantID) && self.tenantID == oldSelf.tenantID)",
      "tenantID may not change once it is set: data is kept under it",
    ]),
  );
/** With defaults. */
export type AxonizeTenantSpec = z.infer<typeof AxonizeTenantSpec>;
export type ApiKeySpec = AxonizeTenantSpec["apiKeys"][number];

export type AxonizeTenantStatus = z.infer<typeof TenantStatus>;

export const axonizeTenant: k.CustomResource = {
  kind: "AxonizeTenant",
  plural: "axonizetenants",
  shortNames: ["axt"],
  scope: "Cluster",
  doc: "A tenant: whose telemetry it is, which namespaces send it, with which keys and limits.",
  spec: AxonizeTenantSpec,
  status: TenantStatus,
  rules: [
    ["size(self.metadata.name) <= 53", "metadata.name may have at most 53 characters"],
    [
      `has(self.spec.tenantID) || self.metadata.name.matches(r'${k.dnsLabelPattern}')`,
      "metadata.name must be a DNS label without dots, or spec.tenantID must be given",
    ],
  ],
  columns: [
    { name: "Tenant", type: "string", jsonPath: ".status.tenantID" },
    { name: "State", type: "string", jsonPath: ".spec.adminState" },
    ...k.conditionColumns("Ready"),
    { name: "NS", type: "integer", jsonPath: ".status.boundNamespaces" },
    { name: "Quota%", type: "integer", jsonPath: ".status.usage.quotaUsedPercent" },
    { name: "Traces(d)", type: "integer", jsonPath: ".spec.retention.traceDays" },
    { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
    {
      name: "Message",
      type: "string",
      priority: 1,
      jsonPath: '.status.conditions[?(@.type=="Ready")].message',
    },
    {
      name: "Next rotation",
      // As `date` kubectl shows how long ago it was, and `<invalid>` for what is to come.
      type: "string",
      priority: 1,
      jsonPath: ".status.apiKeys[0].nextRotationTime",
    },
  ],
  selectableFields: [".spec.tenantID", ".spec.adminState"],
};
