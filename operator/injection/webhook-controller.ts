/**
 * Keeps the webhook's certificates: the leader writes its Secret and the `caBundle` of its configuration,
 * every replica shows what the Secret has.
 *
 * The names it is served under are read from the configuration that the chart made. Only `caBundle` is
 * applied there, by a manager of its own.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import { injectionProfiles, mutatingWebhookConfigurations, secrets } from "../kube/kinds.ts";
import type {
  ControllerBuilder,
  Informer,
  KubeClient,
  KubeObject,
  ObjectRef,
  Reconciler,
} from "../kube/types.ts";
import { bundleOf, fromSecretData, planCertificates, toSecretData } from "./certificates.ts";
import { certificateCheckMs } from "./limits.ts";
import type { Profile } from "./pod.ts";
import { injectionName } from "./policy.ts";
import type { Profiles } from "./review.ts";
import type { WebhookServer } from "./webhook-server.ts";

export const webhookSecretName = "axonize-webhook-tls";
const manager = "axonize-operator/webhook";
const bundleManager = "axonize-operator/webhook-ca";

export interface Secret extends KubeObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

export interface WebhookConfiguration extends KubeObject {
  readonly webhooks?: readonly {
    readonly name: string;
    readonly clientConfig: {
      readonly url?: string;
      readonly service?: { readonly name: string; readonly namespace: string };
      readonly caBundle?: string;
    };
  }[];
}

type ProfileObject = KubeObject & Profile;

export const configurationRef: ObjectRef = {
  kind: mutatingWebhookConfigurations,
  name: injectionName,
};

export interface WebhookController {
  wire(builder: ControllerBuilder): Reconciler;
  /** Of the cache; after `wire`. */
  readonly profiles: Profiles;
}

export function createWebhookController(
  deps: { clock: Clock; log: Log; server: () => WebhookServer },
  options: { /** The operator's. */ namespace: string },
): WebhookController {
  const { namespace } = options;
  const only = { fieldSelector: `metadata.name=${injectionName}` };
  let cache: Informer<ProfileObject> | undefined;
  return {
    profiles: {
      hasSynced: () => cache?.hasSynced() ?? false,
      get: (key) => cache?.get(key),
    },
    wire(builder) {
      cache = builder.informer<ProfileObject>(injectionProfiles);
      const configurations = builder.informer<WebhookConfiguration>(
        mutatingWebhookConfigurations,
        only,
      );
      const kept = builder.informer<Secret>(secrets, {
        namespace,
        fieldSelector: `metadata.name=${webhookSecretName}`,
      });
      builder.watch(configurations, () => [injectionName]);
      builder.watch(kept, () => [injectionName]);
      kept.onEvent((event) => {
        if (event.type === "deleted") return; // the leader makes another; until then the old one serves
        const certificates = fromSecretData(event.object.data);
        if (certificates !== undefined) deps.server().setCertificate(certificates.serving);
      });
      return {
        name: "webhook",
        reconcile: async () => await reconcile({ ...deps, client: builder.client, namespace }),
      };
    },
  };
}

async function reconcile(deps: {
  client: KubeClient;
  clock: Clock;
  log: Log;
  namespace: string;
}): Promise<{ requeueAfterMs: number }> {
  const { client, clock, log, namespace } = deps;
  const configuration = await client.get<WebhookConfiguration>(configurationRef);
  // Not by webhook any more: what is there stays for a way back.
  if (configuration === undefined) return { requeueAfterMs: certificateCheckMs };
  const ref = { kind: secrets, name: webhookSecretName, namespace };
  const secret = await client.get<Secret>(ref);
  const plan = planCertificates(fromSecretData(secret?.data), {
    now: clock.now(),
    hosts: hostsOf(configuration),
  });
  if (plan.isChanged) {
    await writeSecret(client, ref, secret, toSecretData(plan.certificates));
    log.info({ event: "webhook.certificates", first: secret === undefined });
  }
  const caBundle = Buffer.from(bundleOf(plan.certificates)).toString("base64");
  if (configuration.webhooks?.some(({ clientConfig }) => clientConfig.caBundle !== caBundle)) {
    await client.apply(
      {
        apiVersion: "admissionregistration.k8s.io/v1",
        kind: "MutatingWebhookConfiguration",
        metadata: { name: injectionName },
        webhooks: configuration.webhooks.map(({ name }) => ({ name, clientConfig: { caBundle } })),
      },
      mutatingWebhookConfigurations,
      { manager: bundleManager, force: true },
    );
  }
  return { requeueAfterMs: plan.checkAfterMs };
}

/** Refused with a conflict where another wrote meanwhile: then its certificates are the ones. */
async function writeSecret(
  client: KubeClient,
  ref: ObjectRef & { readonly namespace: string },
  before: Secret | undefined,
  data: Readonly<Record<string, string>>,
): Promise<void> {
  const { name, namespace } = ref;
  const secret = {
    apiVersion: "v1",
    kind: "Secret",
    type: "kubernetes.io/tls",
    metadata: { name, namespace },
    data,
  };
  if (before === undefined) {
    await client.create(secret, secrets);
    return;
  }
  const { resourceVersion } = before.metadata;
  await client.apply(
    {
      ...secret,
      type: before.type ?? secret.type,
      metadata: { name, namespace, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
    },
    secrets,
    { manager, force: true },
  );
}

/** What the apiserver calls the webhook by: names of the Service, or the host of a URL. */
export function hostsOf(configuration: WebhookConfiguration): string[] {
  const hosts = (configuration.webhooks ?? []).flatMap(({ clientConfig: { url, service } }) => {
    if (url !== undefined) return [new URL(url).hostname];
    if (service === undefined) return [];
    const { name, namespace } = service;
    return [`${name}.${namespace}.svc`, `${name}.${namespace}`, name];
  });
  return [...new Set(hosts)];
}
