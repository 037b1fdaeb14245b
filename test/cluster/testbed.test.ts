/**
 * The testbed itself: its programs, a control plane alone (RBAC, tokens, audit, restart, compaction) and a whole
 * node (pods, logs, exec, Services, DNS, devices, volumes, metrics).
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { lstatSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startControlPlane, type ControlPlane } from "../../tools/k8s/control-plane.ts";
import type { Cluster } from "../../tools/k8s/cluster.ts";
import { buildTestImage } from "../../tools/k8s/images/build.ts";
import { eventually } from "./support/eventually.ts";
import { useCluster } from "./support/shared-cluster.ts";
import { busyDeployment, claim, serverPod, service, writerPod } from "./support/testbed-objects.ts";

describe("the programs", () => {
  const builder = join(import.meta.dirname, "support/testbed-builder.ts");
  const build = async (
    env: NodeJS.ProcessEnv,
  ): Promise<{ code: number | null; output: string }> => {
    const child = spawn(process.execPath, [builder], { env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => (output += chunk.toString("utf8")));
    }
    return await new Promise((resolve) => {
      child.once("close", (code) => resolve({ code, output }));
    });
  };

  test("two processes that want the same program build it once", async () => {
    const cache = mkdtempSync(join(tmpdir(), "axonize-testbed-"));
    try {
      // Go's own cache stays where it is, so that this takes seconds.
      const go = execFileSync("go", ["env", "GOCACHE"], { encoding: "utf8" }).trim();
      const env = { ...process.env, XDG_CACHE_HOME: cache, GOCACHE: go };
      const both = await Promise.all([build(env), build(env)]);
      for (const { code, output } of both) assert.equal(code, 0, output);
      const said = both.map(({ output }) => output).join("");
      assert.equal(said.match(/^Built coredns in \d+ s\.$/gm)?.length, 1, said);
      assert.equal(said.match(/^CoreDNS-1\.\d+\.\d+$/gm)?.length, 2, said);
      const left = readdirSync(join(cache, "axonize/k8s")).map((name) => name.replace(/-.*/, ""));
      assert.deepEqual(left.sort(), ["build.lock", "coredns"]);
    } finally {
      rmSync(cache, { recursive: true });
    }
  });

  test("without Go a paragraph says where to get it", async () => {
    const { code, output } = await build({ ...process.env, PATH: "/nowhere" });
    assert.equal(code, 1);
    assert.match(output, /need Go 1\.26\.4 or newer; there is no `go` on the PATH/);
    assert.match(output, /https:\/\/go\.dev\/dl/);
  });
});

describe("a control plane", () => {
  let plane: ControlPlane;
  before(async () => {
    plane = await startControlPlane({ controllers: true });
  });
  after(async () => {
    await plane[Symbol.asyncDispose]();
  });

  test("serves the pinned version with admission policies that mutate", async () => {
    const version = JSON.parse((await plane.request("GET", "/version")).body);
    assert.match(version.gitVersion, /^v1\.36\.\d+$/);
    const path = "/apis/admissionregistration.k8s.io/v1";
    const { resources } = JSON.parse((await plane.request("GET", path)).body);
    const names = resources.map(({ name }: { name: string }) => name);
    assert.ok(names.includes("mutatingadmissionpolicies"), names.join());
    assert.ok(names.includes("mutatingadmissionpolicybindings"), names.join());
  });

  test("a ServiceAccount's token may do what RBAC says and no more", async () => {
    await plane.apply([
      {
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { name: "reader", namespace: "default" },
      },
      {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "Role",
        metadata: { name: "reader", namespace: "default" },
        rules: [{ apiGroups: [""], resources: ["configmaps"], verbs: ["list"] }],
      },
      {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "RoleBinding",
        metadata: { name: "reader", namespace: "default" },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "reader" },
        subjects: [{ kind: "ServiceAccount", name: "reader", namespace: "default" }],
      },
    ]);
    const token = await plane.tokenFor("default", "reader");
    const as = ["--kubeconfig=/dev/null", `--server=${plane.url}`, `--token=${token}`];
    const withToken = [...as, `--certificate-authority=${plane.caFile}`, "-n", "default"];
    const listed = await plane.kubectl(...withToken, "get", "configmaps", "-o", "name");
    assert.match(listed, /configmap\/kube-root-ca\.crt/);
    await assert.rejects(
      plane.kubectl(...withToken, "get", "secrets"),
      /secrets is forbidden: User "system:serviceaccount:default:reader" cannot list/,
    );
    await assert.rejects(
      plane.tokenFor("default", "nobody"),
      /serviceaccounts \\?"nobody\\?" not found/,
    );
  });

  test("the audit log names who wrote what", async () => {
    await plane.kubectl("create", "configmap", "audited", "--from-literal=a=b");
    const event = await eventually(
      "the audit event",
      async () =>
        await Promise.resolve(
          plane
            .auditEvents()
            .find(({ objectRef, verb }) => objectRef?.name === "audited" && verb === "create"),
        ),
    );
    assert.equal(event.user.username, "admin");
    assert.equal(event.objectRef?.resource, "configmaps");
    assert.equal(event.responseStatus?.code, 201);
    assert.equal(event.stage, "ResponseComplete");
    assert.match(event.userAgent ?? "", /^kubectl/);
  });

  test("controllers make a namespace's ServiceAccount and empty a deleted one", async () => {
    await plane.kubectl("create", "namespace", "short-lived");
    await eventually(
      "its default ServiceAccount",
      async () =>
        await plane.kubectl("-n", "short-lived", "get", "serviceaccount", "default", "-o", "name"),
    );
    await plane.kubectl("-n", "short-lived", "create", "configmap", "inside");
    await plane.kubectl("delete", "namespace", "short-lived", "--wait=true", "--timeout=60s");
    assert.equal((await plane.request("GET", "/api/v1/namespaces/short-lived")).status, 404);
  });

  test("a killed apiserver comes back at the same address with its data", async () => {
    await plane.kubectl("create", "configmap", "kept");
    await plane.killApiserver();
    await assert.rejects(plane.request("GET", "/readyz"), /ECONNREFUSED/);
    await plane.startApiserver();
    assert.equal(await plane.kubectl("get", "configmap", "kept", "-o", "name"), "configmap/kept\n");
  });

  test("after a compaction and a restart an old resourceVersion is 410 Gone", async () => {
    const path = "/api/v1/namespaces/default/configmaps";
    const list = JSON.parse((await plane.request("GET", path)).body);
    const old: string = list.metadata.resourceVersion;
    await plane.kubectl("create", "configmap", "after-the-list");
    await plane.compactEtcd();
    await plane.killApiserver();
    await plane.startApiserver();
    const watched = await plane.request(
      "GET",
      `${path}?watch=true&timeoutSeconds=5&resourceVersion=${old}`,
    );
    const [first = "{}"] = watched.body.split("\n");
    const { type, object } = JSON.parse(first);
    assert.equal(type, "ERROR", watched.body);
    assert.equal(object.code, 410);
    assert.equal(object.reason, "Expired");
  });

  test("an apiserver that behaves as 1.35 has no mutating policies", async () => {
    await using older = await startControlPlane({
      flags: { apiserver: ["--emulated-version=1.35"] },
    });
    const path = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies";
    assert.equal((await older.request("GET", path)).status, 404);
    assert.equal((await plane.request("GET", path)).status, 200);
  });

  test("a flag that the apiserver does not know is reported with its log", async () => {
    await assert.rejects(
      startControlPlane({ flags: { apiserver: ["--no-such-flag"] } }),
      /kube-apiserver ended while it started[\s\S]*unknown flag: --no-such-flag/,
    );
  });
});

describe("a cluster", () => {
  let cluster: Cluster;
  const image = buildTestImage({
    name: "localhost/testbed-echo:1",
    packages: [],
    files: [
      {
        type: "file",
        path: "app/main.mjs",
        mode: 0o644,
        content: Buffer.from(
          `import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
createServer((_, response) => response.end("hello from " + process.env.POD)).listen(8080);
process.on("SIGTERM", () => process.exit(0));
console.log("listening as", process.getuid());\n`,
        ),
      },
    ],
    entrypoint: ["/usr/local/bin/node", "/app/main.mjs"],
    user: 1000,
  });
  const kubectl = async (...args: readonly string[]): Promise<string> =>
    await cluster.kubectl("-n", "testbed", ...args);
  const inPod = async (script: string): Promise<string> =>
    await kubectl("exec", "server", "--", "node", "-e", script);
  const fetchInPod = async (url: string): Promise<string> =>
    await inPod(`fetch(${JSON.stringify(url)}).then((r) => r.text()).then(console.log)`);

  before(async () => {
    cluster = await useCluster();
    await cluster.importImage(image.tar);
    await cluster.kubectl("create", "namespace", "testbed");
    await eventually(
      "the ServiceAccount of its pods",
      async () => await kubectl("get", "serviceaccount", "default", "-o", "name"),
    );
    await cluster.apply([serverPod(image.name), service]);
    await kubectl("wait", "--for=condition=Ready", "pod/server", "--timeout=120s");
  });
  after(async () => {
    await cluster.kubectl("delete", "namespace", "testbed", "--wait=true", "--timeout=120s");
  });

  test("a pod runs and its log is read", async () => {
    assert.equal(await kubectl("logs", "server"), "listening as 1000\n");
  });

  test("exec runs a program in it", async () => {
    assert.equal(await inPod("console.log(process.version)"), `${process.version}\n`);
  });

  test("a pod reaches a Service by its name and by its ClusterIP", async () => {
    assert.equal(await fetchInPod("http://web/"), "hello from server\n");
    assert.equal(await fetchInPod("http://web.testbed.svc.cluster.local/"), "hello from server\n");
    assert.equal(await fetchInPod(`http://${await clusterIp()}/`), "hello from server\n");
  });

  test("a name outside the cluster does not exist, and that is said at once", async () => {
    const found = await inPod('require("dns").lookup("example.com", (e) => console.log(e.code))');
    assert.equal(found, "ENOTFOUND\n");
  });

  test("the host reaches pod, ClusterIP and NodePort addresses", async () => {
    const podIp = await kubectl("get", "pod/server", "-o", "jsonpath={.status.podIP}");
    const nodePort = await kubectl(
      "get",
      "service/web",
      "-o",
      "jsonpath={.spec.ports[0].nodePort}",
    );
    for (const address of [`${podIp}:8080`, await clusterIp(), `${cluster.nodeIp}:${nodePort}`]) {
      const answer = await fetch(`http://${address}/`);
      assert.equal(await answer.text(), "hello from server", address);
    }
  });

  test("a pod reaches what listens on the host's loopback through a forwarder", async () => {
    const server = createServer((_, response) => response.end("hello from the host"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const address = server.address();
      assert.ok(address !== null && typeof address === "object");
      await using forwarded = await cluster.forward(address.port);
      const url = `http://host.axonize.test:${forwarded.port}/`;
      assert.equal(await fetchInPod(url), "hello from the host\n");
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  test("device plugins find the kubelet's registration socket", () => {
    const socket = cluster.nodePath("/var/lib/kubelet/device-plugins/kubelet.sock");
    assert.ok(lstatSync(socket).isSocket());
  });

  test("a claim of the default class gets a volume that the pod's group may write", async () => {
    await cluster.apply([claim, writerPod(image.name)]);
    await kubectl(
      "wait",
      "--for=jsonpath={.status.phase}=Succeeded",
      "pod/writer",
      "--timeout=120s",
    );
  });

  test("kubectl top knows the node and the pod, so an autoscaler can", async () => {
    const top = await eventually(
      "metrics of the pod",
      async () => await kubectl("top", "pod", "server", "--no-headers"),
    );
    assert.match(top, /^server\s+\d+m\s+\d+Mi/);
    assert.match(await cluster.kubectl("top", "node", "--no-headers"), /^node-1\s+\d+m/);
  });

  test("an autoscaler adds a pod to a busy one", async () => {
    await cluster.apply(busyDeployment(image.name));
    await eventually("a second replica", async () => {
      const hpa = JSON.parse(await kubectl("get", "hpa/busy", "-o", "json"));
      return hpa.status.desiredReplicas === 2 ? hpa : undefined;
    });
    await kubectl(
      "wait",
      "--for=jsonpath={.status.readyReplicas}=2",
      "deployment/busy",
      "--timeout=120s",
    );
    await kubectl("delete", "hpa/busy", "deployment/busy");
  });

  test("a killed kubelet comes back and the pod has not noticed", async () => {
    await cluster.kill("kubelet");
    await cluster.start("kubelet");
    await eventually("the kubelet serves logs", async () => await kubectl("logs", "server"));
    const restarts = await kubectl(
      "get",
      "pod/server",
      "-o",
      "jsonpath={.status.containerStatuses[0].restartCount}",
    );
    assert.equal(restarts, "0");
  });

  async function clusterIp(): Promise<string> {
    return await kubectl("get", "service/web", "-o", "jsonpath={.spec.clusterIP}");
  }
});
