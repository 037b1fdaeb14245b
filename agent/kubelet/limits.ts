/**
 * Bounds towards the kubelet.
 */

/** A node of many devices overflowed gRPC's own 4 MiB (4.75 MB seen); 64 MiB is ten times that. */
export const maxMessageBytes = 64 * 1024 * 1024;

/** A List takes 2–3 ms; one that takes seconds is a kubelet that will not answer. */
export const callTimeoutMs = 5_000;

/**
 * The kubelet admits 100 calls a second, 10 at once, for all clients of the node together. One List a
 * second is 1 % of it.
 */
export const pollMs = 1_000;

/** Up to this part of the period is added at random, so that agents and exporters do not meet. */
export const pollJitter = 0.1;

/** gRPC's own reconnect waits up to 2 minutes; a kubelet's restart must not cost that. */
export const reconnectFirstMs = 200;
export const reconnectMostMs = 2_000;
