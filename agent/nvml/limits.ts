/**
 * Bounds of what is read from the driver, so that a confused library cannot make the agent grow.
 */

/** Largest NVLink domain node builds have 16; 64 leaves room and bounds a tick at 64 × 3 calls. */
export const maxGpus = 64;

/** Hardware has 7 (or 8) slices a GPU; the driver says its own maximum, which is cut here. */
export const maxSlicesPerGpu = 64;

/** Rows of one process list: 4096 × 32 B = 128 KiB. More rows are left out and the list says so. */
export const maxProcesses = 4096;

/** First guess of a process list's length; grows by NVML's own protocol (7 → count · 2 + 5). */
export const firstProcesses = 32;

/** Rows of one per-process utilisation answer: 256 × 32 B; a GPU with more keeps the first. */
export const maxUtilizationRows = 256;

/** Links of one GPU: hardware has 18, the newest header names 36. */
export const maxNvlinks = 36;
