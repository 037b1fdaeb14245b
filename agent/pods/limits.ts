/**
 * Bounds towards the API server. A cluster of 5,000 nodes has 5,000 of these watches.
 */

/** The kubelet's own default is 110 pods, some run 1,000; at 30 KB of JSON each that is 30 MB. */
export const maxListBytes = 64 * 1024 * 1024;

/** etcd takes 1.5 MiB; as JSON with managed fields at most a few times that. */
export const maxEventBytes = 8 * 1024 * 1024;

/** Pods that are kept: ten times what a kubelet is tested for. Further ones are counted and not kept. */
export const maxPods = 5_000;

/** Labels kept of a pod, and the length of a value (the API's own limit is 63). */
export const maxLabels = 32;
export const maxLabelLength = 63;

/** The server ends a watch after a random time of this length; it spreads the load of new watches. */
export const watchSeconds = { least: 240, most: 300 } as const;

/**
 * A bookmark comes about once a minute. Two and a half without a byte is a connection that only looks open:
 * the watch begins anew at the last version, which costs nothing if it was not.
 */
export const watchSilenceMs = 150_000;

/** Until an answer begins. */
export const answerMs = 30_000;

/** Waits between attempts: 0.5 s, doubled up to 30 s, each by a random part shorter. */
export const retryFirstMs = 500;
export const retryMostMs = 30_000;

/** A server that ends watches sooner than this is troubled, and asked again with growing waits. */
export const shortestWatchMs = 1_000;

/** 5,000 nodes whose role lacks a resource ask 83 times a second together. */
export const forbiddenMs = 60_000;

/** A resource that this API server does not have may come with an upgrade. */
export const absentMs = 600_000;

/** A token is read again after this time; the kubelet renews it at 80 % of its life, an hour at least. */
export const tokenMs = 60_000;
