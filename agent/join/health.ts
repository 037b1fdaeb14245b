/**
 * Join health: seconds in which a device was in use and nobody could say by whom, by reason. Pure; time is
 * what passed between two process lists.
 */

export type UnjoinedReason =
  | "processes_unreadable" // the driver does not tell this device's processes
  | "process_unknown" // a listed pid is not in our /proc
  | "pod_unknown" // a pod's process; no pod source and no allocation names it
  | "host_process" // beside a kubelet, outside every container
  | "gpu_lost";

export interface DeviceInUse {
  readonly uuid: string;
  /** undefined: joined. */
  readonly unjoined: UnjoinedReason | undefined;
}

export interface JoinHealth {
  /** Takes who used what since the moment before. `atMs` is monotonic. */
  observe(atMs: number, devices: readonly DeviceInUse[]): void;
  /** Seconds since the start: of all use, and of what was not joined. */
  seconds(): { readonly inUse: number; readonly unjoined: Readonly<Record<string, number>> };
}

export function createJoinHealth(options: { maxGapMs: number }): JoinHealth {
  const unjoined: Record<string, number> = {};
  let inUse = 0;
  let lastMs: number | undefined;
  return {
    observe(atMs, devices) {
      // A gap that long was not looked at: what happened in it is unknown, not unjoined.
      const passed = lastMs === undefined ? 0 : Math.min(atMs - lastMs, options.maxGapMs) / 1000;
      lastMs = atMs;
      for (const { unjoined: reason } of devices) {
        inUse += passed;
        if (reason !== undefined) unjoined[reason] = (unjoined[reason] ?? 0) + passed;
      }
    },
    seconds: () => ({ inUse, unjoined: { ...unjoined } }),
  };
}
