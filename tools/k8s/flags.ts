/**
 * Command lines of etcd and the control plane, the same for a control plane alone and for a cluster
 * with a node, and the files that they read: certificates, kubeconfigs, the audit policy.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { auditLogMegabytes } from "./limits.ts";
import {
  createSigningKey,
  newAuthority,
  openAuthority,
  type Authority,
  type LeafOptions,
} from "./pki.ts";

export interface ControlPlaneLayout {
  readonly dir: string;
  /** The address that etcd and the apiserver listen on and their clients use. */
  readonly address: string;
  readonly apiserverPort: number;
  readonly etcdPort: number;
  readonly etcdPeerPort: number;
  readonly serviceCidr: string;
  /** The first address of `serviceCidr`: the Service `kubernetes`. */
  readonly kubernetesServiceIp: string;
  /** Without a node there are no endpoints to publish, and a loopback address may not be one. */
  readonly publishEndpoint: boolean;
  readonly audit: boolean;
  /** Whether kube-controller-manager runs: it makes the ServiceAccounts that pods must have. */
  readonly controllers: boolean;
}

export interface Credentials {
  readonly authority: Authority;
  /** Writes `<dir>/<name>.kubeconfig` for a client of that name and groups; returns its path. */
  kubeconfig(name: string, user: LeafOptions): string;
}

export function pkiFile(layout: { dir: string }, name: string): string {
  return join(layout.dir, "pki", name);
}

/** Makes all keys and certificates of a control plane and writes them below `<dir>/pki`. */
export function writeCredentials(layout: ControlPlaneLayout): Credentials {
  makeCredentials(layout);
  return openCredentials(layout);
}

/** The credentials that `writeCredentials` wrote, also from another process. */
export function openCredentials(
  layout: Pick<ControlPlaneLayout, "dir" | "address" | "apiserverPort">,
): Credentials {
  const read = (name: string): string => readFileSync(pkiFile(layout, name), "utf8");
  const authority = openAuthority({ cert: read("ca.crt"), key: read("ca.key") });
  return {
    authority,
    kubeconfig: (name, user) => {
      const pair = authority.issue(user);
      const file = join(layout.dir, `${name}.kubeconfig`);
      const url = `https://${layout.address}:${layout.apiserverPort}`;
      writeFileSync(file, kubeconfig({ url, ca: authority.cert, ...pair }), { mode: 0o600 });
      return file;
    },
  };
}

const authorityName = "axonize-test-cluster";

function makeCredentials(layout: ControlPlaneLayout): void {
  const { dir } = layout;
  mkdirSync(join(dir, "pki"), { recursive: true, mode: 0o700 });
  const write = (name: string, text: string): void => {
    writeFileSync(pkiFile(layout, name), text, { mode: 0o600 });
  };
  const writePair = (name: string, pair: { cert: string; key: string }): void => {
    write(`${name}.crt`, pair.cert);
    write(`${name}.key`, pair.key);
  };
  const authority = newAuthority(authorityName);
  writePair("ca", authority);
  writePair(
    "apiserver",
    authority.issue({
      commonName: "kube-apiserver",
      hosts: [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "127.0.0.1",
        layout.address,
        layout.kubernetesServiceIp,
      ],
    }),
  );
  writePair(
    "apiserver-kubelet-client",
    authority.issue({
      commonName: "kube-apiserver-kubelet-client",
      organizations: ["system:masters"],
    }),
  );
  // An authority of its own, so that no ordinary client can pass for the aggregator.
  const frontProxy = newAuthority("axonize-test-front-proxy");
  write("front-proxy-ca.crt", frontProxy.cert);
  writePair("front-proxy-client", frontProxy.issue({ commonName: "front-proxy-client" }));
  const tokens = createSigningKey();
  write("service-accounts.key", tokens.privateKey);
  write("service-accounts.pub", tokens.publicKey);
}

/** A kubeconfig with everything inside it. JSON is YAML. */
function kubeconfig(user: { url: string; ca: string; cert: string; key: string }): string {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  return JSON.stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      "current-context": "axonize",
      clusters: [
        {
          name: "axonize",
          cluster: { server: user.url, "certificate-authority-data": base64(user.ca) },
        },
      ],
      users: [
        {
          name: "user",
          user: {
            "client-certificate-data": base64(user.cert),
            "client-key-data": base64(user.key),
          },
        },
      ],
      contexts: [{ name: "axonize", context: { cluster: "axonize", user: "user" } }],
    },
    undefined,
    2,
  );
}

export function etcdFlags(layout: ControlPlaneLayout): string[] {
  const client = `http://${layout.address}:${layout.etcdPort}`;
  const peer = `http://127.0.0.1:${layout.etcdPeerPort}`;
  return [
    "--name=test",
    `--data-dir=${join(layout.dir, "etcd")}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=test=${peer}`,
    // The data does not outlive the cluster, so nothing is lost by not waiting for the disk.
    "--unsafe-no-fsync",
    "--log-level=warn",
  ];
}

export function auditLogFile(layout: { dir: string }): string {
  return join(layout.dir, "audit.log");
}

/** Flags of kube-apiserver; `extra` comes last, so that a test can override. */
export function apiserverFlags(layout: ControlPlaneLayout, extra: readonly string[]): string[] {
  const pki = (name: string): string => pkiFile(layout, name);
  return [
    `--etcd-servers=http://${layout.address}:${layout.etcdPort}`,
    `--bind-address=${layout.address}`,
    `--advertise-address=${layout.address}`,
    `--endpoint-reconciler-type=${layout.publishEndpoint ? "lease" : "none"}`,
    `--secure-port=${layout.apiserverPort}`,
    `--tls-cert-file=${pki("apiserver.crt")}`,
    `--tls-private-key-file=${pki("apiserver.key")}`,
    `--client-ca-file=${pki("ca.crt")}`,
    `--kubelet-client-certificate=${pki("apiserver-kubelet-client.crt")}`,
    `--kubelet-client-key=${pki("apiserver-kubelet-client.key")}`,
    // `kubectl logs` must not need a DNS name for the node.
    "--kubelet-preferred-address-types=InternalIP",
    `--service-cluster-ip-range=${layout.serviceCidr}`,
    "--service-account-issuer=https://kubernetes.default.svc",
    `--service-account-key-file=${pki("service-accounts.pub")}`,
    `--service-account-signing-key-file=${pki("service-accounts.key")}`,
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement",
    // Nobody makes the `default` ServiceAccounts without the controller manager; pods need none then.
    ...(layout.controllers ? [] : ["--disable-admission-plugins=ServiceAccount"]),
    "--allow-privileged=true",
    // Aggregated APIs and webhooks are reached at their endpoints, also where no kube-proxy runs.
    "--enable-aggregator-routing=true",
    `--requestheader-client-ca-file=${pki("front-proxy-ca.crt")}`,
    "--requestheader-allowed-names=front-proxy-client",
    "--requestheader-username-headers=X-Remote-User",
    "--requestheader-group-headers=X-Remote-Group",
    "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    `--proxy-client-cert-file=${pki("front-proxy-client.crt")}`,
    `--proxy-client-key-file=${pki("front-proxy-client.key")}`,
    // Otherwise it waits on shutdown for watches that tests keep open.
    "--shutdown-delay-duration=0s",
    "--profiling=false",
    ...(layout.audit ? auditFlags(layout) : []),
    ...extra,
  ];
}

/** Every request once, when it ends (a watch also when it begins), without bodies. */
function auditFlags(layout: ControlPlaneLayout): string[] {
  const policy = join(layout.dir, "audit-policy.json");
  writeFileSync(
    policy,
    JSON.stringify({
      apiVersion: "audit.k8s.io/v1",
      kind: "Policy",
      omitStages: ["RequestReceived"],
      rules: [{ level: "Metadata" }],
    }),
  );
  return [
    `--audit-policy-file=${policy}`,
    `--audit-log-path=${auditLogFile(layout)}`,
    `--audit-log-maxsize=${auditLogMegabytes}`,
  ];
}

export function controllerManagerFlags(
  layout: ControlPlaneLayout,
  kubeconfigFile: string,
  extra: readonly string[],
): string[] {
  return [
    `--kubeconfig=${kubeconfigFile}`,
    `--service-account-private-key-file=${pkiFile(layout, "service-accounts.key")}`,
    `--root-ca-file=${pkiFile(layout, "ca.crt")}`,
    `--cluster-signing-cert-file=${pkiFile(layout, "ca.crt")}`,
    `--cluster-signing-key-file=${pkiFile(layout, "ca.key")}`,
    "--use-service-account-credentials=true",
    "--leader-elect=false",
    // Its own HTTP port serves nothing that tests ask.
    "--secure-port=0",
    // Suites delete many namespaces; the default of 10 at 20 requests a second takes minutes.
    "--concurrent-namespace-syncs=20",
    "--kube-api-qps=200",
    "--kube-api-burst=400",
    ...extra,
  ];
}

export function schedulerFlags(kubeconfigFile: string): string[] {
  return [
    `--kubeconfig=${kubeconfigFile}`,
    "--leader-elect=false",
    "--secure-port=0",
    "--kube-api-qps=200",
    "--kube-api-burst=400",
  ];
}
