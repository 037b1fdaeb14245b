/**
 * What the processes of a node read: containerd's, the kubelet's, kube-proxy's and CoreDNS's
 * configuration, the pod network. Written below `<dir>/etc`; every oddity says where it comes from.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Network } from "./namespace.ts";

export interface NodeLayout {
  readonly dir: string;
  readonly network: Network;
  readonly cgroupName: string;
  readonly pauseImage: string;
  readonly kubeconfigs: { readonly kubelet: string; readonly proxy: string; readonly dns: string };
}

/** Node paths: /run and /var/lib are the node's own there. */
export const containerdSocket = "/run/containerd/containerd.sock";
export const kubeletRoot = "/var/lib/kubelet";
export const cniPlugins = "/usr/lib/cni";
export const clusterDomain = "cluster.local";

export interface NodeFiles {
  readonly containerd: string;
  readonly kubelet: string;
  readonly proxy: string;
  readonly corefile: string;
}

export function writeNodeFiles(layout: NodeLayout): NodeFiles {
  const etc = join(layout.dir, "etc");
  mkdirSync(join(etc, "net.d"), { recursive: true });
  const write = (name: string, content: string | object): string => {
    const file = join(etc, name);
    writeFileSync(
      file,
      typeof content === "string" ? content : JSON.stringify(content, undefined, 2),
    );
    return file;
  };
  write("net.d/10-pods.conflist", podNetwork(layout.network));
  // Pods with `dnsPolicy: Default` get this: no resolver, as there is no way out of the cluster.
  write("resolv.conf", "options attempts:1\n");
  return {
    containerd: write("containerd.toml", containerdConfig(layout, join(etc, "net.d"))),
    kubelet: write("kubelet.json", kubeletConfig(layout, join(etc, "resolv.conf"))),
    proxy: write("kube-proxy.json", proxyConfig(layout)),
    corefile: write("Corefile", corefile(layout)),
  };
}

/**
 * A veth per pod, routed by the node (`ptp`), not bridged: pod-to-Service traffic then passes the node's
 * nftables whether or not the kernel has br_netfilter.
 */
function podNetwork(network: Network): object {
  return {
    cniVersion: "1.0.0",
    name: "pods",
    plugins: [
      {
        type: "ptp",
        ipMasq: false,
        ipam: {
          type: "host-local",
          dataDir: "/run/cni",
          ranges: [[{ subnet: network.podCidr }]],
          routes: [{ dst: "0.0.0.0/0" }],
        },
      },
    ],
  };
}

function containerdConfig(layout: NodeLayout, netDir: string): string {
  const cri = `plugins."io.containerd.grpc.v1.cri"`;
  return `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "${containerdSocket}"
[${cri}]
  sandbox_image = "${layout.pauseImage}"
  # The kubelet asks for an oom_score_adj of -998 for pause; without CAP_SYS_RESOURCE runc fails at it.
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  disable_hugetlb_controller = true
  disable_apparmor = true
  [${cri}.containerd]
    snapshotter = "overlayfs"
    [${cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [${cri}.containerd.runtimes.runc.options]
        SystemdCgroup = false
  [${cri}.cni]
    bin_dir = "${cniPlugins}"
    conf_dir = "${netDir}"
`;
}

function kubeletConfig(layout: NodeLayout, resolvConf: string): object {
  const pki = (name: string): string => join(layout.dir, "pki", name);
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    // Refuses cgroup v1 unless told otherwise, since 1.35.
    failCgroupV1: false,
    cgroupDriver: "cgroupfs",
    cgroupRoot: `/${layout.cgroupName}`,
    cgroupsPerQOS: true,
    enforceNodeAllocatable: [],
    containerRuntimeEndpoint: `unix://${containerdSocket}`,
    failSwapOn: false,
    // -999 cannot be set without CAP_SYS_RESOURCE.
    oomScoreAdj: 0,
    makeIPTablesUtilChains: false,
    // Images are imported by hand: once collected, nobody could pull them again.
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    imageMaximumGCAge: "0s",
    evictionHard: { "memory.available": "0%" },
    localStorageCapacityIsolation: false,
    registerNode: true,
    // A test that takes devices or resources away wants to see it soon.
    nodeStatusUpdateFrequency: "1s",
    nodeStatusReportFrequency: "10s",
    syncFrequency: "10s",
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: pki("ca.crt") },
    },
    authorization: { mode: "Webhook" },
    tlsCertFile: pki("kubelet.crt"),
    tlsPrivateKeyFile: pki("kubelet.key"),
    readOnlyPort: 0,
    address: layout.network.nodeIp,
    healthzBindAddress: "127.0.0.1",
    clusterDNS: [layout.network.nodeIp],
    clusterDomain,
    resolvConf,
    maxPods: 200,
    serializeImagePulls: false,
    shutdownGracePeriod: "0s",
  };
}

function proxyConfig(layout: NodeLayout): object {
  return {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    mode: "nftables",
    clientConnection: { kubeconfig: layout.kubeconfigs.proxy },
    clusterCIDR: layout.network.podCidr,
    // The size of the conntrack table belongs to the whole machine.
    conntrack: { maxPerCore: 0, min: 0 },
    nftables: { minSyncPeriod: "0.1s" },
    healthzBindAddress: "127.0.0.1:10256",
    metricsBindAddress: "127.0.0.1:10249",
    nodePortAddresses: ["primary"],
  };
}

/** No `forward`: names outside the cluster do not exist, which pods are told at once, not by a timeout. */
function corefile(layout: NodeLayout): string {
  const { nodeIp, hostIp } = layout.network;
  return `${clusterDomain}:53 in-addr.arpa:53 {
    bind ${nodeIp}
    errors
    kubernetes ${clusterDomain} in-addr.arpa {
        kubeconfig ${layout.kubeconfigs.dns} axonize
        pods insecure
        ttl 5
    }
    cache 5
}
axonize.test:53 {
    bind ${nodeIp}
    hosts {
        ${hostIp} host.axonize.test
    }
}
.:53 {
    bind ${nodeIp}
    errors
    ready ${nodeIp}:8181
    template ANY ANY . {
        rcode NXDOMAIN
    }
}
`;
}
