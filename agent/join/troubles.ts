/**
 * What does not fit together, logged and counted once in a while and not with every look: two claims on one
 * device, a slice that went under an allocation, use of what was not given, devices without silicon.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import { claimOf } from "../identity/keys.ts";
import type { Conflict, ObservedBinding } from "../identity/records.ts";
import type { Unmapped } from "../kubelet/allocations.ts";
import { maxToldTroubles, repeatLogMs } from "./limits.ts";
import type { IdentityMetrics } from "./metrics.ts";

export interface Troubles {
  conflict(conflict: Conflict): void;
  binding(binding: ObservedBinding): void;
  /** All of the newest list. */
  unmapped(devices: readonly Unmapped[]): void;
}

export function createTroubles(deps: {
  clock: Clock;
  log: Log;
  metrics: IdentityMetrics;
}): Troubles {
  const { clock, log, metrics } = deps;
  const told = new Map<string, number>();
  const isNew = (key: string): boolean => {
    const now = clock.monotonic();
    if (now - (told.get(key) ?? -Infinity) < repeatLogMs) return false;
    told.delete(key);
    told.set(key, now);
    const oldest = told.keys().next();
    if (told.size > maxToldTroubles && !oldest.done) told.delete(oldest.value);
    return true;
  };
  return {
    conflict(conflict) {
      if (!isNew(JSON.stringify(conflict))) return;
      metrics.conflicts.inc({ type: conflict.type });
      log.warn({ event: "agent.identity_conflict", ...conflict });
    },
    binding({ owner, process, warnings, resourceUuids, candidates }) {
      for (const warning of warnings) {
        const who = owner ? claimOf(owner) : String(process?.pid);
        if (!isNew(`${warning} ${who}`)) continue;
        metrics.conflicts.inc({ type: warning });
        const what = { who, pid: process?.pid, resourceUuids, candidates };
        log.warn({ event: "agent.identity_conflict", type: warning, ...what });
      }
    },
    unmapped(devices) {
      metrics.unmapped.reset();
      for (const device of devices) {
        metrics.unmapped.inc({ reason: device.reason });
        const key = `${claimOf(device)} ${device.resourceName} ${device.deviceId}`;
        if (isNew(key)) log.warn({ event: "agent.unmapped_device", ...device });
      }
    },
  };
}
