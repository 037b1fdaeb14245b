/**
 * A reporter that keeps what it is told, for tests.
 */
import type { PoolConfig } from "@axonize/core/contract/agent";
import { defaultPoolConfig } from "../pool-config.ts";
import type {
  AgentStatus,
  DeviceEvent,
  DeviceFacts,
  IdentityChange,
  Reporter,
  Sample,
} from "../report.ts";

export interface CollectingReporter extends Reporter {
  readonly told: {
    devices: DeviceFacts[][];
    samples: Sample[];
    /** Number of samples in each call. */
    batches: number[];
    events: DeviceEvent[];
    changes: IdentityChange[];
    statuses: AgentStatus[];
  };
  configure(config: Partial<PoolConfig>): void;
}

export function createCollectingReporter(first: Partial<PoolConfig> = {}): CollectingReporter {
  const told: CollectingReporter["told"] = {
    devices: [],
    samples: [],
    batches: [],
    events: [],
    changes: [],
    statuses: [],
  };
  const listeners = new Set<(config: PoolConfig) => void>();
  let config: PoolConfig = { ...defaultPoolConfig, ...first };
  return {
    told,
    devices: (devices) => void told.devices.push([...devices]),
    samples(batch) {
      told.batches.push(batch.length);
      told.samples.push(...batch);
    },
    event: (event) => void told.events.push(event),
    identity: (changes) => void told.changes.push(...changes),
    status: (status) => void told.statuses.push(status),
    config: () => config,
    onConfig(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    configure(next) {
      config = { ...config, ...next };
      for (const listener of listeners) listener(config);
    },
  };
}
