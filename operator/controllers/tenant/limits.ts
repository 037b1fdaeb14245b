/**
 * Bounds of the tenant controller, with their arithmetic.
 */

/** Namespaces worked on at once in one reconcile: 4 workers × 4 × some 3 requests stay below 100 a second. */
export const namespacesAtOnce = 4;
/** Usage and quotas are looked at again this often: 200 tenants × 4 queries / 300 s = 3 a second. */
export const refreshMs = 300_000;
/** While PostgreSQL is away: 200 tenants / 10 s = 20 connections tried a second at most. */
export const databaseRetryMs = 10_000;
/** While something of the cluster is awaited that makes no event here. */
export const clusterRetryMs = 30_000;
/** An owner's row is told seen, and rows without an owner are looked for, this often. */
export const reapMs = 300_000;
/** While a deletion waits for PostgreSQL it says so this often. */
export const waitingEventMs = 600_000;
/** Labels put back within a minute before the next time waits: somebody strips them in a loop. */
export const labelRepairsPerMinute = 5;
/** Secrets, and namespaces, of which something is remembered: 20,000 × ~200 B = 4 MB each. */
export const secretsRemembered = 20_000;
/**
 * Each namespace's pods are looked at this often, and less often where there are many: 10 namespaces in 1.5 s
 * are 7 lists a second of the client's 100, so that 2,000 take 5 minutes. Nothing of a list is kept.
 */
export const censusEveryMs = 15_000;
export const censusPace = { namespaces: 10, ms: 1_500 };
/** Pods that an Event names: its note has room for 1,024 characters, a name has up to 63. */
export const censusNames = 5;
