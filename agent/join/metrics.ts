/**
 * What identity tells of itself: how much device time is joined, what does not fit together, and what it
 * could not read.
 */
import { Counter, Gauge, type Registry } from "@axonize/core/runtime/metrics";

export type IdentityMetrics = ReturnType<typeof createIdentityMetrics>;

export function createIdentityMetrics(registry: Registry) {
  const registers = [registry];
  return {
    inUse: new Gauge({
      name: "axonize_agent_device_use_seconds",
      help: "Seconds of device time in use since the start.",
      registers,
    }),
    unjoined: new Gauge({
      name: "axonize_agent_unjoined_device_seconds",
      help: "Of the seconds in use, those that could not be joined to a container or a command.",
      labelNames: ["reason"],
      registers,
    }),
    openIntervals: new Gauge({
      name: "axonize_agent_open_intervals",
      help: "Identity intervals that are open now.",
      labelNames: ["layer"],
      registers,
    }),
    conflicts: new Counter({
      name: "axonize_agent_identity_conflicts_total",
      help: "Observations that do not fit together: two claims on one device, use of what was not given.",
      labelNames: ["type"],
      registers,
    }),
    unmapped: new Gauge({
      name: "axonize_agent_unmapped_devices",
      help: "Devices in the kubelet's newest list that could not be tied to silicon.",
      labelNames: ["reason"],
      registers,
    }),
    kubelet: new Gauge({
      name: "axonize_agent_kubelet_answering",
      help: "1 while the kubelet's pod-resources answers, else 0.",
      registers,
    }),
    allocatable: new Gauge({
      name: "axonize_agent_allocatable_devices",
      help: "Healthy devices that the kubelet can hand out or has handed out.",
      registers,
    }),
    stuckReads: new Gauge({
      name: "axonize_agent_stuck_reads",
      help: "Reads of other processes' memory or files that took too long or were not begun for that.",
      registers,
    }),
    stateWrites: new Counter({
      name: "axonize_agent_identity_state_writes_total",
      help: "Writes of the open intervals to disk.",
      labelNames: ["result"],
      registers,
    }),
  };
}
