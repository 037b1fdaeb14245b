/**
 * Names of what a pool owns, and the marks on them. They are API: an upgrade that changed one would leave
 * the old object behind.
 */
export const agentAccount = "axonize-agent";
/** Label `app.kubernetes.io/name` of agents: what the DaemonSet's selector and our cache of pods ask for. */
export const agentApp = "axonize-agent";
export const appLabel = "app.kubernetes.io/name";

/** A pool's name has at most 48 characters: 62 here, and a label's value takes 63. */
export const daemonSetName = (pool: string): string => `axonize-agent-${pool}`;
export const configMapName = daemonSetName;
export const configFile = "pool.json";

export const poolAnnotations = {
  /**
   * On a GpuPool, by users. `Follow`: an upgrade of the operator upgrades the agents. Any other value: once
   * for each new value.
   */
  agentUpgrade: "axonize.io/agent-upgrade",
} as const;

export const daemonSetAnnotations = {
  /** Of the pod template as it was rendered last. */
  templateHash: "axonize.io/template-hash",
  /** Of what it was rendered from: the spec and the chart's values, nothing of the operator's version. */
  inputsHash: "axonize.io/inputs-hash",
  /** What runs, whatever somebody made of the template since. */
  image: "axonize.io/image",
  /** `Spec` or `Operator`. */
  imageFrom: "axonize.io/image-from",
  /** The value of the pool's `agent-upgrade` that was acted upon. */
  agentUpgrade: "axonize.io/agent-upgrade",
} as const;

export const follow = "Follow";
