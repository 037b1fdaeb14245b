/**
 * The chart's README and values.schema.json, from values.yaml and its comments: one source, in the order
 * in which people read it. `# -- text` describes a value; `# @type name` or `# @schema {…}` says more of
 * its type than the default tells. Values that recur are described here, once.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isMap, isScalar, parseDocument, type Pair, type YAMLMap } from "yaml";
import { table } from "./api-markdown.ts";

type Schema = Record<string, unknown>;

/** What `# @type` may name. */
const definitions: Readonly<Record<string, Schema>> = {
  stringMap: { type: "object", additionalProperties: { type: "string" } },
  strings: { type: "array", items: { type: "string", minLength: 1 } },
  object: { type: "object" },
  objects: { type: "array", items: { type: "object" } },
  port: { type: "integer", minimum: 1, maximum: 65_535 },
  quantity: { type: "string", pattern: "^[0-9]+(\\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$" },
  digest: { type: "string", pattern: "^(sha256:[0-9a-f]{64})?$" },
  resources: {
    type: "object",
    additionalProperties: false,
    properties: Object.fromEntries(
      ["requests", "limits"].map((name) => [
        name,
        {
          type: "object",
          additionalProperties: { type: ["string", "number"] },
        },
      ]),
    ),
  },
};

/** Of values that mean the same wherever they are: by the end of their path. */
const usual: readonly (readonly [string, string])[] = [
  ["image.repository", "Name of the image in its registry."],
  ["image.tag", "Tag of this image, instead of `image.tag`."],
  ["image.digest", "Digest of this image (`sha256:…`); it wins over a tag."],
  ["image.pullPolicy", "When the kubelet pulls images."],
  ["resources", "What a pod asks for, and what it may take."],
  ["podAnnotations", "Annotations of the pods."],
  ["podLabels", "Labels of the pods."],
  ["nodeSelector", "Labels of the nodes that pods may run on."],
  ["tolerations", "Taints that pods bear."],
  ["affinity", "Affinities of the pods."],
  ["priorityClassName", "Priority class of the pods."],
  ["extraEnv", "Environment variables beside the chart's (name and value, or valueFrom)."],
  ["extraVolumes", "Volumes beside the chart's."],
  ["extraVolumeMounts", "Where they are mounted."],
  ["podDisruptionBudget.enabled", "Make a PodDisruptionBudget."],
  ["podDisruptionBudget.maxUnavailable", "Pods that a drain may take away at once."],
  ["replicas", "Number of pods."],
  ["service.type", "Type of the Service."],
  ["service.port", "Port of the Service."],
  ["service.grpcPort", "Port of OTLP over gRPC, and of the agents."],
  ["service.httpPort", "Port of OTLP over HTTP."],
  ["service.annotations", "Annotations of the Service."],
  ["ingress.enabled", "Make an Ingress."],
  ["ingress.className", "Class of the Ingress. Empty: the cluster's default."],
  ["ingress.annotations", "Annotations of the Ingress."],
  ["ingress.hosts", "Host names."],
  ["ingress.tls", "TLS of the Ingress: secretName and hosts."],
  ["Route.enabled", "Make the route."],
  ["Route.annotations", "Annotations of the route."],
  ["Route.parentRefs", "Gateways that it is attached to."],
  ["Route.hostnames", "Host names."],
  ["autoscaling.minReplicas", "Fewest pods."],
  ["autoscaling.maxReplicas", "Most pods."],
  ["autoscaling.targetCPUUtilizationPercentage", "Of the CPU that is requested, on average."],
  ["persistence.size", "Size of the claim."],
  ["interval", "How often metrics are scraped."],
  [".labels", "Labels by which it is found."],
  ["podSecurityContext.runAsGroup", "Group of all pods but the agents."],
  ["podSecurityContext.fsGroup", "Group of their volumes."],
];

interface Value {
  /** `ingest.replicas` */
  readonly path: string;
  readonly about: string;
  readonly value: unknown;
}

export function chartFiles(root: string): Map<string, string> {
  const chart = join(root, "charts/axonize");
  const text = readFileSync(join(chart, "values.yaml"), "utf8");
  const document = parseDocument(text);
  const [first] = document.errors;
  if (first !== undefined) throw first;
  if (!isMap(document.contents)) throw new Error("values.yaml must be a map");
  const values: Value[] = [];
  const schema = {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Values of the Axonize chart",
    ...objectSchema(document.contents, "", values),
    definitions,
  };
  const head = readFileSync(join(chart, "README.head.md"), "utf8");
  return new Map([
    ["charts/axonize/values.schema.json", `${JSON.stringify(schema, undefined, 2)}\n`],
    ["charts/axonize/README.md", `${head}\n${markdown(values)}`],
  ]);
}

function objectSchema(map: YAMLMap, path: string, values: Value[]): Schema {
  // Keys of values.yaml are words.
  const pairs = map.items as Pair<{ value: string; commentBefore?: string | null }>[];
  const properties: Record<string, Schema> = {};
  pairs.forEach(({ key, value: node }, index) => {
    const name = key.value;
    const inside = path === "" ? name : `${path}.${name}`;
    // The comment before the first key of a map belongs, to the parser, to the map.
    const comment = (index === 0 && path !== "" ? map.commentBefore : key.commentBefore) ?? "";
    properties[name] = valueSchema(node, { path: inside, comment }, values);
  });
  // `global` may carry what a parent chart tells all its children.
  return { type: "object", additionalProperties: path === "global", properties };
}

function valueSchema(
  node: unknown,
  { path, comment }: { path: string; comment: string },
  values: Value[],
): Schema {
  const lines = comment.split("\n").map((line) => line.trim());
  // A comment block that an empty line ends is the file's own.
  const about =
    lines.findLast((line) => line.startsWith("-- "))?.slice(3) ??
    usual.find(([end]) => path.endsWith(end))?.[1] ??
    "";
  const said = extraSchema(lines, path);
  const described = about === "" ? {} : { description: about };
  if (isMap(node) && node.items.length > 0 && said === undefined) {
    return { ...described, ...objectSchema(node, path, values) };
  }
  if (about === "") throw new Error(`${path}: say what it is with "# -- …"`);
  const value: unknown = isMap(node) || isScalar(node) ? node.toJSON() : toJson(node);
  values.push({ path, about, value });
  const schema = said ?? {};
  if ("$ref" in schema) return { ...described, allOf: [schema], default: value };
  const type = "type" in schema ? {} : { type: typeOf(value, path) };
  return { ...described, ...type, ...schema, default: value };
}

function extraSchema(lines: readonly string[], path: string): Schema | undefined {
  const named = lines.find((line) => line.startsWith("@type "))?.slice(6);
  if (named !== undefined) {
    if (!(named in definitions)) throw new Error(`${path}: there is no type ${named}`);
    return { $ref: `#/definitions/${named}` };
  }
  const given = lines.find((line) => line.startsWith("@schema "))?.slice(8);
  // Our own file, and the test compares what comes of it.
  return given === undefined ? undefined : (JSON.parse(given) as Schema);
}

const toJson = (node: unknown): unknown =>
  (node as { toJSON?: () => unknown } | null)?.toJSON?.() ?? node;

function typeOf(value: unknown, path: string): string {
  if (typeof value === "string" || typeof value === "boolean") return typeof value;
  if (Number.isInteger(value)) return "integer";
  throw new Error(`${path}: say its type with "# @type" or "# @schema"`);
}

function markdown(values: readonly Value[]): string {
  const rows = values.map(({ path, about, value }) => [
    `\`${path}\``,
    `\`${JSON.stringify(value)}\``,
    about,
  ]);
  return `## Values\n\n${table(["value", "default", "what"], rows)}`;
}
