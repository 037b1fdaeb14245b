/**
 * What the parts of the agent tell the server, as plain types: sampling and identity hand these to a
 * `Reporter`, the exporter (`export/`) encodes, spools and sends them.
 *
 * A reporter never throws and never waits: what it cannot hold it drops, oldest detail first, and
 * counts. Identity changes are never dropped for want of room; they are few.
 */
import type { PoolConfig } from "@axonize/core/contract/agent";
import type { Layer, Layers } from "./identity/records.ts";
import type { Metric } from "./nvml/readings.ts";

/** The measuring columns of `gpu_samples`, under the names that readings have. */
export type SampleField = Metric;

/** One device or slice at one tick. A value that was not measured is absent, never 0. */
export interface Sample {
  /** Epoch ms, fraction allowed; stored to the millisecond. */
  readonly atMs: number;
  /** The GPU's or the slice's UUID. */
  readonly deviceUuid: string;
  /** The GPU's UUID; for a whole GPU the same. */
  readonly gpuUuid: string;
  readonly values: Readonly<Partial<Record<SampleField, number>>>;
}

/** What does not change from sample to sample. Told before the device's first sample and on change. */
export interface DeviceFacts {
  readonly uuid: string;
  readonly gpuUuid: string;
  readonly kind: "whole" | "mig";
  /** E.g. `NVIDIA H100 80GB HBM3`. */
  readonly model: string;
  readonly driverVersion: string;
  /** NVML's index of the GPU. */
  readonly index: number | undefined;
  /** `1g.10gb`; empty for a whole GPU. */
  readonly migProfile: string;
}

export const deviceEventKinds = ["xid", "ecc", "throttle", "mig", "lost", "recovered"] as const;

export interface DeviceEvent {
  readonly atMs: number;
  readonly gpuUuid: string;
  /** The slice, where the event names one. */
  readonly deviceUuid?: string | undefined;
  readonly kind: (typeof deviceEventKinds)[number];
  /** `code` is the event's number where it has one, e.g. the XID; everything else is for people. */
  readonly detail: Readonly<Record<string, string | number>>;
}

/**
 * An interval that opened, closed or says something new. (layer, key, validFromMs) names it: a change
 * with the same three replaces what was told before, so telling twice does no harm. Keys are unique
 * within a node and a layer; the server adds the node.
 */
export type IdentityChange = {
  readonly [L in Layer]: {
    readonly layer: L;
    readonly key: string;
    readonly validFromMs: number;
    /** undefined: open. */
    readonly validToMs: number | undefined;
    readonly closeReason: string | undefined;
    readonly value: Layers[L];
  };
}[Layer];

export interface AgentStatus {
  readonly driverVersion: string | undefined;
  /** Why there are no readings; undefined when there are. */
  readonly trouble: string | undefined;
  /** Per source of readings. */
  readonly costs: Readonly<
    Record<string, { readonly calls: number; readonly busyMs: number; readonly slowestMs: number }>
  >;
  /** Part of one core spent since the last status. */
  readonly cpuRatio: number;
  /** The period now, which grows above the budget, and the configured one. */
  readonly periodMs: number;
  readonly wantedPeriodMs: number;
  readonly drops: Readonly<Record<string, number>>;
  /** Seconds of device time without an owner since the start, by reason. */
  readonly unjoinedSeconds: Readonly<Record<string, number>>;
  readonly doctor: readonly {
    readonly check: string;
    readonly ok: boolean;
    readonly message: string;
    /** The line that mends it. */
    readonly mend: string | undefined;
  }[];
}

export interface Reporter {
  devices(devices: readonly DeviceFacts[]): void;
  samples(batch: readonly Sample[]): void;
  event(event: DeviceEvent): void;
  identity(changes: readonly IdentityChange[]): void;
  status(status: AgentStatus): void;
  /** As last told by file or server. */
  config(): PoolConfig;
  /** Called at every change. Answers how to stop that. */
  onConfig(listener: (config: PoolConfig) => void): () => void;
}
