/**
 * What sampling offers to the rest of the agent: the devices as last enumerated, and the driver's process
 * lists. Plain values, replaced whole; a listener is called after each replacement.
 */
import type { ProcessList } from "../nvml/processes.ts";
import type { Gpu } from "../nvml/topology.ts";

export interface DevicesSeen {
  /** Epoch ms of the enumeration. */
  readonly atMs: number;
  readonly driverVersion: string;
  /** Driver version and load, e.g. `580.82.07#0`: the number grows when counters began anew. */
  readonly driverEpoch: string;
  readonly gpus: readonly Gpu[];
}

export interface ProcessesSeen {
  readonly atMs: number;
  readonly list: ProcessList;
}

export interface DeviceFeed {
  /** undefined: no driver so far. After a driver is gone, what it last showed. */
  devices(): DevicesSeen | undefined;
  processes(): ProcessesSeen | undefined;
  /** Called after each enumeration (at least every 10 s, at once after a change). Answers how to stop. */
  onDevices(listener: (seen: DevicesSeen) => void): () => void;
  onProcesses(listener: (seen: ProcessesSeen) => void): () => void;
}
