/**
 * Limits of the test cluster: how long its parts may take, how big its network is, how long builds are
 * kept. Times are generous, because the machine that runs the tests may be busy with a build.
 */

/** A build that nobody asked for in this many days is removed when its program is built anew. */
export const staleBuildDays = 14;
