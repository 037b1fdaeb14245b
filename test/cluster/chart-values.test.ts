/**
 * The chart's values: what they do where it matters to others, and that values which cannot work are
 * refused with a sentence before anything is rendered.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parse } from "yaml";
import { roleBindingName } from "../../operator/resources/tenant/objects.ts";
import { ensureBinaries } from "../../tools/k8s/binaries.ts";
import {
  chart,
  createHelm,
  namespace,
  objectsOf,
  render,
  valueSets,
  workloadsOf,
  type Helm,
  type Manifest,
} from "./support/helm.ts";

const home = mkdtempSync(join(tmpdir(), "axonize-chart-"));
let helm: Helm;
const rendered = new Map<string, string>();

before(async () => {
  helm = createHelm((await ensureBinaries(["helm"])).helm, { home });
  for (const { name, file } of valueSets) rendered.set(name, await render(helm, "-f", file));
});
after(() => {
  rmSync(home, { recursive: true, force: true });
});

const textOf = (set: string): string => rendered.get(set) ?? assert.fail(`no set ${set}`);
const setObjects = (set: string): Manifest[] => objectsOf(textOf(set));
const nameOf = (object: Manifest): string => `${object.kind} ${object.metadata.name}`;

test("values that cannot be are refused by the schema, with their path", async () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["typo=1", /additional properties 'typo' not allowed/],
    ["ingest.replica=3", /\/ingest'?: additional properties 'replica' not allowed/],
    ["ingest.image.tags=x", /\/ingest\/image'?: additional properties 'tags'/],
    ["ingest.replicas=0", /\/ingest\/replicas'?: minimum: got 0, want 1/],
    ["ingest.replicas=two", /\/ingest\/replicas'?: got string, want integer/],
    ["stores.mode=embedded", /\/stores\/mode'?: value must be one of 'Embedded', 'External'/],
    ["logLevel=trace", /\/logLevel'?: value must be one of/],
    ["image.pullPolicy=Sometimes", /\/image\/pullPolicy'?: value must be one of/],
    ["ingest.image.digest=latest", /\/ingest\/image\/digest'?.*does not match pattern/],
    ["stores.persistence.size=20 gigs", /\/stores\/persistence\/size'?.*does not match pattern/],
    ["dashboard.service.port=70000", /\/dashboard\/service\/port'?: maximum: got 70,?000/],
    ["rbac.secretAccess=None", /\/rbac\/secretAccess'?: value must be one of/],
    ["operator.leaseSeconds=1", /\/operator\/leaseSeconds'?: minimum/],
    ["commonLabels.team=null,commonLabels.n[0]=x", /\/commonLabels\/n'?: got array, want string/],
    ["agents.namespace=", /\/agents\/namespace'?: minLength/],
  ];
  for (const [set, expected] of cases) {
    const answer = await helm("template", "axonize", chart, "-n", namespace, "--set", set);
    assert.ok(!answer.ok, `${set} was accepted`);
    assert.match(answer.stderr, expected, set);
  }
});

test("combinations that cannot work are refused with what to do", async () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["stores.mode=External", /clickhouse\.existingSecret must name the Secret/],
    ["stores.mode=External,clickhouse.existingSecret=c", /postgresql\.existingSecret must name/],
    ["clickhouse.existingSecret=c", /used where stores\.mode is External; it is Embedded/],
    ["postgresql.existingSecret=c", /used where stores\.mode is External; it is Embedded/],
    ["clickhouse.cluster=c", /set stores\.mode to External/],
    [
      "ingest.autoscaling.minReplicas=5,ingest.autoscaling.maxReplicas=3",
      /greater than maxReplicas/,
    ],
    ["ingest.drain.preStopSeconds=50", /must be more than preStopSeconds \+ 20/],
    [`agents.namespace=${namespace}`, /must not be the release's namespace/],
    ["dashboard.httpRoute.enabled=true", /dashboard\.httpRoute\.parentRefs must name the Gateway/],
    ["ingest.grpcRoute.enabled=true", /ingest\.grpcRoute\.parentRefs must name the Gateway/],
    ["dashboard.ingress.enabled=true", /dashboard\.ingress\.hosts must have a host name/],
    ["ingest.ingress.enabled=true", /ingest\.ingress\.hosts must have a host name/],
    ["dashboard.oidc.issuer=https://id.example.com", /dashboard\.oidc\.roles \(who may do what\)/],
  ];
  for (const [set, expected] of cases) {
    const answer = await helm("template", "axonize", chart, "-n", namespace, "--set", set);
    assert.ok(!answer.ok, `${set} was accepted`);
    assert.match(answer.stderr, expected, set);
  }
  const old = await helm("template", "axonize", chart, "--kube-version", "1.31.9");
  assert.match(old.stderr, /requires kubeVersion: >=1\.32\.0-0/);
});

test("the schema is draft-07, closed at every level, and its defaults are values.yaml's", () => {
  interface Schema {
    readonly $schema?: string;
    readonly default?: unknown;
    readonly additionalProperties?: unknown;
    readonly properties?: Readonly<Record<string, Schema>>;
  }
  const schema = JSON.parse(readFileSync(join(chart, "values.schema.json"), "utf8")) as Schema;
  assert.equal(schema.$schema, "http://json-schema.org/draft-07/schema#");
  const open: string[] = [];
  const defaultsOf = (of: Schema, path: string): unknown => {
    if (of.properties === undefined || "default" in of) return of.default;
    if (of.additionalProperties !== false) open.push(path);
    return Object.fromEntries(
      Object.entries(of.properties).map(([name, each]) => [
        name,
        defaultsOf(each, path === "" ? name : `${path}.${name}`),
      ]),
    );
  };
  const values: unknown = parse(readFileSync(join(chart, "values.yaml"), "utf8"));
  assert.deepEqual(defaultsOf(schema, ""), values);
  // What a parent chart says to all its children lands there, too.
  assert.deepEqual(open, ["global"]);
});

test("digests win over tags, tags over the chart's version; extras are where they should be", () => {
  const find = (set: string, name: string): ReturnType<typeof workloadsOf>[number] =>
    workloadsOf(setObjects(set)).find(({ object }) => object.metadata.name === name) ??
    assert.fail(`no ${name} in ${set}`);
  const { appVersion } = parse(readFileSync(join(chart, "Chart.yaml"), "utf8")) as {
    appVersion: string;
  };
  const [plain] = find("default", "axonize-ingest").containers;
  assert.equal(plain?.image, `axonize.io/ingest:${appVersion}`);
  const ingest = find("registry", "observability-ingest");
  const [container] = ingest.containers;
  assert.match(container?.image ?? "", /^registry\.example\.com\/mirror\/ingest@sha256:0123/);
  assert.ok(container?.env?.some(({ name }) => name === "AXONIZE_INGEST_MEMORY_BYTES"));
  assert.ok(container?.volumeMounts?.some(({ mountPath }) => mountPath === "/scratch"));
  assert.equal(ingest.labels["tier"], "front");
  assert.equal(ingest.annotations["example.com/note"], "yes");
  assert.equal(ingest.annotations["prometheus.io/port"], "9464");
  const operator = find("registry", "observability-operator");
  assert.equal(operator.containers.at(-1)?.image, "registry.example.com/mirror/operator:9.9.9");
  assert.deepEqual(operator.spec["nodeSelector"], { pool: "system" });
  const extra = setObjects("registry").find(({ metadata }) => metadata.name === "axonize-note");
  assert.deepEqual(extra?.["data"], { note: `for ${namespace}` });
  assert.ok(setObjects("registry").some(({ metadata }) => metadata.name === "observability-more"));
});

test("what others name is named: Services, the agents' account, endpoints, Secrets by reference alone", () => {
  const names = new Set(
    setObjects("default").map(
      (object) => `${nameOf(object)} in ${object.metadata.namespace ?? "the cluster"}`,
    ),
  );
  for (const expected of [
    `Service axonize-ingest in ${namespace}`,
    `Service axonize-dashboard in ${namespace}`,
    `Service axonize-stores in ${namespace}`,
    "ServiceAccount axonize-agent in axonize-agents",
    "Namespace axonize-agents in the cluster",
  ]) {
    assert.ok(names.has(expected), expected);
  }
  const operator = workloadsOf(setObjects("default")).find(
    ({ object }) => nameOf(object) === "Deployment axonize-operator",
  );
  const env = new Map(
    operator?.spec.containers[0]?.env?.map(({ name, value }) => [name, value ?? ""]),
  );
  assert.equal(env.get("AXONIZE_INGEST_ENDPOINT"), `axonize-ingest.${namespace}.svc:4317`);
  assert.equal(
    env.get("AXONIZE_INJECTION_ENDPOINT"),
    `http://axonize-ingest.${namespace}.svc:4318`,
  );
  assert.equal(env.get("AXONIZE_AGENT_NAMESPACE"), "axonize-agents");
  // External stores come from Secrets whole: no part of a URL is in the release.
  assert.doesNotMatch(textOf("production"), /(postgres|clickhouse)[^\s]*:\/\//);
  assert.match(textOf("clickhouse-cluster"), /AXONIZE_CLICKHOUSE_CLUSTER\n\s+value: "\{cluster\}"/);
});

test("of RoleBindings the operator may change none but its own, and give none but one role", () => {
  const role = setObjects("hardened").find(
    (object) => nameOf(object) === "ClusterRole axonize-operator",
  );
  // As a ClusterRole has them.
  const rules = role?.["rules"] as readonly {
    readonly resources: readonly string[];
    readonly resourceNames?: readonly string[];
    readonly verbs: readonly string[];
  }[];
  const mine = rules.filter(({ resources }) => resources.includes("rolebindings"));
  // A name cannot be asked for where an object is made: there `bind` is the bound.
  assert.deepEqual(
    mine.filter(({ resourceNames }) => resourceNames === undefined).flatMap(({ verbs }) => verbs),
    ["create"],
  );
  assert.deepEqual(
    mine.flatMap(({ resourceNames }) => resourceNames ?? []),
    [roleBindingName],
  );
  const bindable = rules.filter(({ verbs }) => verbs.includes("bind"));
  assert.deepEqual(
    bindable.map(({ resourceNames }) => resourceNames),
    [["axonize-operator-secrets"]],
  );
});

test("what the operator needs to reach its cluster, the cleanup before an uninstall has, too", async () => {
  const proxy = "operator.extraEnv[0].name=HTTPS_PROXY,operator.extraEnv[0].value=http://proxy:1";
  const text = await render(helm, "--set", proxy);
  const having = workloadsOf(objectsOf(text))
    .filter(({ object }) => /-(operator|cleanup)$/.test(object.metadata.name))
    .map(({ containers, object }) => [
      object.kind,
      containers.flatMap(({ name, env }) =>
        env?.some((one) => one.name === "HTTPS_PROXY") === true ? [name] : [],
      ),
    ]);
  assert.deepEqual(having, [
    ["Deployment", ["bootstrap", "operator"]],
    ["Job", ["stop", "cleanup", "secrets"]],
  ]);
});

test("metrics that need a right are asked for with a token, by TLS, and served nowhere else", () => {
  const monitor = setObjects("production").find(
    (object) => nameOf(object) === "ServiceMonitor axonize-operator",
  );
  assert.ok(monitor);
  // As a ServiceMonitor has them.
  const { endpoints } = monitor["spec"] as { endpoints: readonly Record<string, unknown>[] };
  assert.deepEqual(
    [endpoints[0]?.["scheme"], endpoints[0]?.["authorization"]],
    ["https", { type: "Bearer", credentials: { name: "axonize-metrics-reader", key: "token" } }],
  );
  const of = (set: string) => {
    const operator = workloadsOf(setObjects(set)).find(
      ({ object }) => nameOf(object) === "Deployment axonize-operator",
    );
    const container = operator?.spec.containers[0];
    return {
      ports: container?.ports?.map(({ name, containerPort }) => `${name} ${containerPort}`),
      listen: container?.env?.find(({ name }) => name === "AXONIZE_OPERATOR_METRICS_LISTEN")?.value,
    };
  };
  assert.deepEqual(of("production"), {
    ports: ["health 8080", "metrics 8443", "webhook 9443"],
    listen: "0.0.0.0:8443",
  });
  assert.deepEqual(of("default"), { ports: ["metrics 8080", "webhook 9443"], listen: undefined });
  assert.ok(!setObjects("default").some(({ metadata }) => /metrics-reader/.test(metadata.name)));
});

test("what serves is spread, drained and never taken away whole", () => {
  const objects = setObjects("default");
  for (const component of ["operator", "ingest"]) {
    const found = workloadsOf(objects).find(
      ({ object }) => nameOf(object) === `Deployment axonize-${component}`,
    );
    const { topologySpreadConstraints, terminationGracePeriodSeconds } = (found?.spec ??
      {}) as Readonly<Record<string, unknown>>;
    assert.deepEqual(
      (topologySpreadConstraints as readonly Record<string, unknown>[]).map((each) => [
        each["topologyKey"],
        each["whenUnsatisfiable"],
      ]),
      [
        ["topology.kubernetes.io/zone", "ScheduleAnyway"],
        ["kubernetes.io/hostname", "ScheduleAnyway"],
      ],
      component,
    );
    assert.ok(Number(terminationGracePeriodSeconds) >= 45, component);
    const budget = objects.find(
      (object) => nameOf(object) === `PodDisruptionBudget axonize-${component}`,
    );
    assert.ok(budget, component);
    assert.equal((budget["spec"] as { maxUnavailable?: unknown }).maxUnavailable, 1, component);
  }
  const hooks = [...rendered.keys()].flatMap((set) =>
    setObjects(set).flatMap(({ metadata }) => metadata.annotations?.["helm.sh/hook"] ?? []),
  );
  // A hook that installs waits for what is only there after it, or is skipped by who renders.
  assert.deepEqual([...new Set(hooks)].sort(), ["pre-delete", "test"]);
});

test("the notes name the address that people type, with its prefix", async () => {
  const ingress = "dashboard.ingress.enabled=true,dashboard.ingress.hosts[0]=example.com";
  const set = `dashboard.publicUrl=https://example.com/axonize,${ingress}`;
  const install = ["install", "axonize", chart, "-n", namespace, "--dry-run=client"];
  const { stdout, stderr } = await helm(...install, "--set", set);
  assert.match(stdout, /3\. Open the dashboard at https:\/\/example\.com\/axonize\n/, stderr);
});
