/**
 * The configuration of the webhook that injects where the cluster has no admission policies (below 1.36).
 *
 * `Ignore`: a webhook that is down must not keep pods from being made. One entry per mode, so that a pod
 * that nobody asked for never leaves the apiserver. `caBundle` is not here: the operator applies it as a
 * field of its own, and what renders this again does not take it away.
 */
import { annotations, labels } from "../resources/crds/names.ts";
import { injectionName, notMirrored } from "./policy.ts";
import { operatorNamespacePlaceholder, operatorServicePlaceholder } from "./placeholders.ts";

export const webhookPath = "/inject";

/** Where the apiserver finds the webhook; a URL where it runs outside of the cluster's network. */
export type WebhookClient =
  | { readonly url: string }
  | { readonly service: { readonly name: string; readonly namespace: string } };

const inService: WebhookClient = {
  service: { name: operatorServicePlaceholder, namespace: operatorNamespacePlaceholder },
};

const modes = [
  { mode: "OptIn", unsaid: "false" },
  { mode: "OptOut", unsaid: "true" },
] as const;

/** Of each of its webhooks. */
export const webhookNames = modes.map(({ mode }) => `${mode.toLowerCase()}.inject.axonize.io`);

export const mutatingWebhookConfiguration = (client: WebhookClient = inService) => ({
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "MutatingWebhookConfiguration",
  metadata: { name: injectionName },
  webhooks: modes.map(({ mode, unsaid }) => ({
    name: `${mode.toLowerCase()}.inject.axonize.io`,
    admissionReviewVersions: ["v1"],
    clientConfig:
      "url" in client
        ? { url: `${client.url}${webhookPath}` }
        : { service: { ...client.service, path: webhookPath, port: 443 } },
    failurePolicy: "Ignore",
    matchPolicy: "Equivalent",
    reinvocationPolicy: "IfNeeded",
    sideEffects: "None",
    timeoutSeconds: 3,
    rules: [
      {
        apiGroups: [""],
        apiVersions: ["v1"],
        operations: ["CREATE"],
        resources: ["pods"],
        scope: "Namespaced",
      },
    ],
    namespaceSelector: {
      matchExpressions: [
        { key: labels.injection, operator: "In", values: [mode] },
        {
          key: "kubernetes.io/metadata.name",
          operator: "NotIn",
          values: [
            "kube-system",
            "kube-node-lease",
            "kube-public",
            ...("service" in client ? [client.service.namespace] : []),
          ],
        },
      ],
    },
    matchConditions: [
      notMirrored,
      {
        name: "wanted",
        expression: `object.metadata.?annotations.orValue({})[?'${annotations.inject}'].orValue('${unsaid}') == 'true'`,
      },
    ],
  })),
});
