/**
 * A cluster with Axonize installed by Helm as a platform team would have it: two ingest and two operator
 * replicas, stores outside, and a node with made-up GPUs. What tests do to it goes through the same doors
 * that users have: kubectl, helm, the dashboard's API.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { buildImages } from "../../../tools/k8s/images/build.ts";
import { ensureBinaries } from "../../../tools/k8s/binaries.ts";
import { startCluster, type Cluster } from "../../../tools/k8s/cluster.ts";
import { addFakeGpus } from "../../../tools/k8s/gpus/fake-gpus.ts";
import type { DevicePlugin } from "../../../tools/k8s/gpus/plugin.ts";
import { buildExampleChat } from "../../../tools/k8s/images/example-chat.ts";
import { eventually } from "./eventually.ts";
import { chart, createHelm, namespace, root, type Helm, type Manifest } from "./helm.ts";
import { startHostStores, type HostStores } from "./host-stores.ts";
import { appFolder, flows, injectedPod } from "./load.ts";
import { getJson, readyPods, type Pod } from "./objects.ts";
import { settled } from "./wishes.ts";

export const agentNamespace = "axonize-agents";

export interface Installation extends AsyncDisposable {
  readonly cluster: Cluster;
  readonly stores: HostStores;
  readonly plugin: DevicePlugin;
  readonly helm: Helm;
  readonly adminKey: string;
  /** Runs Helm and fails with its words. */
  readonly mustHelm: (...args: readonly string[]) => Promise<string>;
  /** Values of the scaled layout; further `--set` arguments come after. */
  readonly valueArgs: readonly string[];
  /** GET of the dashboard's API through its Service. */
  api<T>(path: string, key: string): Promise<T>;
}

export async function startInstallation(say: (line: string) => void): Promise<Installation> {
  await using opening = new AsyncDisposableStack();
  const home = mkdtempSync(join(tmpdir(), "axonize-e2e-"));
  opening.defer(() => rmSync(home, { recursive: true, force: true }));
  const { helm: helmBinary } = await ensureBinaries(["helm"], { say });
  const app = buildExampleChat(appFolder);
  const images = [...buildImages(["ingest", "dashboard", "operator", "agent"]), app];
  const cluster = opening.use(await startCluster({ say }));
  const stores = opening.use(await startHostStores(cluster.hostIp));
  const plugin = opening.use(await addFakeGpus(cluster));
  say("Importing the images …");
  for (const { tar } of images) await cluster.importImage(tar);
  const helm = createHelm(helmBinary, { home, kubeconfig: cluster.kubeconfigFile });
  const mustHelm = async (...args: readonly string[]): Promise<string> => {
    const ran = await helm(...args);
    if (!ran.ok) throw new Error(`helm ${args.join(" ")}: ${ran.stderr}`);
    return ran.stdout;
  };
  const adminKey = randomBytes(24).toString("base64url");
  const values = join(home, "values.json");
  writeFileSync(values, JSON.stringify(scaledValues()));
  await cluster.apply([
    {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: namespace, labels: { "pod-security.kubernetes.io/enforce": "restricted" } },
    },
    ...storeSecrets(stores, adminKey),
  ]);
  say("helm install …");
  const valueArgs = ["--namespace", namespace, "--values", values];
  await mustHelm("install", "axonize", chart, ...valueArgs, "--wait", "--timeout", "4m").catch(
    async (error: unknown) => {
      const pods = await cluster.kubectl("get", "pods", "-A", "-o", "wide");
      throw new Error(`${String(error)}\n${pods}`, { cause: error });
    },
  );
  const closing = opening.move();
  return {
    cluster,
    stores,
    plugin,
    helm,
    adminKey,
    mustHelm,
    valueArgs,
    api: async (path, key) => {
      // Looked up each time: a release that is installed anew has another address.
      const dashboard = await serviceIp(cluster, "axonize-dashboard");
      const answer = await fetch(`http://${dashboard}${path}`, {
        headers: { authorization: `Bearer ${key}` },
      });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
      return JSON.parse(text);
    },
    [Symbol.asyncDispose]: async () => await closing.disposeAsync(),
  };
}

function scaledValues(): object {
  return {
    image: { tag: "dev", pullPolicy: "Never" },
    clusterName: "e2e",
    stores: { mode: "External" },
    clickhouse: { existingSecret: "clickhouse" },
    postgresql: { existingSecret: "postgresql" },
    admin: { existingSecret: "axonize-keys" },
    ingest: { replicas: 2, resources: small, drain: { preStopSeconds: 2 } },
    operator: { replicas: 2, metricsAccess: "Authorized" },
    dashboard: { replicas: 1 },
  };
}

/** Two cores for a whole cluster: requests are what the scheduler counts, not what is used. */
const small = { requests: { cpu: "50m", memory: "128Mi" }, limits: { memory: "1Gi" } };

function storeSecrets(stores: HostStores, adminKey: string): object[] {
  const secret = (name: string, stringData: Record<string, string>): object => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace },
    stringData,
  });
  return [
    secret("clickhouse", { url: stores.clickhouseUrl }),
    secret("postgresql", { url: stores.postgresUrl }),
    secret("axonize-keys", {
      "admin-key": adminKey,
      "session-key": randomBytes(32).toString("base64url"),
    }),
  ];
}

async function serviceIp(cluster: Cluster, name: string): Promise<string> {
  const service = await getJson<{ spec: { clusterIP: string } }>(
    cluster,
    "service",
    name,
    "-n",
    namespace,
  );
  return service.spec.clusterIP;
}

/** A file of examples/k8s as it is, but for the pool: its GPUs are not there, its agent's image is imported. */
export function example(name: string): Manifest[] {
  const text = readFileSync(join(root, "examples/k8s", name), "utf8");
  return parseAllDocuments(text).map((document) => {
    // The examples are objects of the API.
    const object = document.toJS() as Manifest & { spec?: Record<string, unknown> };
    if (object.kind === "GpuPool") {
      const agent = { imagePullPolicy: "Never" };
      return { ...object, spec: { ...object.spec, vendor: "Fake", agent } };
    }
    return object;
  });
}

/** A pool, a tenant and its application, as the examples have them, up and running. */
export async function startWorkload(cluster: Cluster): Promise<Pod> {
  await cluster.apply([...example("gpu-pool.yaml"), ...example("tenant.yaml")]);
  await settled(cluster, "axonizetenant", "team-vision");
  await readyPods(cluster, agentNamespace, "axonize.io/gpu-pool=gpus", 1);
  await cluster.apply(example("application.yaml"));
  const pod = await injectedPod(cluster, "vision");
  await flows(pod);
  return pod;
}

/** A key that the operator has put into a Secret. */
export async function secretValue(
  cluster: Cluster,
  in_: string,
  name: string,
  key: string,
): Promise<string> {
  return await eventually(`Secret ${in_}/${name} with ${key}`, async () => {
    const secret = await getJson<{ data: Record<string, string> }>(
      cluster,
      "secret",
      name,
      "-n",
      in_,
    );
    const value = secret.data[key];
    return value === undefined ? undefined : Buffer.from(value, "base64").toString("utf8");
  });
}
