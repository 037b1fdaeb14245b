/**
 * The one thing in the demo that is worth finding: 38 to 16 minutes before the demo began, one GPU
 * under one of the two 70B pods got too hot and throttled, and held up its whole tensor-parallel
 * group. Time to first token and queue rise on that pod alone; the GPU shows heat and falling power.
 */
import type { Device, Pod } from "./cluster.ts";

export interface Incident {
  readonly pod: Pod;
  readonly device: Device;
  readonly fromMs: number;
  readonly toMs: number;
  /** 0 outside, 1 at its worst. */
  severity(timeMs: number): number;
  /** How many times slower a pod's engine is at that time: 1 for all but the pod of the incident. */
  slowdown(pod: Pod, timeMs: number): number;
}

const minuteMs = 60_000;
const worstSlowdown = 2.7;

export function createIncident(pod: Pod, anchorMs: number): Incident {
  const device = pod.devices[2] ?? pod.devices[0];
  if (device === undefined) throw new Error(`${pod.name} has no device`);
  const fromMs = anchorMs - 38 * minuteMs;
  const toMs = anchorMs - 16 * minuteMs;
  const severity = (timeMs: number): number => {
    const rise = (timeMs - fromMs) / (4 * minuteMs);
    const fall = (toMs - timeMs) / (2 * minuteMs);
    return Math.max(0, Math.min(1, rise, fall));
  };
  return {
    pod,
    device,
    fromMs,
    toMs,
    severity,
    slowdown: (other, timeMs) => (other === pod ? 1 + (worstSlowdown - 1) * severity(timeMs) : 1),
  };
}
