/**
 * Which load of the driver this is, across restarts of the agent: sampling counts the loads that it sees
 * itself, the state file knows those of earlier runs, and energy counters that fell while nobody looked
 * tell one in between.
 */
import type { DriverState } from "./state-file.ts";

export interface DriverLoads {
  /** The epoch's name, e.g. `580.82.07#2`. `seen` is sampling's own, counted from its start. */
  epoch(bootId: string, driverVersion: string, seen: string): string;
  /** A counter as read now. Answers whether it tells that the driver was loaded anew. */
  energy(gpuUuid: string, millijoules: number): boolean;
  state(): DriverState;
}

export function createDriverLoads(before: DriverState | undefined): DriverLoads {
  let bootId = before?.bootId ?? "";
  let driverVersion = before?.driverVersion ?? "";
  let loads = before?.loads ?? 0;
  let lastSeen = 0;
  /** Counters of the earlier run that were not compared yet. */
  const old = new Map(Object.entries(before?.energyMillijoules ?? {}));
  const newest = new Map<string, number>(old);
  return {
    epoch(boot, version, seen) {
      const seenLoads = Number(seen.slice(seen.lastIndexOf("#") + 1));
      if (boot !== bootId || version !== driverVersion) {
        // Another boot or version: the old counters say nothing about this one.
        old.clear();
        newest.clear();
        loads = boot === bootId ? loads + 1 : 0;
        bootId = boot;
        driverVersion = version;
      } else if (seenLoads > lastSeen) {
        loads += seenLoads - lastSeen;
        old.clear();
        newest.clear();
      }
      lastSeen = Number.isSafeInteger(seenLoads) ? seenLoads : lastSeen;
      return `${version}#${loads}`;
    },
    energy(gpuUuid, millijoules) {
      const then = old.get(gpuUuid);
      newest.set(gpuUuid, millijoules);
      old.delete(gpuUuid);
      if (then === undefined || millijoules >= then) return false;
      loads += 1;
      old.clear();
      return true;
    },
    state: () => ({
      bootId,
      driverVersion,
      loads,
      energyMillijoules: Object.fromEntries(newest),
    }),
  };
}
