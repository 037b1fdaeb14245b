/**
 * The chart's life on a control plane: installed, upgraded, rolled back, uninstalled, by Helm 4 and from
 * Helm 3 to 4; the Secrets that the bootstrap makes under the chart's own account; what is left at the
 * end. There is no node, so pods do not run: those are `e2e.test.ts`.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ensureBinaries } from "../../tools/k8s/binaries.ts";
import { startControlPlane, type ControlPlane } from "../../tools/k8s/control-plane.ts";
import { eventually } from "../support/engine-client.ts";
import { foreignCrds } from "./support/foreign-crds.ts";
import { chart, createHelm, namespace, root, valueSets, type Helm } from "./support/helm.ts";

const home = mkdtempSync(join(tmpdir(), "axonize-release-"));
let helm: Helm;
let helm3: Helm;
let cluster: ControlPlane;

before(async () => {
  cluster = await startControlPlane({ controllers: true });
  const binaries = await ensureBinaries(["helm", "helm3"]);
  const options = { home, kubeconfig: cluster.kubeconfigFile };
  helm = createHelm(binaries.helm, options);
  helm3 = createHelm(binaries.helm3, options);
  for (const crd of await foreignCrds()) await cluster.apply(crd);
});
after(async () => {
  await cluster[Symbol.asyncDispose]();
  rmSync(home, { recursive: true, force: true });
});

const fileOf = (set: string): string =>
  valueSets.find(({ name }) => name === set)?.file ?? assert.fail(`no set ${set}`);

async function run(with_: Helm, ...args: readonly string[]): Promise<string> {
  const answer = await with_(...args, "--namespace", namespace);
  assert.ok(answer.ok, `helm ${args.join(" ")}: ${answer.stderr}`);
  return answer.stdout;
}

const install = ["install", "axonize", chart, "--create-namespace"] as const;
const deleteData = ["--set", "stores.persistence.whenDeleted=Delete"] as const;
const upgrade = ["upgrade", "axonize", chart] as const;
/** No node runs the hook's pod here; what it does is tested below by itself. */
const uninstall = ["uninstall", "axonize", "--no-hooks", "--wait", "--timeout", "90s"] as const;

async function read<T>(...args: readonly string[]): Promise<T> {
  return JSON.parse(await cluster.kubectl("get", ...args, "-o", "json")) as T;
}

interface Deployment {
  readonly metadata: { readonly generation: number; readonly managedFields?: unknown };
  readonly spec: { readonly replicas: number; readonly template: { readonly metadata: object } };
}
const ingestDeployment = async (): Promise<Deployment> =>
  await read<Deployment>("deployment", "axonize-ingest", "-n", namespace);

/** All objects of the cluster that carry the release's label or Helm's annotation. */
async function remains(): Promise<string[]> {
  const { stdout } = {
    stdout: await cluster.kubectl("api-resources", "--verbs=list", "-o", "name"),
  };
  const kinds = stdout
    .trim()
    .split("\n")
    .filter((kind) => !/^(events|componentstatuses|.*\.metrics\.k8s\.io)/.test(kind));
  const text = await cluster.kubectl(
    "get",
    kinds.join(","),
    "--all-namespaces",
    "-o",
    'jsonpath={range .items[*]}{.kind}{"/"}{.metadata.name}{" "}{.metadata.labels}{" "}{.metadata.annotations}{"\\n"}{end}',
  );
  return text
    .split("\n")
    .filter((line) => /axonize/.test(line))
    .map((line) => line.split(" ", 1)[0] ?? "")
    .filter((name) => !/^Namespace\/(axonize-system|vision|speech|gpu-agents)$/.test(name))
    .sort();
}

/** The definitions stay (`helm.sh/resource-policy: keep`), and with them the group that they serve. */
const definitions = [
  "APIService/v1alpha1.axonize.io",
  ...["axonizetenants", "gpupools", "injectionprofiles"].map(
    (plural) => `CustomResourceDefinition/${plural}.axonize.io`,
  ),
];
const claim = "PersistentVolumeClaim/data-axonize-stores-0";

/** Holds that nothing but the definitions, and `kept`, is left. */
async function leaves(...kept: readonly string[]): Promise<void> {
  const expected = [...definitions, ...kept].sort();
  let found: readonly string[] = [];
  await eventually("what is deleted is gone", async () => {
    found = await remains();
    return found.join() === expected.join();
  }).catch(() => assert.deepEqual(found, expected));
}

test("installed, upgraded, rolled back and uninstalled, it leaves its definitions and nothing else", async () => {
  const notes = await run(helm, ...install);
  assert.match(notes, /NOT FOR PRODUCTION/);
  assert.match(notes, /kind: AxonizeTenant/);
  assert.match(notes, /port-forward service\/axonize-dashboard 3000:80/);
  await cluster.kubectl("wait", "--for=condition=Established", "crd/gpupools.axonize.io");
  const first = await ingestDeployment();

  // The same again changes nothing: no pod is restarted by an upgrade that has no news.
  await run(helm, ...upgrade);
  assert.equal((await ingestDeployment()).metadata.generation, first.metadata.generation);

  const upgraded = await run(helm, ...upgrade, "-f", fileOf("production"));
  assert.doesNotMatch(upgraded, /NOT FOR PRODUCTION/);
  assert.match(upgraded, /https:\/\/example\.com/);
  const missing = await helm("status", "nothing", "-n", namespace);
  assert.ok(!missing.ok, "the wrapper tells a failure");
  await assert.rejects(cluster.kubectl("get", "statefulset", "axonize-stores", "-n", namespace));
  await cluster.kubectl("get", "servicemonitor", "axonize-ingest", "-n", namespace);
  await cluster.kubectl("get", "prometheusrule", "axonize", "-n", namespace);

  await run(helm, "rollback", "axonize", "1");
  await cluster.kubectl("get", "statefulset", "axonize-stores", "-n", namespace);
  await assert.rejects(cluster.kubectl("get", "hpa", "axonize-ingest", "-n", namespace));
  assert.equal((await ingestDeployment()).spec.replicas, 2);

  await run(helm, ...uninstall);
  // Data is a person's to delete.
  await leaves(claim);
  await cluster.kubectl("delete", "pvc", "--all", "-n", namespace);
});

test("installed again over the definitions that stayed, also by the other Helm, then upgraded to Helm 4", async () => {
  await run(helm3, ...install, ...deleteData);
  const before3 = await ingestDeployment();
  await run(helm, ...upgrade, ...deleteData);
  assert.equal((await ingestDeployment()).metadata.generation, before3.metadata.generation);
  // Helm 4 goes on client-side for a release of Helm 3, until told to apply server-side.
  await run(helm, ...upgrade, ...deleteData, "--server-side=true", "--force-conflicts");
  await run(helm, ...upgrade, ...deleteData, "--set", "ingest.replicas=4");
  assert.equal((await ingestDeployment()).spec.replicas, 4);
  await run(helm, ...uninstall);
  await leaves();
});

test("an upgrade leaves the replicas that the autoscaler chose", async () => {
  const scaling = [...deleteData, "--set", "ingest.autoscaling.enabled=true"] as const;
  await run(helm, ...install, ...scaling);
  await cluster.kubectl("scale", "deployment/axonize-ingest", "--replicas=7", "-n", namespace);
  await run(helm, ...upgrade, ...scaling, "--set", "logLevel=debug");
  const { spec } = await ingestDeployment();
  assert.equal(spec.replicas, 7);
  assert.match(JSON.stringify(spec), /"debug"/);
  await run(helm, ...uninstall);
});

test("every set of values installs, and uninstalls without a rest", async () => {
  for (const name of ["vision", "speech", "gpu-agents"]) {
    await cluster.apply([{ apiVersion: "v1", kind: "Namespace", metadata: { name } }]);
  }
  for (const { file } of valueSets) {
    await run(helm, ...install, ...deleteData, "-f", file);
    await run(helm, ...uninstall);
    await leaves();
  }
});

/** Runs the operator image's bootstrap as the chart's own account. */
async function bootstrap(secrets: string, ...args: readonly string[]): Promise<string> {
  const token = await cluster.tokenFor(namespace, "axonize-operator");
  const kubeconfig = join(home, "operator.kubeconfig");
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [
        { name: "c", cluster: { server: cluster.url, "certificate-authority": cluster.caFile } },
      ],
      users: [{ name: "u", user: { token } }],
      contexts: [{ name: "x", context: { cluster: "c", user: "u", namespace } }],
      "current-context": "x",
    }),
  );
  const child = spawn(process.execPath, [join(root, "operator/bootstrap/main.ts"), ...args], {
    env: {
      KUBECONFIG: kubeconfig,
      AXONIZE_OPERATOR_NAMESPACE: namespace,
      AXONIZE_BOOTSTRAP_INSTANCE: "axonize",
      AXONIZE_BOOTSTRAP_SECRETS: secrets,
    },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const [code] = await once(child, "close");
  assert.equal(code, 0, output);
  return output;
}

interface Secret {
  readonly data: Readonly<Record<string, string>>;
}

test("before an uninstall the operator ends, and nobody cleans up beside a running one", async () => {
  await run(helm, ...install, ...deleteData);
  const pods = [
    "get",
    "pods",
    "-l",
    "app.kubernetes.io/component=operator",
    "-n",
    namespace,
  ] as const;
  await eventually("its pods are there", async () => {
    return (await cluster.kubectl(...pods, "-o", "name")).trim().split("\n").length === 2;
  });
  await bootstrap("", "stop");
  assert.equal((await cluster.kubectl(...pods, "-o", "name")).trim(), "");
  await bootstrap("", "stop");
  // An uninstall that went no further is taken back by an upgrade, without a conflict.
  await run(helm, ...upgrade, ...deleteData);
  await cluster.kubectl("get", "deployment", "axonize-operator", "-n", namespace);
  await run(helm, ...uninstall);
  await leaves();
});

test("the Secrets that nobody gave are made once, by several at a time, completed, and taken away", async () => {
  await run(helm, ...install);
  const { spec } = await read<{ spec: { template: { spec: { initContainers: object[] } } } }>(
    "deployment",
    "axonize-operator",
    "-n",
    namespace,
  );
  const rendered = /"AXONIZE_BOOTSTRAP_SECRETS","value":"([^"]+)"/.exec(
    JSON.stringify(spec.template.spec.initContainers),
  )?.[1];
  assert.ok(rendered !== undefined, "the chart names the Secrets");
  const secretOf = async (name: string): Promise<Secret> =>
    await read<Secret>("secret", name, "-n", namespace);

  await Promise.all([bootstrap(rendered), bootstrap(rendered), bootstrap(rendered)]);
  const admin = await secretOf("axonize-admin");
  const stores = await secretOf("axonize-stores");
  assert.deepEqual(Object.keys(admin.data).sort(), ["admin-key", "session-key"]);
  assert.deepEqual(Object.keys(stores.data).sort(), ["clickhouse-password", "postgres-password"]);
  const values = [admin, stores].flatMap(({ data }) =>
    Object.values(data).map((value) => Buffer.from(value, "base64").toString()),
  );
  assert.equal(new Set(values).size, 4);
  for (const value of values) assert.match(value, /^[\w-]{32}$/);

  const output = await bootstrap(rendered);
  assert.equal(output, "", "nothing to do, nothing to say");
  assert.deepEqual((await secretOf("axonize-admin")).data, admin.data);

  // A newer version needs a key more; a person took one away.
  await bootstrap("axonize-admin=admin-key,session-key,further-key");
  const completed = await secretOf("axonize-admin");
  assert.equal(completed.data["admin-key"], admin.data["admin-key"]);
  assert.equal(Object.keys(completed.data).length, 3);
  for (const value of values) {
    assert.ok(!(await run(helm, "get", "all", "axonize")).includes(value), "in Helm's release");
  }

  // A person put their own in the place of one of them: it is not ours to take.
  await cluster.kubectl(
    "label",
    "secret",
    "axonize-stores",
    "app.kubernetes.io/managed-by=person",
    "--overwrite",
    "-n",
    namespace,
  );
  await cluster.apply([
    {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: "axonize-operator", namespace },
    },
  ]);
  await bootstrap(rendered, "remove");
  await assert.rejects(
    cluster.kubectl("get", "lease", "axonize-operator", "-n", namespace),
    /not found/,
  );
  await assert.rejects(secretOf("axonize-admin"), /not found/);
  assert.deepEqual((await secretOf("axonize-stores")).data, stores.data);
  await cluster.kubectl("delete", "secret", "axonize-stores", "-n", namespace);
  await run(helm, ...uninstall);
});

/** A request of somebody who has a token; its status. */
async function postAs(token: string, path: string, body: object): Promise<number> {
  const sent = httpsRequest(`${cluster.url}${path}`, {
    method: "POST",
    ca: readFileSync(cluster.caFile),
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
  });
  sent.end(JSON.stringify(body));
  // The one argument of `response` is the answer.
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  answer.resume();
  return answer.statusCode ?? 0;
}

test("the accounts may do what their work needs, and no more", async () => {
  await run(helm, ...install, "-f", fileOf("hardened"));
  const may = async (who: string, ...what: readonly string[]): Promise<boolean> => {
    const args = ["auth", "can-i", ...what, "--as", who];
    // kubectl answers "no" with exit code 1.
    return (await cluster.kubectl(...args).catch(() => "no")).trim() === "yes";
  };
  const operator = `system:serviceaccount:${namespace}:axonize-operator`;
  const ingest = `system:serviceaccount:${namespace}:axonize-ingest`;
  const agent = "system:serviceaccount:gpu-agents:axonize-agent";
  assert.ok(await may(operator, "patch", "secrets", "-n", namespace));
  assert.ok(!(await may(operator, "get", "secrets", "-n", "vision")));
  assert.ok(!(await may(operator, "list", "secrets", "--all-namespaces")));
  // It may bind itself where a tenant is bound, to one role and no other.
  const bind = async (role: string): Promise<number> => {
    const token = await cluster.tokenFor(namespace, "axonize-operator");
    const answer = await postAs(
      token,
      "/apis/rbac.authorization.k8s.io/v1/namespaces/vision/rolebindings",
      {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "RoleBinding",
        metadata: { name: `of-${role}` },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role },
        subjects: [{ kind: "ServiceAccount", name: "axonize-operator", namespace }],
      },
    );
    return answer;
  };
  assert.equal(await bind("axonize-operator-secrets"), 201);
  assert.ok(await may(operator, "patch", "secrets", "-n", "vision"));
  assert.equal(await bind("cluster-admin"), 403);
  await cluster.kubectl("delete", "rolebindings", "--all", "-n", "vision");
  assert.ok(await may(operator, "create", "daemonsets", "-n", "gpu-agents"));
  assert.ok(!(await may(operator, "create", "daemonsets", "-n", "default")));
  assert.ok(!(await may(operator, "delete", "nodes")));
  assert.ok(!(await may(operator, "delete", "namespaces")));
  assert.ok(!(await may(operator, "escalate", "clusterroles")));
  assert.ok(!(await may(operator, "impersonate", "users")));
  assert.ok(await may(ingest, "create", "tokenreviews"));
  assert.ok(!(await may(ingest, "get", "secrets", "-n", namespace)));
  assert.ok(await may(agent, "watch", "pods"));
  assert.ok(!(await may(agent, "get", "secrets", "-n", "vision")));
  await run(helm, ...uninstall);

  await run(helm, ...install);
  assert.ok(await may(operator, "patch", "secrets", "-n", "vision"), "the default is the cluster");
  // Roles for people are in Kubernetes's own.
  for (const [role, verb, expected] of [
    ["view", "list", true],
    ["view", "create", false],
    ["edit", "create", true],
    ["admin", "delete", true],
  ] as const) {
    await cluster.apply([
      {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "ClusterRoleBinding",
        metadata: { name: `person-${role}` },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role },
        subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: role }],
      },
    ]);
    await eventually(`${role} aggregates ours`, async () => {
      return (await may(role, verb, "axonizetenants.axonize.io")) === expected;
    });
  }
  await run(helm, ...uninstall);
});
