/**
 * Every bound of a pool's reconcile, with its reason.
 */

/** An agent is heard of every ten seconds; one not heard of for twelve times that is silent. */
export const silentMs = 120_000;
/** A silent agent whose pod runs is restarted: its own watchdogs (stream, spool, driver) took less. */
export const stuckMs = 300_000;
/**
 * Restarts: a tenth of the pool's agents may be younger than this and not report yet, and at least one. A
 * fault that restarts do not heal so costs a pod in ten minutes, not all of them at once.
 */
export const restartWindowMs = 600_000;
export const restartRatio = 0.1;
/** Where fewer agents than this of all report, ingest or the network is at fault and not the agents. */
export const restartQuorumRatio = 0.5;
/** A rollout of which nothing moved for so long is stuck: an image of 300 MB takes a minute to pull. */
export const progressDeadlineMs = 600_000;
/** How often a pool is looked at although nothing changed in the cluster: reports are in PostgreSQL. */
export const inventoryMs = 30_000;
/** While a rollout goes on. */
export const rolloutMs = 10_000;
/** `topProblems` and lists of the status, as the CRD bounds them. */
export const problems = 20;
export const products = 64;
export const profiles = 64;
export const driverVersions = 8;
/** Names in a message; the rest is counted. */
export const named = 5;
