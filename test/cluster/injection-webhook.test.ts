/**
 * Injection by webhook on an apiserver that behaves as 1.33, where policies are not yet: the same golden
 * pods, certificates that the operator makes, and a webhook that is down.
 */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { silentLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { systemClock } from "@axonize/core/runtime/clock";
import { detectInjection, injectionFact } from "../../operator/injection/detect.ts";
import { createInjectionMetrics } from "../../operator/injection/metrics.ts";
import {
  operatorNamespacePlaceholder,
  operatorServicePlaceholder,
} from "../../operator/injection/placeholders.ts";
import { mutatingWebhookConfiguration } from "../../operator/injection/webhook-config.ts";
import {
  createWebhookController,
  hostsOf,
  webhookSecretName,
  type WebhookConfiguration,
} from "../../operator/injection/webhook-controller.ts";
import {
  createWebhookServer,
  type WebhookServer,
} from "../../operator/injection/webhook-server.ts";
import { createAccess, type ClusterAccess } from "../../operator/kube/access.ts";
import { createManager, type Manager } from "../../operator/kube/manager.ts";
import { ensureBinaries } from "../../tools/k8s/binaries.ts";
import type { ControlPlane } from "../../tools/k8s/control-plane.ts";
import { createHelm, objectsOf, render } from "./support/helm.ts";
import { goldenPods } from "./support/golden-pods.ts";
import {
  chartFile,
  holdGoldenPods,
  holdSidecars,
  operatorNamespace,
  startInjectionCluster,
  until,
  untilInjected,
  type InjectionCluster,
} from "./support/injection-cluster.ts";

let on: InjectionCluster;
let operator: Operator;
/** Everything that the operator does here, it does under the chart's own ServiceAccount. */
let account: ClusterAccess;
let port = 0;

before(async () => {
  on = await startInjectionCluster({ flags: { apiserver: ["--emulated-version=1.33"] } });
  account = await operatorAccount(on.cluster);
});
after(async () => {
  await operator.stop();
  await on[Symbol.asyncDispose]();
});

interface Operator {
  readonly manager: Manager;
  readonly server: WebhookServer;
  readonly port: number;
  stop(): Promise<void>;
}

let instances = 0;

/** The ServiceAccount, with the rights that the hardened chart gives it. */
async function operatorAccount(cluster: ControlPlane): Promise<ClusterAccess> {
  const binaries = await ensureBinaries(["helm"]);
  const helm = createHelm(binaries.helm, { home: cluster.dir });
  const rendered = objectsOf(
    await render(helm, "--set", "operator.injection=webhook,rbac.secretAccess=PerNamespace"),
  );
  const rights = /^(ServiceAccount|(Cluster)?Role(Binding)?)$/;
  await cluster.apply([
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "axonize-agents" } },
    ...rendered.filter(({ kind }) => rights.test(kind)),
  ]);
  const folder = join(cluster.dir, "account");
  mkdirSync(folder);
  writeFileSync(
    join(folder, "token"),
    await cluster.tokenFor(operatorNamespace, "axonize-operator"),
  );
  copyFileSync(cluster.caFile, join(folder, "ca.crt"));
  const { hostname, port: apiPort } = new URL(cluster.url);
  return await createAccess(
    { clock: systemClock },
    { kubeconfig: undefined, serviceHost: hostname, servicePort: apiPort, accountDir: folder },
  );
}

/** The operator as far as injection goes: manager, controller, server. */
async function startOperator(at: number): Promise<Operator> {
  const registry = createRegistry();
  const manager = createManager(
    {
      access: account,
      clock: systemClock,
      log: silentLog,
      registry,
      random: Math.random,
      onFatal: (reason) => assert.fail(reason),
    },
    {
      userAgent: "axonize-operator/test",
      lease: {
        namespace: operatorNamespace,
        name: "axonize-operator",
        identity: `test-${(instances += 1)}`,
        leaseMs: 15_000,
      },
    },
  );
  const controller = createWebhookController(
    { clock: systemClock, log: silentLog, server: () => server },
    { namespace: operatorNamespace },
  );
  const server = createWebhookServer({
    profiles: controller.profiles,
    log: silentLog,
    metrics: createInjectionMetrics(registry),
  });
  const listening = await server.listen({ host: "127.0.0.1", port: at });
  manager.add("webhook", controller);
  await manager.start();
  return {
    manager,
    server,
    port: listening.port,
    async stop() {
      await server.close();
      await manager.stop();
    },
  };
}

const fact = async (client = operator.manager.client) =>
  await injectionFact(client, await detectInjection(client), {
    namespace: operatorNamespace,
    now: Date.now(),
  });
/** There is no network between apiserver and pods here: by URL, as anything outside of a cluster. */
const pointTo = async (at: number): Promise<string> =>
  await on.cluster.apply([mutatingWebhookConfiguration({ url: `https://127.0.0.1:${at}` })]);

/** Fingerprint of what a server shows; who signed it is the apiserver's to judge. */
async function shownAt(at: number): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port: at, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

const configurationNow = async (): Promise<WebhookConfiguration> =>
  JSON.parse(
    await on.cluster.kubectl("get", "mutatingwebhookconfiguration", "axonize-inject", "-o", "json"),
  );
const secretPath = `/api/v1/namespaces/${operatorNamespace}/secrets/${webhookSecretName}`;
const secretNow = async () => JSON.parse((await on.cluster.request("GET", secretPath)).body);

test("such a cluster takes no policies, and without a webhook nothing can be injected", async () => {
  const served = await on.cluster.request(
    "GET",
    "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies",
  );
  assert.equal(served.status, 404);
  assert.equal(await detectInjection(on.client), "unsupported");
  assert.equal((await fact(on.client)).reason, "NotSupported");
});

test("the chart's configuration is accepted, and tells of a certificate that is missing", async () => {
  await on.cluster.apply(
    chartFile("injection/webhook.yaml", {
      [operatorServicePlaceholder]: "axonize-operator",
      [operatorNamespacePlaceholder]: operatorNamespace,
    }),
  );
  assert.deepEqual(hostsOf(await configurationNow()), [
    "axonize-operator.axonize-system.svc",
    "axonize-operator.axonize-system",
    "axonize-operator",
  ]);
  assert.equal(await detectInjection(on.client), "webhook");
  const { status, reason, message } = await fact(on.client);
  assert.deepEqual({ status, reason }, { status: "False", reason: "WebhookCertificateInvalid" });
  assert.match(message, /has no certificate yet/);
  await on.cluster.kubectl("delete", "mutatingwebhookconfiguration", "axonize-inject");
});

test("the operator makes certificates and the apiserver trusts them", async () => {
  operator = await startOperator(0);
  ({ port } = operator);
  await pointTo(port);
  await until("the operator has written caBundle", async () =>
    ((await configurationNow()).webhooks ?? []).every(
      ({ clientConfig }) => (clientConfig.caBundle ?? "") !== "",
    ),
  );
  await untilInjected(on);
  const { mechanism, status, reason } = await fact();
  assert.deepEqual(
    { mechanism, status, reason },
    { mechanism: "webhook", status: "True", reason: "WebhookActive" },
  );
  assert.deepEqual(operator.server.problems(), []);
});

test("golden pods come out as by the policy", async () => {
  await until("the profiles are in the cache", async () => {
    const answers = await Promise.all(goldenPods.map(async (pod) => await on.make(pod)));
    return answers.every(
      ({ pod }, index) =>
        "axonize.io/injected" in (pod.metadata.annotations ?? {}) === goldenPods[index]?.isInjected,
    );
  });
  await holdGoldenPods(on);
});

test("a container that a later webhook puts in front is injected, too, and nothing comes twice", async () => {
  await holdSidecars(on);
});

test("a chart that is applied again does not take caBundle away, for it does not own it", async () => {
  const before = (await configurationNow()).webhooks?.[0]?.clientConfig.caBundle;
  await pointTo(port);
  assert.equal((await configurationNow()).webhooks?.[0]?.clientConfig.caBundle, before);
});

test("a caBundle that somebody empties comes back", async () => {
  const patch = [{ op: "remove", path: "/webhooks/0/clientConfig/caBundle" }];
  await on.cluster.kubectl(
    "patch",
    "mutatingwebhookconfiguration",
    "axonize-inject",
    "--type=json",
    `-p=${JSON.stringify(patch)}`,
  );
  await until("caBundle is back", async () => (await fact()).reason === "WebhookActive");
  await untilInjected(on);
});

test("a Secret that is deleted is made anew, shown without a restart, and trusted", async () => {
  const before = await secretNow();
  assert.equal((await on.cluster.request("DELETE", secretPath)).status, 200);
  await until("there is another", async () => {
    const now = await secretNow();
    return now.data !== undefined && now.data["tls.crt"] !== before.data["tls.crt"];
  });
  await until(
    "it is the one that is trusted",
    async () => (await fact()).reason === "WebhookActive",
  );
  await untilInjected(on);
});

test("a Secret that somebody fills with nonsense is made anew", async () => {
  await on.cluster.kubectl(
    "patch",
    "secret",
    webhookSecretName,
    `--namespace=${operatorNamespace}`,
    '--patch={"data":{"tls.crt":"bm9uc2Vuc2U="}}',
  );
  await until("it is a certificate again", async () => {
    try {
      const { data } = await secretNow();
      const cert = new X509Certificate(Buffer.from(data["tls.crt"], "base64"));
      return cert.checkIP("127.0.0.1") !== undefined;
    } catch {
      return false; // still the nonsense
    }
  });
  await until(
    "it is the one that is trusted",
    async () => (await fact()).reason === "WebhookActive",
  );
  await untilInjected(on);
});

test("a replica that does not lead injects, too, with the same certificate", async () => {
  const follower = await startOperator(0);
  try {
    await until("it has the certificate", async () => follower.server.problems().length === 0);
    assert.equal(follower.manager.isLeading(), false);
    assert.equal(await shownAt(follower.port), await shownAt(port));
    await pointTo(follower.port);
    await operator.server.close();
    await untilInjected(on);
  } finally {
    await operator.manager.stop();
    operator = follower;
    ({ port } = follower);
  }
});

test("while the operator is down pods are made, without injection, and after it with", async () => {
  await operator.stop();
  const [golden] = goldenPods;
  assert.ok(golden);
  const { status, pod } = await on.make(golden);
  assert.equal(status, 201);
  assert.equal(pod.metadata.annotations?.["axonize.io/injected"], undefined);
  operator = await startOperator(port);
  await untilInjected(on);
});

test("the chart's rights were enough for all of it", () => {
  const own = on.cluster
    .auditEvents()
    .filter(
      ({ user, stage }) =>
        user.username === `system:serviceaccount:${operatorNamespace}:axonize-operator` &&
        stage === "ResponseComplete",
    );
  assert.ok(own.length > 10, `${own.length} requests`);
  assert.deepEqual(
    own
      .filter(({ responseStatus }) => responseStatus?.code === 403)
      .map(({ verb, requestURI }) => `${verb} ${requestURI}`),
    [],
  );
});
