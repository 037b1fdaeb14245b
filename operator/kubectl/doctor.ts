/**
 * `doctor`: why does this pod not report? Looks along the path of its telemetry, from the claim on its
 * namespace to its last span, and says at each step what is so and, where it is wrong, the line that
 * mends it. It changes nothing.
 */
import * as z from "zod";
import { KeyList } from "@axonize/core/contract/tenant";
import { refreshMs } from "../controllers/tenant/limits.ts";
import { injectionName } from "../injection/policy.ts";
import { annotations, profileName } from "../resources/crds/names.ts";
import { PluginError, type Item, type Kubectl } from "./kubectl.ts";
import {
  askedFor,
  conditionOf,
  injectedAs,
  injectionOf,
  isReady,
  Pod,
  Tenant,
  tenantOf,
} from "./objects.ts";
import { withApi, type Release } from "./release.ts";
import { ago, onDay } from "./text.ts";

export interface Finding {
  /** `unknown`: it could not be looked at. */
  readonly outcome: "ok" | "wrong" | "unknown";
  readonly what: string;
  /** What to do where it is wrong. */
  readonly mend?: string;
}

export interface Patient {
  readonly namespace: string;
  readonly pod: string;
}

export async function examine(
  kubectl: Kubectl,
  release: Release,
  patient: Patient,
  nowMs: number,
): Promise<Finding[]> {
  const [namespace, found, tenants] = await Promise.all([
    kubectl.list(["namespaces", "--field-selector", `metadata.name=${patient.namespace}`]),
    kubectl.get(["pod", patient.pod, "-n", patient.namespace]),
    kubectl.list(["axonizetenants.axonize.io"]),
  ]);
  const [place] = namespace;
  if (place === undefined || found === undefined) {
    throw new PluginError(
      place === undefined
        ? `There is no namespace ${patient.namespace}.`
        : `There is no pod ${patient.pod} in ${patient.namespace}.`,
    );
  }
  const pod = Pod.parse(found);
  const claim = claimOf(z.array(Tenant).parse(tenants), patient.namespace);
  const claimed = claimFinding(claim, place, patient.namespace);
  const running = runningFinding(pod, patient);
  const agent = await agentFinding(kubectl, pod);
  // Of a namespace that is nobody's all the rest would be found wrong, with remedies that are none.
  if (claim?.state !== "Bound") return [claimed, notLookedAt, ...running, agent];
  const arrived = await arrivalsOf(kubectl, release, { patient, tenant: claim.tenant });
  return [
    claimed,
    ...(await injectionFindings(kubectl, { place, pod, patient })),
    await secretFinding(kubectl, patient, claim),
    ...running,
    keyFinding(claim.tenant, arrived, { pod, nowMs }),
    agent,
    spanFinding(arrived, { pod, nowMs }),
  ];
}

const notLookedAt: Finding = {
  outcome: "unknown",
  what: "Variables, Secret, key and spans were not looked at: they come with the tenant.",
};

interface Claim {
  readonly tenant: Tenant;
  readonly state: string;
  readonly conflictingTenant: string;
  readonly keyID: string;
}

function claimOf(tenants: readonly Tenant[], namespace: string): Claim | undefined {
  const claims = tenants.flatMap((tenant) =>
    tenant.status.namespaces
      .filter(({ name }) => name === namespace)
      .map(({ state, conflictingTenant, keyID }) => ({ tenant, state, conflictingTenant, keyID })),
  );
  return claims.find(({ state }) => state === "Bound") ?? claims[0];
}

function claimFinding(claim: Claim | undefined, place: Item, namespace: string): Finding {
  if (claim === undefined) {
    return {
      outcome: "wrong",
      what: `No tenant claims namespace ${namespace}.`,
      mend: `Add it to a tenant's spec.namespaces: kubectl edit axonizetenant <name>, or kubectl axonize tenant create <name> --namespaces ${namespace}`,
    };
  }
  const { name } = claim.tenant.metadata;
  if (claim.state !== "Bound") {
    const other = claim.conflictingTenant === "" ? "" : ` (${claim.conflictingTenant} has it)`;
    const why = conditionOf(claim.tenant.status.conditions, "NamespacesBound")?.message ?? "";
    return {
      outcome: "wrong",
      what: `Tenant ${name} claims it, but it is not bound: ${claim.state}${other}. ${why}`.trim(),
      mend: `kubectl describe axonizetenant ${name}`,
    };
  }
  return tenantOf(place) === ""
    ? {
        outcome: "wrong",
        what: `Bound to tenant ${name}, but the namespace's label is missing.`,
        mend: "The operator puts it back within seconds; if not, see whether it runs: kubectl axonize status",
      }
    : { outcome: "ok", what: `Namespace ${namespace} is bound to tenant ${name}.` };
}

async function injectionFindings(
  kubectl: Kubectl,
  of: { place: Item; pod: Pod; patient: Patient },
): Promise<Finding[]> {
  const { place, pod, patient } = of;
  // By name: what the chart installs of them has no labels, and there is one Axonize in a cluster.
  const [policy, hook, profile] = await Promise.all([
    kubectl.get(["mutatingadmissionpolicies.admissionregistration.k8s.io", injectionName]),
    kubectl.get(["mutatingwebhookconfigurations.admissionregistration.k8s.io", injectionName]),
    kubectl.get(["injectionprofiles.axonize.io", profileName, "-n", patient.namespace]),
  ]);
  const by = policy !== undefined ? "admission policy" : hook !== undefined ? "webhook" : "";
  const mechanism: Finding =
    by === ""
      ? {
          outcome: "wrong",
          what: "Neither admission policy nor webhook of Axonize is installed.",
          mend: "helm upgrade with operator.injection=auto",
        }
      : profile === undefined
        ? {
            outcome: "wrong",
            what: `The ${by} is there, but namespace ${patient.namespace} has no InjectionProfile.`,
            mend: "The operator writes it for bound namespaces; kubectl axonize status tells what keeps it.",
          }
        : { outcome: "ok", what: `Variables are injected by the ${by}.` };
  return [mechanism, podFinding(pod, { mode: injectionOf(place), patient })];
}

function podFinding(pod: Pod, at: { mode: string; patient: Patient }): Finding {
  if (injectedAs(pod) !== "") return { outcome: "ok", what: "The pod got its variables." };
  const asked = askedFor(pod);
  const restart = `kubectl -n ${at.patient.namespace} rollout restart deployment/<its deployment>`;
  if (asked === "false") {
    return {
      outcome: "wrong",
      what: `The pod opts out by its annotation ${annotations.inject}: "false".`,
      mend: "Take the annotation out of its template.",
    };
  }
  if (at.mode === "OptIn" && asked !== "true") {
    return {
      outcome: "wrong",
      what: "The namespace is OptIn, and the pod does not ask.",
      mend: `Annotate its template: ${annotations.inject}: "true"; or set injection.mode: OptOut on the tenant.`,
    };
  }
  if (at.mode === "" || at.mode === "Disabled") {
    return {
      outcome: "wrong",
      what: `Injection is off in this namespace (${at.mode || "no label"}).`,
      mend: "Set injection.mode on the tenant; a program that sets AXONIZE_API_KEY itself needs none.",
    };
  }
  return {
    outcome: "wrong",
    what: `The pod should have got variables and has none: it was made (${pod.metadata.creationTimestamp}) before injection was ready.`,
    mend: `Make it anew: ${restart}`,
  };
}

const SecretData = z.looseObject({ data: z.record(z.string(), z.string()).default({}) });

async function secretFinding(kubectl: Kubectl, patient: Patient, claim: Claim): Promise<Finding> {
  const name = "axonize-ingest";
  let secret: unknown;
  try {
    secret = await kubectl.get(["secret", name, "-n", patient.namespace]);
  } catch (error) {
    // Whoever may not read Secrets may still want the rest.
    const why = error instanceof PluginError ? error.message : String(error);
    return { outcome: "unknown", what: `Secret ${name} could not be read: ${why}` };
  }
  if (secret === undefined) {
    return {
      outcome: "wrong",
      what: `Secret ${name} is not in namespace ${patient.namespace}.`,
      mend: "The operator writes it for bound namespaces: kubectl axonize status",
    };
  }
  const id = Buffer.from(
    SecretData.parse(secret).data["AXONIZE_API_KEY_ID"] ?? "",
    "base64",
  ).toString("utf8");
  return claim.keyID !== "" && id !== claim.keyID
    ? {
        outcome: "wrong",
        what: `Secret ${name} has key ${id || "none"}, the tenant's is ${claim.keyID}.`,
        mend: "The operator puts it right within seconds; if not: kubectl axonize status",
      }
    : { outcome: "ok", what: `Secret ${name} holds key ${id}.` };
}

/** A pod that never got ready sends nothing, whatever else is well; one that is ready needs no line. */
function runningFinding(pod: Pod, { namespace, pod: name }: Patient): Finding[] {
  const isDone = pod.status.phase === "Succeeded";
  if (isDone || isReady(pod) || pod.spec.nodeName === "") return [];
  return [
    {
      outcome: "wrong",
      what: `The pod is not ready (${pod.status.phase || "no phase"}).`,
      mend: `kubectl -n ${namespace} describe pod ${name}`,
    },
  ];
}

/** A program sends its first spans some seconds after it started; before, silence says nothing. */
const firstLookMs = 60_000;

interface Seen {
  readonly pod: Pod;
  readonly nowMs: number;
}

const bornMs = ({ metadata }: Pod): number => Date.parse(metadata.creationTimestamp);

/**
 * The dashboard knows each use within seconds. The status, which is asked where it cannot be, is as old as
 * the operator's last look, so its silence counts only for pods that began to send before that.
 */
export function keyFinding(tenant: Tenant, arrived: Arrived, { pod, nowMs }: Seen): Finding {
  const mend =
    "Does the program export OpenTelemetry at all? Its exporter reads OTEL_EXPORTER_OTLP_ENDPOINT; see its own log.";
  const ageMs = nowMs - bornMs(pod);
  if (arrived.kind === "asked") {
    const { keyUsed, last } = arrived;
    if (keyUsed !== undefined) {
      return { outcome: "ok", what: `The tenant's key was last used ${ago(keyUsed, nowMs)}.` };
    }
    if (last !== undefined) return { outcome: "ok", what: "A key of this tenant was used." };
    const what = "No key of this tenant has been used yet.";
    return ageMs < firstLookMs ? { outcome: "unknown", what } : { outcome: "wrong", what, mend };
  }
  const used = tenant.status.apiKeys.find(({ name }) => name === "ingest")?.lastUsedTime;
  if (used !== undefined) {
    return { outcome: "ok", what: `The tenant's key was last used ${onDay(used, nowMs)}.` };
  }
  const what = `As of up to ${refreshMs / 60_000} minutes ago, the tenant's status knows of no use of its key.`;
  return ageMs < firstLookMs + refreshMs
    ? { outcome: "unknown", what }
    : { outcome: "wrong", what, mend };
}

async function agentFinding(kubectl: Kubectl, pod: Pod): Promise<Finding> {
  const node = pod.spec.nodeName;
  if (node === "") {
    return {
      outcome: "wrong",
      what: "The pod is on no node.",
      mend: "kubectl describe pod tells why.",
    };
  }
  const agents = await kubectl.list([
    "pods",
    "--all-namespaces",
    "-l",
    "app.kubernetes.io/component=agent,app.kubernetes.io/part-of=axonize",
    "--field-selector",
    `spec.nodeName=${node}`,
  ]);
  const ready = z.array(Pod).parse(agents).some(isReady);
  if (ready) return { outcome: "ok", what: `The agent on ${node} is ready.` };
  return {
    outcome: "wrong",
    what:
      agents.length === 0
        ? `There is no agent on ${node}: calls are stored, and joined to no GPU.`
        : `The agent on ${node} is not ready.`,
    mend:
      agents.length === 0
        ? "Is the node in a GpuPool? kubectl get gpupools; kubectl get node --show-labels"
        : "kubectl -n axonize-agents get pods -o wide; kubectl -n axonize-agents logs <pod>",
  };
}

const Traces = z.looseObject({
  items: z.array(z.looseObject({ traceId: z.string(), startTime: z.string() })),
});

export type Arrived =
  | {
      readonly kind: "asked";
      /** When a key that may send was last used. */
      readonly keyUsed: string | undefined;
      readonly last: z.infer<typeof Traces>["items"][number] | undefined;
    }
  | { readonly kind: "unreachable"; readonly why: string };

async function arrivalsOf(
  kubectl: Kubectl,
  release: Release,
  of: { patient: Patient; tenant: Tenant },
): Promise<Arrived> {
  const id = of.tenant.status.tenantID;
  const query = new URLSearchParams({ from: "-24h", limit: "1", pod: of.patient.pod });
  try {
    return await withApi(kubectl, release, async (api) => {
      const keys = await api.get(`/api/v1/admin/tenants/${encodeURIComponent(id)}/keys`, KeyList);
      const { items } = await api.get(`/api/v1/traces?${query.toString()}`, Traces, id);
      const uses = keys.items.flatMap(({ scopes, lastUsedAt }) =>
        scopes.includes("Ingest") && lastUsedAt !== null ? [lastUsedAt] : [],
      );
      return { kind: "asked", keyUsed: uses.toSorted().at(-1), last: items[0] };
    });
  } catch (error) {
    // Whoever may not read the admin key, or reach the dashboard, may still want the rest.
    return { kind: "unreachable", why: error instanceof Error ? error.message : String(error) };
  }
}

export function spanFinding(arrived: Arrived, { pod, nowMs }: Seen): Finding {
  if (arrived.kind === "unreachable") {
    return { outcome: "unknown", what: `The dashboard could not be asked: ${arrived.why}` };
  }
  const { last } = arrived;
  if (last !== undefined) {
    return {
      outcome: "ok",
      what: `Its last request arrived ${ago(last.startTime, nowMs)}: trace ${last.traceId}.`,
    };
  }
  if (nowMs - bornMs(pod) < firstLookMs) {
    return {
      outcome: "unknown",
      what: `No span of this pod has arrived; it was made ${ago(pod.metadata.creationTimestamp, nowMs)}.`,
    };
  }
  return {
    outcome: "wrong",
    what: "No span of this pod has arrived in the last 24 hours.",
    mend: "If everything above is well, send one by hand from inside it: the Start page has the line.",
  };
}

export function findingsText(findings: readonly Finding[], color: boolean): string {
  const marks = { ok: "✓", wrong: "✗", unknown: "?" } as const;
  const paint = { ok: 32, wrong: 31, unknown: 33 } as const;
  return findings
    .map(({ outcome, what, mend }) => {
      const mark = color ? `\u001b[${paint[outcome]}m${marks[outcome]}\u001b[0m` : marks[outcome];
      return mend === undefined ? `${mark} ${what}` : `${mark} ${what}\n    → ${mend}`;
    })
    .join("\n");
}
