/**
 * By what pods are injected in this cluster, and whether it works: what `InjectionReady` says.
 *
 * The chart installs one or the other; this looks at what is there. Nothing is remembered but for a
 * minute: a cluster that is upgraded, or a policy that is deleted, shows by itself.
 */
import { X509Certificate } from "node:crypto";
import type { Clock } from "@axonize/core/runtime/clock";
import { isNotFound } from "../kube/api-error.ts";
import {
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
  secrets,
} from "../kube/kinds.ts";
import type { KubeClient } from "../kube/types.ts";
import type { tenantConditions } from "../resources/crds/conditions.ts";
import { covers, fromSecretData } from "./certificates.ts";
import { probeMs } from "./limits.ts";
import { injectionName } from "./policy.ts";
import {
  configurationRef,
  hostsOf,
  webhookSecretName,
  type Secret,
  type WebhookConfiguration,
} from "./webhook-controller.ts";

/** AXONIZE_INJECTION: what the chart was told. */
export type InjectionSetting = "auto" | "policy" | "webhook" | "off";
export type Mechanism = "policy" | "webhook" | "unsupported";

type Reasons = (typeof tenantConditions)["InjectionReady"];
export interface InjectionFact {
  readonly mechanism: Mechanism;
  readonly status: "True" | "False";
  readonly reason: keyof Reasons["True"] | keyof Reasons["False"];
  readonly message: string;
}

const policyRef = { kind: mutatingAdmissionPolicies, name: injectionName };
const bindingRef = { kind: mutatingAdmissionPolicyBindings, name: injectionName };

/** `policy` also where the cluster knows such policies and ours is yet to come. */
export async function detectInjection(
  client: KubeClient,
  setting: InjectionSetting = "auto",
): Promise<Mechanism> {
  if (setting === "off") return "unsupported";
  if (setting !== "webhook" && (await client.get(policyRef)) !== undefined) return "policy";
  if (setting !== "policy" && (await client.get(configurationRef)) !== undefined) return "webhook";
  if (setting === "webhook") return "unsupported";
  return (await knowsPolicies(client)) ? "policy" : "unsupported";
}

async function knowsPolicies(client: KubeClient): Promise<boolean> {
  try {
    await client.list(mutatingAdmissionPolicies, {
      fieldSelector: `metadata.name=${injectionName}`,
      metadataOnly: true,
    });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false; // the kind, not an object of it
    throw error;
  }
}

export interface InjectionProbe {
  /** As of at most a minute ago. */
  fact(): Promise<InjectionFact>;
}

export function createInjectionProbe(
  deps: { client: KubeClient; clock: Clock },
  options: { setting: InjectionSetting; /** The operator's. */ namespace: string },
): InjectionProbe {
  const { client, clock } = deps;
  let last: { readonly at: number; readonly fact: Promise<InjectionFact> } | undefined;
  return {
    async fact() {
      if (last === undefined || clock.monotonic() - last.at >= probeMs) {
        const fact = detectInjection(client, options.setting).then(
          async (mechanism) =>
            await injectionFact(client, mechanism, {
              namespace: options.namespace,
              now: clock.now(),
            }),
        );
        const made = { at: clock.monotonic(), fact };
        last = made;
        // An error is thrown to whoever asked and asked again by the next.
        fact.catch(() => {
          if (last === made) last = undefined;
        });
      }
      return await last.fact;
    },
  };
}

export async function injectionFact(
  client: KubeClient,
  mechanism: Mechanism,
  of: { readonly namespace: string; readonly now: number },
): Promise<InjectionFact> {
  if (mechanism === "policy") return await policyFact(client);
  if (mechanism === "webhook") return await webhookFact(client, of);
  return {
    mechanism,
    status: "False",
    reason: "NotSupported",
    message:
      "neither the policy nor the webhook is installed: upgrade the chart, or set operator.injection",
  };
}

async function policyFact(client: KubeClient): Promise<InjectionFact> {
  const missing = [
    ...((await client.get(policyRef)) === undefined ? ["MutatingAdmissionPolicy"] : []),
    ...((await client.get(bindingRef)) === undefined ? ["MutatingAdmissionPolicyBinding"] : []),
  ];
  return missing.length === 0
    ? {
        mechanism: "policy",
        status: "True",
        reason: "PolicyActive",
        message: `pods are injected by the policy ${injectionName}`,
      }
    : {
        mechanism: "policy",
        status: "False",
        reason: "PolicyMissing",
        message: `there is no ${missing.join(" and no ")} ${injectionName}: upgrade the chart`,
      };
}

async function webhookFact(
  client: KubeClient,
  of: { readonly namespace: string; readonly now: number },
): Promise<InjectionFact> {
  const configuration = await client.get<WebhookConfiguration>(configurationRef);
  const secret = await client.get<Secret>({
    kind: secrets,
    name: webhookSecretName,
    namespace: of.namespace,
  });
  const wrong =
    configuration === undefined
      ? `there is no MutatingWebhookConfiguration ${injectionName}`
      : wrongWith(configuration, secret, of.now);
  return wrong === undefined
    ? {
        mechanism: "webhook",
        status: "True",
        reason: "WebhookActive",
        message: `pods are injected by the webhook ${injectionName}`,
      }
    : {
        mechanism: "webhook",
        status: "False",
        reason: "WebhookCertificateInvalid",
        message: wrong,
      };
}

/** Why an apiserver would not talk to the webhook. */
function wrongWith(
  configuration: WebhookConfiguration,
  secret: Secret | undefined,
  now: number,
): string | undefined {
  const certificates = fromSecretData(secret?.data);
  if (certificates === undefined) return `the Secret ${webhookSecretName} has no certificate yet`;
  const shown = new X509Certificate(certificates.serving.cert);
  if (Date.parse(shown.validTo) <= now) return `its certificate ended ${shown.validTo}`;
  const host = hostsOf(configuration).find((name) => !covers(shown, name));
  if (host !== undefined) return `its certificate is not for ${host}`;
  const trusts = (bundle: string | undefined): boolean =>
    Buffer.from(bundle ?? "", "base64")
      .toString()
      .includes(authorityOf(certificates).trim());
  return configuration.webhooks?.every(({ clientConfig }) => trusts(clientConfig.caBundle)) === true
    ? undefined
    : "its configuration does not trust the authority of its certificate";
}

const authorityOf = (certificates: NonNullable<ReturnType<typeof fromSecretData>>): string => {
  const shown = new X509Certificate(certificates.serving.cert);
  const { authority, previous } = certificates;
  return shown.checkIssued(new X509Certificate(authority.cert))
    ? authority.cert
    : (previous ?? authority.cert);
};
