/**
 * The custom resource definitions against a real apiserver: every rule accepts and refuses as it says,
 * defaults and columns are as documented, and a CRD that is older or newer than its objects does no harm.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { GpuPoolSpec } from "../../operator/resources/crds/gpu-pool.ts";
import { group, version } from "../../operator/resources/crds/names.ts";
import { AxonizeTenantSpec } from "../../operator/resources/crds/tenant.ts";
import { crdOf, customResources, schemaOf } from "../../scripts/generate/crds.ts";
import { startControlPlane, type ControlPlane } from "../../tools/k8s/control-plane.ts";
import { boundsOf, messagesOf, withValue } from "./support/crd-bounds.ts";
import { ruleCases, type RuleCase, type Spec } from "./support/crd-cases.ts";
import { fullSpecs } from "./support/crd-full-specs.ts";

const root = join(import.meta.dirname, "../..");
let cluster: ControlPlane;

before(async () => {
  cluster = await startControlPlane();
  for (const resource of customResources) {
    const path = join(root, "crds", `${group}_${resource.plural}.yaml`);
    await cluster.apply(readFileSync(path, "utf8"));
  }
  for (const { plural } of customResources) {
    await cluster.kubectl("wait", "--for=condition=Established", `crd/${plural}.${group}`);
  }
});
after(async () => {
  await cluster[Symbol.asyncDispose]();
});

type Kind = RuleCase["kind"];

function resourceOf(kind: Kind) {
  const found = customResources.find((resource) => resource.kind === kind);
  assert.ok(found, kind);
  return found;
}

const collection = (kind: Kind): string => {
  const { plural, scope } = resourceOf(kind);
  return `/apis/${group}/${version}/${scope === "Cluster" ? "" : "namespaces/default/"}${plural}`;
};

const objectOf = (kind: Kind, name: string, spec: Spec): object => ({
  apiVersion: `${group}/${version}`,
  kind,
  metadata: { name },
  spec,
});

interface Outcome {
  readonly status: number;
  readonly message: string;
  readonly causes: readonly { readonly field: string; readonly message: string }[];
  readonly object: { readonly metadata: { readonly resourceVersion: string }; readonly spec: Spec };
}

async function ask(method: string, path: string, body?: unknown): Promise<Outcome> {
  const answer = await cluster.request(method, path, body);
  const json = JSON.parse(answer.body);
  return {
    status: answer.status,
    message: json.message ?? "",
    causes: json.details?.causes ?? [],
    object: json,
  };
}

let made = 0;
const newName = (): string => `object-${(made += 1)}`;

const create = async (kind: Kind, spec: Spec, name = newName(), query = "") =>
  await ask(
    "POST",
    `${collection(kind)}?fieldValidation=Strict${query}`,
    objectOf(kind, name, spec),
  );
const tryOut = async (kind: Kind, spec: Spec, name = newName()) =>
  await create(kind, spec, name, "&dryRun=All");

/** A change of an object that is there. */
async function change(kind: Kind, name: string, spec: Spec, dryRun = true): Promise<Outcome> {
  const now = await ask("GET", `${collection(kind)}/${name}`);
  return await ask("PUT", `${collection(kind)}/${name}${dryRun ? "?dryRun=All" : ""}`, {
    ...objectOf(kind, name, spec),
    metadata: { name, resourceVersion: now.object.metadata.resourceVersion },
  });
}

for (const one of ruleCases) {
  test(`${one.kind}: ${one.message}`, async () => {
    const { kind, names } = one;
    const name = newName();
    if (one.before !== undefined) assert.equal((await create(kind, one.before, name)).status, 201);
    const attempt = async (spec: Spec, named: string | undefined) =>
      one.before === undefined ? await tryOut(kind, spec, named) : await change(kind, name, spec);
    const accepted = await attempt(one.accepted, names?.accepted);
    assert.ok(accepted.status < 300, accepted.message);
    const refused = await attempt(one.refused, names?.refused);
    assert.equal(refused.status, 422, `${one.message}: accepted`);
    const cause = refused.causes.find(({ message }) => message.includes(one.message));
    assert.ok(cause, `among ${JSON.stringify(refused.causes)}`);
    assert.equal(cause.field.replace("<nil>", ""), one.at);
  });
}

test("every rule has its case", () => {
  for (const resource of customResources) {
    const messages = [
      ...resource.rules.map(([, message]) => message),
      ...messagesOf(schemaOf(resource.spec)),
    ];
    for (const message of messages) {
      const cases = ruleCases.filter(
        (one) => one.kind === resource.kind && message.startsWith(one.message),
      );
      assert.equal(cases.length, 1, `${resource.kind}: ${message}`);
    }
  }
});

for (const { kind } of customResources) {
  test(`${kind}: what is out of bounds is refused, and the refusal names the field`, async () => {
    // The kinds of the list are those that have cases.
    const full = fullSpecs[kind as Kind];
    const whole = await tryOut(kind as Kind, full);
    assert.equal(whole.status, 201, whole.message);
    const bounds = boundsOf(schemaOf(resourceOf(kind as Kind).spec), [], full);
    assert.ok(bounds.length > 5, `${bounds.length} bounds`);
    for (const { path, value } of bounds) {
      const refused = await tryOut(kind as Kind, withValue(full, path, value));
      const shown = `${path.join(".")} = ${JSON.stringify(value)?.slice(0, 60)}`;
      assert.equal(refused.status, 422, `${shown}: ${refused.message}`);
      const field = path.reduce<string>(
        (text, step) => (typeof step === "number" ? `${text}[${step}]` : `${text}.${step}`),
        "spec",
      );
      assert.ok(
        refused.causes.some((cause) => cause.field.startsWith(field)),
        `${shown}: ${refused.message}`,
      );
    }
  });
}

test("a spec of nothing is filled in with the documented defaults", async () => {
  for (const [kind, schema] of [
    ["AxonizeTenant", AxonizeTenantSpec],
    ["GpuPool", GpuPoolSpec],
  ] as const) {
    const { object, message, status } = await tryOut(kind, {});
    assert.equal(status, 201, message);
    assert.deepEqual(object.spec, schema.parse({}), kind);
    // And the operator reads back what the apiserver keeps.
    assert.deepEqual(schema.parse(object.spec), object.spec, kind);
  }
});

test("an object without a spec is refused", async () => {
  const { status, message } = await ask("POST", collection("GpuPool"), {
    apiVersion: `${group}/${version}`,
    kind: "GpuPool",
    metadata: { name: "empty" },
  });
  assert.equal(status, 422);
  assert.match(message, /spec: Required value/);
});

test("kubectl get shows the columns", async () => {
  await create("AxonizeTenant", { retention: { traceDays: 90 } }, "columns");
  await patchStatus("AxonizeTenant", "columns", {
    tenantID: "columns-id",
    boundNamespaces: 3,
    usage: {
      windowStart: "2026-11-29T12:00:00Z",
      windowEnd: "2026-11-29T13:00:00Z",
      spans: "1",
      ingestBytes: "2",
      gpuSeconds: "3.5",
      quotaUsedPercent: 41,
    },
    apiKeys: [{ name: "ingest", nextRotationTime: "2027-01-01T00:00:00Z" }],
    conditions: [readyCondition("NamespaceConflict", "vision is team-audio's")],
  });
  const { AGE: age, ...cells } = await tableOf("AxonizeTenant", "columns");
  assert.match(age ?? "", /^\d+s$/);
  assert.deepEqual(cells, {
    NAME: "columns",
    TENANT: "columns-id",
    STATE: "Active",
    READY: "False",
    REASON: "NamespaceConflict",
    NS: "3",
    "QUOTA%": "41",
    "TRACES(D)": "90",
    MESSAGE: "vision is team-audio's",
    "NEXT ROTATION": "2027-01-01T00:00:00Z",
  });

  await create("GpuPool", { pricing: { perGpuHour: "2.50" } }, "columns");
  await patchStatus("GpuPool", "columns", {
    nodes: { assigned: 2 },
    agent: { ready: 1, image: "agent:1" },
    gpus: { total: 16 },
    mig: { strategy: "Mixed" },
    sampling: { effectivePeriodMilliseconds: 200 },
    products: [{ product: "NVIDIA-H100", count: 16 }],
    conditions: [readyCondition("RolloutInProgress", "1 of 2")],
  });
  const { AGE: _, ...poolCells } = await tableOf("GpuPool", "columns");
  assert.deepEqual(poolCells, {
    NAME: "columns",
    NODES: "2",
    AGENTS: "1",
    GPUS: "16",
    MIG: "Mixed",
    "$/GPU-H": "2.50",
    READY: "False",
    REASON: "RolloutInProgress",
    IMAGE: "agent:1",
    "PERIOD(MS)": "200",
    PRODUCT: "NVIDIA-H100",
  });
});

test("short names and the category find the kinds", async () => {
  assert.match(await cluster.kubectl("get", "gpool", "columns"), /columns/);
  const all = await cluster.kubectl("get", "axonize", "-A");
  assert.match(all, /axonizetenant.axonize.io\/columns/);
  assert.match(all, /gpupool.axonize.io\/columns/);
});

test("a list can be narrowed by the selectable fields", async () => {
  await create("AxonizeTenant", { tenantID: "chosen", adminState: "Suspended" }, "selected");
  const names = async (selector: string) =>
    (await cluster.kubectl("get", "axt", "--field-selector", selector, "-o", "name")).trim();
  assert.equal(await names("spec.tenantID=chosen"), "axonizetenant.axonize.io/selected");
  assert.equal(await names("spec.adminState=Suspended"), "axonizetenant.axonize.io/selected");
  await create("GpuPool", { vendor: "Fake" }, "fake");
  await create("GpuPool", {}, "real");
  const fakes = await cluster.kubectl("get", "gpool", "--field-selector=spec.vendor=Fake");
  assert.match(fakes, /^fake /m);
  assert.doesNotMatch(fakes, /^real /m);
});

test("a misspelt field is refused where it is validated, as kubectl does, and else dropped", async () => {
  const strict = await tryOut("GpuPool", { samplin: { periodMilliseconds: 100 } });
  assert.equal(strict.status, 400);
  assert.match(strict.message, /unknown field "spec.samplin"/);
  const lenient = await ask(
    "POST",
    `${collection("GpuPool")}?fieldValidation=Ignore`,
    objectOf("GpuPool", newName(), { samplin: 1, priority: 5 }),
  );
  assert.equal(lenient.status, 201);
  assert.equal(lenient.object.spec["samplin"], undefined);
  assert.equal(lenient.object.spec["priority"], 5);
});

async function applied(manager: string, kind: Kind, name: string, spec: Spec): Promise<Spec> {
  const file = join(cluster.dir, `${manager}.json`);
  writeFileSync(file, JSON.stringify(objectOf(kind, name, spec)));
  await cluster.kubectl("apply", "--server-side", `--field-manager=${manager}`, "-f", file);
  return (await ask("GET", `${collection(kind)}/${name}`)).object.spec;
}

test("two writers share lists by their keys", async () => {
  const name = newName();
  const apply = async (manager: string, namespaces?: readonly object[]) =>
    await applied(manager, "AxonizeTenant", name, namespaces === undefined ? {} : { namespaces });
  await apply("one", [{ name: "a" }]);
  const both = await apply("two", [{ name: "b" }]);
  assert.deepEqual(both["namespaces"], [{ name: "a" }, { name: "b" }]);
  assert.deepEqual((await apply("one"))["namespaces"], [{ name: "b" }]);
});

test("what an apply names takes the place of a default, and is not merged with it", async () => {
  const apply = async (kind: Kind, spec: Spec) => await applied("one", kind, "merged", spec);
  await apply("GpuPool", {});
  const named = {
    sampling: { metricSets: ["Power"] },
    agent: { updateStrategy: { type: "OnDelete" } },
  };
  const pool = GpuPoolSpec.parse(await apply("GpuPool", named));
  assert.deepEqual(pool.sampling.metricSets, ["Power"]);
  assert.deepEqual(pool.agent.updateStrategy, { type: "OnDelete" });
  await apply("AxonizeTenant", {});
  const key = { name: "ingest", scopes: ["Query"], distribution: "OperatorNamespace" };
  const tenant = AxonizeTenantSpec.parse(await apply("AxonizeTenant", { apiKeys: [key] }));
  assert.deepEqual(tenant.apiKeys[0]?.scopes, ["Query"]);
});

test("what an older CRD let in stays changeable elsewhere, and is refused when it is touched", async () => {
  const tenant = resourceOf("AxonizeTenant");
  const lax = structuredClone(crdOf(tenant)) as unknown as CrdLike;
  const fields = lax.spec.versions[0].schema.openAPIV3Schema.properties["spec"]?.properties ?? {};
  for (const field of ["retention", "tenantID"]) delete fields[field]?.["x-kubernetes-validations"];
  await replaceCrd(
    lax,
    async () => (await tryOut("AxonizeTenant", { tenantID: "UPPER" })).status === 201,
  );
  const name = newName();
  assert.equal((await create("AxonizeTenant", { tenantID: "UPPER" }, name)).status, 201);

  await replaceCrd(
    crdOf(tenant),
    async () => (await tryOut("AxonizeTenant", { tenantID: "UPPER" })).status === 422,
  );
  const elsewhere = await change("AxonizeTenant", name, { tenantID: "UPPER", displayName: "X" });
  assert.equal(elsewhere.status, 200, elsewhere.message);
  const touched = await change("AxonizeTenant", name, {
    tenantID: "UPPER",
    retention: { traceDays: 1 },
  });
  assert.equal(touched.status, 422);
  assert.match(touched.message, /retention.payloadDays/);
});

test("an operator newer than the CRD reads defaults for fields that it does not have yet", async () => {
  const pool = resourceOf("GpuPool");
  const older = structuredClone(crdOf(pool)) as unknown as CrdLike;
  const fields = older.spec.versions[0].schema.openAPIV3Schema.properties["spec"]?.properties ?? {};
  delete fields["sampling"];
  const hasSampling = async () =>
    (await ask("POST", `${collection("GpuPool")}?dryRun=All`, objectOf("GpuPool", newName(), {})))
      .object.spec["sampling"] !== undefined;
  await replaceCrd(older, async () => !(await hasSampling()));
  const name = newName();
  const { object } = await create("GpuPool", { priority: 7 }, name);
  assert.equal(object.spec["sampling"], undefined);
  const read = GpuPoolSpec.parse(object.spec);
  assert.deepEqual(read.sampling, GpuPoolSpec.parse({}).sampling);
  assert.equal(read.priority, 7);

  await replaceCrd(crdOf(pool), hasSampling);
  const now = await ask("GET", `${collection("GpuPool")}/${name}`);
  assert.deepEqual(now.object.spec["sampling"], read.sampling, "filled in when it is read");
});

test("an operator older than the CRD leaves alone what it does not know", () => {
  const read = AxonizeTenantSpec.parse({ tenantID: "a", futureField: { deep: true } });
  assert.equal(read.tenantID, "a");
  assert.ok(!("futureField" in read));
});

interface MutableSchema {
  "x-kubernetes-validations"?: unknown;
  properties?: Record<string, MutableSchema>;
}
interface CrdLike {
  readonly spec: {
    readonly versions: readonly [
      {
        readonly schema: {
          readonly openAPIV3Schema: { readonly properties: Record<string, MutableSchema> };
        };
      },
    ];
  };
}

/** The apiserver takes a changed CRD up within moments of its own. */
async function replaceCrd(crd: object, isInEffect: () => Promise<boolean>): Promise<void> {
  await cluster.apply([crd]);
  const deadline = Date.now() + 60_000;
  while (!(await isInEffect())) {
    assert.ok(Date.now() < deadline, "the CRD is not in effect after a minute");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const readyCondition = (reason: string, message: string): object => ({
  type: "Ready",
  status: "False",
  observedGeneration: 1,
  lastTransitionTime: "2026-11-29T12:00:00Z",
  reason,
  message,
});

async function patchStatus(kind: Kind, name: string, status: Spec): Promise<void> {
  const path = `${collection(kind)}/${name}`;
  const { object } = await ask("GET", path);
  const answer = await ask("PUT", `${path}/status?fieldValidation=Strict`, { ...object, status });
  assert.equal(answer.status, 200, answer.message);
}

/** Column → cell, as kubectl prints the apiserver's table. */
async function tableOf(kind: Kind, name: string): Promise<Record<string, string>> {
  const text = await cluster.kubectl("get", resourceOf(kind).plural, name, "-o", "wide");
  const [head = [], cells = []] = text
    .trim()
    .split("\n")
    .map((line) => line.split(/ {2,}/).map((cell) => cell.trim()));
  return Object.fromEntries(head.map((column, index) => [column, cells[index] ?? ""]));
}
