/**
 * Bounds of the webhook and of its certificates, with their arithmetic.
 */
const day = 24 * 3_600_000;

/** An AdmissionReview holds one pod: etcd's 1.5 MiB, as JSON with `managedFields` at most twice that. */
export const maxReviewBytes = 3 * 1024 * 1024;
/**
 * Bytes of bodies held at once. A pod is 2 to 20 KiB, so thousands fit; any pod of the cluster can send to
 * the port, and 256 connections of the largest body would be 768 MiB in a container of 384.
 */
export const heldReviewBytes = 48 * 1024 * 1024;
/** The apiserver gives up after `timeoutSeconds: 3`; whoever sends slower than this is not it. */
export const reviewTimeoutMs = 10_000;
/** Connections at once: apiservers (3, rarely more) × HTTP keep-alive connections of each under load. */
export const maxConnections = 256;

/** Of the authority: long, as all apiservers must learn a new one before it is used. */
export const authorityMs = 730 * day;
/** Of what is served: renewed after two thirds, 30 days before its end. */
export const servingMs = 90 * day;
export const renewBeforeMs = servingMs / 3;
/** A new authority is made while the old one outlives what it signs next: 90 + 30 days. */
export const replaceAuthorityBeforeMs = servingMs + renewBeforeMs;
/** Every apiserver has taken up a changed configuration by then; its own caches need seconds. */
export const announceMs = 120_000;
/** How often certificates are looked at when nothing changes. */
export const certificateCheckMs = 6 * 3_600_000;

/** What the API says of injection is read at most so often; a condition lags by as much. */
export const probeMs = 60_000;
