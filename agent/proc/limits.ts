/**
 * Bounds of what is read from /proc, where file contents and names are partly the processes' own choice.
 */

/** stat, status and cgroup together stay under a page each; a cgroup path is at most 4096 bytes a line. */
export const maxFileBytes = 64 * 1024;

/**
 * A longer environment is unknown, never half known. The kernel allows 6 MiB in all; a pod with 5,000
 * service variables of 60 bytes has 300 KiB.
 */
export const maxEnvironmentBytes = 1024 * 1024;

/** A list of 64 MIG UUIDs of 41 bytes has 2,624. A longer value is unreadable. */
export const maxValueBytes = 4096;

/** Names looked at in a container's /dev: a privileged one has the host's few thousand. */
export const maxDeviceNames = 16_384;

/**
 * Reading another process's memory (environ) or files (/dev) waits for what that process made of them, a
 * FUSE mount for instance. After this time it counts as unreadable, and nothing else is read that way until
 * the wait is over: one of libuv's four threads at most is ever lost.
 */
export const slowReadMs = 2_000;

/** 100,000 connections of 150 bytes a line are 15 MB; a longer table is not searched. */
export const maxConnectionTableBytes = 16 * 1024 * 1024;

/** Connections of loopback peers that are remembered: 10,000 × about 200 B = 2 MB. The oldest goes first. */
export const maxPeers = 10_000;

/** A peer that was not found is looked for again after this time: a fork may have been under way. */
export const peerMissMs = 5_000;

/** Processes looked at before the event loop gets a turn: 64 × about 20 descriptors × 2 µs = 2.5 ms. */
export const processesPerTurn = 64;
