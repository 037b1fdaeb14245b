/**
 * Limits of the test cluster: how long its parts may take, how big its network is, how long builds are
 * kept. Times are generous, because the machine that runs the tests may be busy with a build.
 */

/** A build that nobody asked for in this many days is removed when its program is built anew. */
export const staleBuildDays = 14;

/** A cluster is up for minutes, or for the days that someone develops against it. */
export const certificateDays = 30;

/**
 * How long a part may take to answer after its start. Measured alone: etcd 0.3 s, apiserver 3–4 s,
 * kubelet's node Ready 10 s. Times ten for a machine of two cores with a build and eight tests on it.
 */
export const readyTimeoutMs = 120_000;

/** How often a part that starts is asked whether it is ready; an apiserver's answer costs about 1 ms. */
export const readyPollMs = 50;

/** After SIGKILL the kernel ends a process in milliseconds; longer means that it hangs in the kernel. */
export const killTimeoutMs = 20_000;

/** Lines of a part's log that an error message shows: enough for the reason, less than a screen. */
export const logTailLines = 25;

/**
 * Ports are taken below the kernel's ephemeral range (32768–60999), so that no outgoing connection
 * takes an apiserver's port while it is down for a restart.
 */
export const portRange = { from: 20_000, to: 32_000 } as const;

/** A megabyte holds about 1,400 audit events of 700 bytes; no test writes the 2.8 million of 2,000. */
export const auditLogMegabytes = 2_000;

/** One request to the API: a list of 10,000 objects takes a second; a dead server must not hang a test. */
export const requestTimeoutMs = 30_000;

/** `kubectl get -o json` of 2,000 namespaces is 2 MB, of 1,000 nodes 5 MB. */
export const kubectlOutputBytes = 64 * 1024 * 1024;

/** Test clusters beside each other on one machine; each takes about 1 GB of memory. */
export const clusterIndexes = 16;

/** The least that metrics-server accepts; an autoscaler sees load after one or two of these. */
export const metricsResolutionSeconds = 10;

/** `cluster down` waits this long; a cluster with 100 pods is gone in two seconds. */
export const stopTimeoutMs = 60_000;

/** Volumes that a cluster is born with; each claim takes one for good. */
export const localVolumes = 16;
