/**
 * docs/injection.md: what is added to pods and by which rules, its table from `operator/injection/variables.ts`.
 */
import { saidServiceKey } from "@axonize/core/contract/attributes";
import { serviceSourceKeys } from "../../ingest/normalize/service.ts";
import {
  cronJobAttribute,
  deploymentAttribute,
  keyFolder,
  ownerAttributes,
  serviceAnnotation,
  serviceLabels,
  variables,
  type Piece,
  type Variable,
} from "../../operator/injection/variables.ts";
import { table } from "./api-markdown.ts";

const workload = [
  deploymentAttribute,
  ...Object.values(ownerAttributes),
  cronJobAttribute,
  saidServiceKey,
]
  .map((key) => `\`${key}\``)
  .join(", ");

export function injectionMarkdown(): string {
  return `# Injection

Generated from \`operator/injection\`; do not edit.

Pods of a tenant's namespaces get environment variables when they are made: where to send, with which key, and who they are. There is no sidecar, no init container and no code; our SDKs and any OpenTelemetry SDK read them.

From Kubernetes 1.36 the apiserver does it itself, by the MutatingAdmissionPolicy \`axonize-inject\`: it needs no certificate and works while the operator is down. Below, the operator serves a webhook (\`failurePolicy: Ignore\`) and keeps its certificates. Both are made of one table and give the same pods. \`operator.injection\` of the chart chooses; a tenant's condition \`InjectionReady\` tells what is in effect.

## Which pods

- Of namespaces that an AxonizeTenant lists, where \`injection.mode\` (or the namespace's own \`injection\`) is \`OptOut\`: all, but those annotated \`axonize.io/inject: "false"\`. With \`OptIn\`: those annotated \`axonize.io/inject: "true"\`.
- All containers, or the first with \`injection.containers: First\`; the annotation \`axonize.io/containers: web,worker\` names them instead. Init containers and the mirrors of static pods are left alone.
- Pods that are there already are not touched: their next rollout brings it.
- \`axonize.io/injected\` on a pod tells from which profile (the start of its UID) and which generation of it.

## What

In this order, after the container's own variables:

${table(
  ["variable", "value", "left out", "what"],
  variables.map((variable) => [
    `\`${variable.name}\``,
    valueOf(variable),
    exceptions(variable),
    variable.doc,
  ]),
)}

With \`injection.delivery: EnvAndFile\` the Secret is mounted at \`${keyFolder}\`, too: a running pod takes a rotated key up from there, where a variable stays as it was until the pod is made anew.

## Rules

- **A variable of the container's own \`env\` always wins**, a value as well as a reference.
- With any \`OTEL_EXPORTER_OTLP_*\` of its own a container gets none of ours: another backend may be meant.
- Names in an \`envFrom\` cannot be seen when a pod is made, and \`env\` would win over them. So a container with an \`envFrom\` that may hold \`OTEL_\` names (no \`prefix\`, or one that fits) gets no \`OTEL_*\` of ours. Our SDKs work all the same; for an OpenTelemetry SDK put what it needs into \`env\`:

  \`\`\`yaml
  env:
    - {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: "http://axonize-ingest.axonize-system.svc:4318"}
    - {name: OTEL_EXPORTER_OTLP_PROTOCOL, value: http/protobuf}
    - name: OTEL_EXPORTER_OTLP_HEADERS
      valueFrom: {secretKeyRef: {name: axonize-ingest, key: OTEL_EXPORTER_OTLP_HEADERS, optional: true}}
  \`\`\`
- \`AXONIZE_*\` names that come by \`envFrom\` are hidden by ours. Who sends to another Axonize says so in \`env\`, or opts the pod out.
- The Secret is optional: a pod starts without it, and sends without a key until it is made anew.
- Neither \`OTEL_SERVICE_NAME\` nor \`service.name\` is set: what a service is called is the application's to say. \`<,workload>\` says whose the pod is instead, as far as the pod itself tells: ${workload}. Ingest names a service that does not name itself (no \`service.name\`, or an SDK's \`unknown_service…\`) after the first of ${serviceSourceKeys.map((key) => `\`${key}\``).join(", ")}; of a pod's name the hashes that a Deployment puts at its end are left out. \`${saidServiceKey}\` is the pod's annotation \`${serviceAnnotation}\`, else its label ${serviceLabels.map((label) => `\`${label}\``).join(", else ")}.
- What cannot be injected, because the policy or the webhook fails, starts as it is. Nothing of ours keeps a pod from starting.

## Without injection

A container that takes everything of the Secret needs nothing else:

\`\`\`yaml
envFrom:
  - secretRef: {name: axonize-ingest, optional: true}
\`\`\`
`;
}

function valueOf({ source }: Variable): string {
  if ("field" in source) return `field \`${source.field}\``;
  if ("secretKey" in source) return `key \`${source.secretKey}\` of the Secret, optional`;
  return `\`${source.text.map(pieceOf).join("")}\``;
}

function pieceOf(piece: Piece): string {
  if (typeof piece === "string") return piece;
  if ("profile" in piece) return "<endpoint>";
  if ("container" in piece) return "<container>";
  if ("workload" in piece) return "<,workload>";
  return "<,resourceAttributes>";
}

function exceptions({ unless, delivery, otel }: Variable): string {
  return [
    ...(delivery === undefined ? [] : [`unless \`delivery\` is \`${delivery}\``]),
    ...(unless === undefined ? [] : [`with an \`${unless}\` of its own`]),
    ...(otel === "exporter" ? ["with an OTLP exporter of its own"] : []),
    ...(otel === undefined ? [] : ["with an `envFrom` that may hold it"]),
  ].join("; ");
}
