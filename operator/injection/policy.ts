/**
 * Injection as a MutatingAdmissionPolicy with its binding: the apiserver does it, with no certificate, no
 * network, and while the operator is down. Its parameter is the InjectionProfile of the pod's namespace.
 *
 * A JSON patch and no apply configuration: `secretKeyRef` and `fieldRef` are atomic, which the latter
 * refuses. `Object{}` and `JSONPatch{}` exist in mutations alone, so that what can be is a variable.
 *
 * No value is a list with an `Object{}` in it: kube-apiserver 1.36.3 panics over it (`structpb.Struct is
 * not assignable to structpb.Value`), which fails the pod whatever `failurePolicy` says. A list is made
 * empty, then appended to.
 */
import { saidServiceKey } from "@axonize/core/contract/attributes";
import { annotations, group, labels, profileName, version } from "../resources/crds/names.ts";
import {
  containerVariable,
  cronJobAttribute,
  cronJobSuffix,
  cronJobSuffixLength,
  deploymentAttribute,
  exporterPrefix,
  injectedPath,
  keyFolder,
  keyVolume,
  mirrorAnnotation,
  otelPrefix,
  ownerAttributes,
  plainName,
  serviceAnnotation,
  serviceLabels,
  templateHashLabel,
  variables,
  type Piece,
  type Variable,
} from "./variables.ts";

/** Of the policy, its binding and the webhook's configuration: there is one Axonize in a cluster. */
export const injectionName = "axonize-inject";

const env = "Object.spec.containers.env";
const given = "object.metadata.?annotations.orValue({})";

/** A CEL string. */
const quoted = (text: string): string => `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
const annotation = (name: string) => `${given}[?${quoted(name)}]`;

/** Pods that nothing of injection may touch, in CEL; the webhook's configuration has it, too. */
export const notMirrored = {
  name: "no-mirror-of-a-static-pod",
  expression: `!(${quoted(mirrorAnnotation)} in ${given})`,
};

export const mutatingAdmissionPolicy = () => ({
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "MutatingAdmissionPolicy",
  metadata: { name: injectionName },
  spec: {
    failurePolicy: "Ignore",
    reinvocationPolicy: "IfNeeded",
    paramKind: { apiVersion: `${group}/${version}`, kind: "InjectionProfile" },
    matchConstraints: {
      resourceRules: [
        { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] },
      ],
      namespaceSelector: {
        matchExpressions: [{ key: labels.injection, operator: "In", values: ["OptIn", "OptOut"] }],
      },
    },
    matchConditions: [
      notMirrored,
      {
        name: "wanted",
        expression: `${annotation(annotations.inject)}.orValue(params.spec.mode == 'OptOut' ? 'true' : 'false') == 'true'`,
      },
    ],
    variables: Object.entries(celVariables).map(([name, expression]) => ({ name, expression })),
    // One mutation: a second one would see the pod as the first left it.
    mutations: [{ patchType: "JSONPatch", jsonPatch: { expression: patchExpression() } }],
  },
});

export const mutatingAdmissionPolicyBinding = () => ({
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "MutatingAdmissionPolicyBinding",
  metadata: { name: injectionName },
  spec: {
    policyName: injectionName,
    // Without a namespace it is the one of the pod. None there: nothing is injected.
    paramRef: { name: profileName, parameterNotFoundAction: "Allow" },
  },
});

const isPlain = (name: string): string => `${name}.matches(${quoted(plainName)})`;

/** `,key=value` of whose the pod is (`workload.ts`). */
function ownersExpression(): string {
  const of = (owner: keyof typeof ownerAttributes): string =>
    `',${ownerAttributes[owner]}=' + o.name`;
  const cut = (length: string): string => `o.name.substring(0, size(o.name) - ${length})`;
  const deployment = `(variables.hash != '' && o.name.endsWith('-' + variables.hash) ? ',${deploymentAttribute}=' + ${cut("size(variables.hash) - 1")} : '')`;
  const cronJob = `(o.name.matches(${quoted(cronJobSuffix)}) ? ',${cronJobAttribute}=' + ${cut(String(cronJobSuffixLength))} : '')`;
  const cases: readonly (readonly [keyof typeof ownerAttributes, string])[] = [
    ["apps/ReplicaSet", `${deployment} + `],
    ["apps/StatefulSet", ""],
    ["apps/DaemonSet", ""],
    ["batch/Job", `${cronJob} + `],
  ];
  const text = cases
    .map(
      ([owner, above]) =>
        `o.apiVersion.split('/')[0] + '/' + o.kind == ${quoted(owner)} ? ${above}${of(owner)} : `,
    )
    .join("");
  return `object.metadata.?ownerReferences.orValue([]).filter(o, o.?controller.orValue(false) && ${isPlain("o.name")}).map(o, ${text}'').join('')`;
}

const label = (name: string): string =>
  `object.metadata.?labels.orValue({})[?${quoted(name)}].orValue('')`;

/** Once per pod. Lists are by the container's index. */
const celVariables = {
  named: `${annotation(annotations.containers)}.orValue('').split(',').map(n, n.trim()).filter(n, n != '')`,
  names: "object.spec.containers.map(c, c.?env.orValue([]).map(e, e.name))",
  begun: `object.spec.containers.exists(c, c.?env.orValue([]).exists(e, e.name == ${quoted(containerVariable)} && e.?value.orValue('') == c.name))`,
  chosen:
    "object.spec.containers.transformList(i, c, size(variables.named) > 0 ? c.name in variables.named : params.spec.containers == 'All' || (i == 0 && !variables.begun))",
  hidden: `object.spec.containers.map(c, c.?envFrom.orValue([]).exists(f, ${quoted(otelPrefix)}.startsWith(f.?prefix.orValue('')) || f.?prefix.orValue('').startsWith(${quoted(otelPrefix)})))`,
  exporting: `variables.names.map(names, names.exists(n, n.startsWith(${quoted(exporterPrefix)})))`,
  attributes:
    "params.spec.?resourceAttributes.orValue({}).map(k, ',' + string(k) + '=' + string(params.spec.resourceAttributes[k])).sort().join()",
  hash: label(templateHashLabel),
  said: `[${annotation(serviceAnnotation)}.orValue(''), ${serviceLabels.map(label).join(", ")}].filter(n, ${isPlain("n")})`,
  workload: `${ownersExpression()} + (size(variables.said) > 0 ? ',${saidServiceKey}=' + variables.said[0] : '')`,
  marker: "string(params.metadata.uid).substring(0, 8) + '-' + string(params.metadata.generation)",
  filed: `params.spec.delivery == 'EnvAndFile'`,
  volume: `object.spec.?volumes.orValue([]).exists(v, v.name == ${quoted(keyVolume)})`,
  mountable: `object.spec.?volumes.orValue([]).all(v, v.name != ${quoted(keyVolume)} || v.?secret.?secretName.orValue('') == params.spec.secretName)`,
};

/** The containers' patches (`c` at `i`; its `env` is made first where there is none), then the pod's. */
const patchExpression = (): string =>
  `object.spec.containers.transformList(i, c, variables.chosen[i],
  (has(c.env) ? [] : [JSONPatch{op: 'add', path: '/spec/containers/' + string(i) + '/env', value: []}])
  + ${[...variables.map(variableOperation), mountOperation()].join("\n  + ")}
).flatten()
+ ${volumeOperation()}
+ ${markerOperation()}`;

function variableOperation(variable: Variable): string {
  return `(${conditionOf(variable)} ? [JSONPatch{op: 'add', path: '/spec/containers/' + string(i) + '/env/-', value: ${entryOf(variable)}}] : [])`;
}

function conditionOf(variable: Variable): string {
  return [
    `!(${quoted(variable.name)} in variables.names[i])`,
    ...(variable.unless === undefined
      ? []
      : [`!(${quoted(variable.unless)} in variables.names[i])`]),
    ...(variable.delivery === undefined ? [] : ["variables.filed"]),
    ...(variable.otel === undefined ? [] : ["!variables.hidden[i]"]),
    ...(variable.otel === "exporter" ? ["!variables.exporting[i]"] : []),
  ].join(" && ");
}

function entryOf({ name, source }: Variable): string {
  if ("field" in source) {
    return `${env}{name: ${quoted(name)}, valueFrom: ${env}.valueFrom{fieldRef: ${env}.valueFrom.fieldRef{fieldPath: ${quoted(source.field)}}}}`;
  }
  if ("secretKey" in source) {
    return `${env}{name: ${quoted(name)}, valueFrom: ${env}.valueFrom{secretKeyRef: ${env}.valueFrom.secretKeyRef{name: params.spec.secretName, key: ${quoted(source.secretKey)}, optional: true}}}`;
  }
  return `${env}{name: ${quoted(name)}, value: ${source.text.map(pieceOf).join(" + ")}}`;
}

function pieceOf(piece: Piece): string {
  if (typeof piece === "string") return quoted(piece);
  if ("profile" in piece) return `string(params.spec.${piece.profile})`;
  if ("container" in piece) return "c.name";
  if ("workload" in piece) return "variables.workload";
  return "variables.attributes";
}

function mountOperation(): string {
  const mount = `Object.spec.containers.volumeMounts{name: ${quoted(keyVolume)}, mountPath: ${quoted(keyFolder)}, readOnly: true}`;
  const needed = [
    "variables.mountable",
    `c.?volumeMounts.orValue([]).all(m, m.mountPath != ${quoted(keyFolder)})`,
    ...variables.filter(({ delivery }) => delivery !== undefined).map(conditionOf),
  ].join(" && ");
  return `(${needed}
    ? (has(c.volumeMounts) ? [] : [JSONPatch{op: 'add', path: '/spec/containers/' + string(i) + '/volumeMounts', value: []}])
      + [JSONPatch{op: 'add', path: '/spec/containers/' + string(i) + '/volumeMounts/-', value: ${mount}}]
    : [])`;
}

function volumeOperation(): string {
  const volume = `Object.spec.volumes{name: ${quoted(keyVolume)}, secret: Object.spec.volumes.secret{secretName: params.spec.secretName, optional: true}}`;
  return `(variables.filed && !variables.volume && variables.chosen.exists(one, one)
  ? (has(object.spec.volumes) ? [] : [JSONPatch{op: 'add', path: '/spec/volumes', value: []}])
    + [JSONPatch{op: 'add', path: '/spec/volumes/-', value: ${volume}}]
  : [])`;
}

function markerOperation(): string {
  return `(!variables.chosen.exists(one, one)
  ? []
  : (has(object.metadata.annotations)
    ? [JSONPatch{op: 'add', path: ${quoted(injectedPath)}, value: variables.marker}]
    : [JSONPatch{op: 'add', path: '/metadata/annotations', value: {${quoted(annotations.injected)}: variables.marker}}]))`;
}
