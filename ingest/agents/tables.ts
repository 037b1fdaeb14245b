/**
 * Batches as blocks of `gpu_samples` and `gpu_events`, each with a deduplication token made of the
 * batch's name: a batch that is sent again, to this process or another, is inserted once.
 */
import { sampleFields } from "@axonize/core/contract/agent";
import { nativeRows, type Cell, type RowColumn } from "../points/native.ts";
import type { Block } from "../write/block.ts";
import type { AgentName } from "./identity-store.ts";
import * as limits from "./limits.ts";
import type { Device, DeviceEvent } from "./records.ts";
import type { SampleRows } from "./samples.ts";

export interface BatchName extends AgentName {
  readonly epoch: string;
  readonly sequence: number;
}

export type SampleLoss = "unknown_device" | "time_out_of_range";

const dayMs = 86_400_000;

/** One block per UTC day: agents send one. */
export function sampleBlocks(
  batch: BatchName,
  samples: SampleRows,
  given: { devices: ReadonlyMap<number, Device>; nowMs: number; lost: (loss: SampleLoss) => void },
): Block[] {
  const { devices, nowMs, lost } = given;
  const days = new Map<number, number[]>();
  for (const [row, timeMs] of samples.timeMs.entries()) {
    if (!devices.has(samples.device[row] ?? -1)) lost("unknown_device");
    else if (timeMs < nowMs - limits.oldestSampleMs || timeMs > nowMs + limits.newestSampleMs) {
      lost("time_out_of_range");
    } else {
      const day = Math.floor(timeMs / dayMs);
      days.set(day, [...(days.get(day) ?? []), row]);
    }
  }
  return [...days].map(([day, rows]) => ({
    table: "gpu_samples",
    rows: rows.length,
    bytes: nativeRows(sampleColumns(batch, samples, { rows, devices })),
    token: `${tokenOf(batch)}:${day}`,
  }));
}

function sampleColumns(
  batch: BatchName,
  samples: SampleRows,
  given: { rows: readonly number[]; devices: ReadonlyMap<number, Device> },
): RowColumn[] {
  const { rows, devices } = given;
  const label = (name: string, of: (device: Device | undefined) => Cell): RowColumn => ({
    name,
    type: "LowCardinality(String)",
    cells: rows.map((row) => of(devices.get(samples.device[row] ?? -1))),
  });
  return [
    label("cluster", () => batch.cluster),
    label("device", (device) => device?.uuid),
    {
      name: "time",
      type: "DateTime64(3, 'UTC')",
      cells: rows.map((row) => samples.timeMs[row]),
    },
    label("parent", (device) => (device?.kind === "mig" ? device.gpuUuid : "")),
    label("name", (device) => device?.model),
    label("vendor", () => "NVIDIA"),
    label("driver_version", (device) => device?.driverVersion),
    label("node", () => batch.node),
    {
      name: "device_index",
      type: "Nullable(UInt16)",
      cells: rows.map((row) => devices.get(samples.device[row] ?? -1)?.index),
    },
    label("mig_profile", (device) => device?.migProfile),
    ...[...samples.values].map(([column, values]) => ({
      name: column,
      type: `Nullable(${typeOf.get(column) ?? "Float32"})`,
      cells: rows.map((row) => values[row]),
    })),
  ];
}

const typeOf = new Map<string, string>(sampleFields.map(({ column, type }) => [column, type]));

const eventKinds = { xid: 1, ecc: 2, throttle: 3, mig: 4, lost: 5, recovered: 6 } as const;
export const eventKindType = `Enum8(${Object.entries(eventKinds)
  .map(([name, value]) => `'${name}' = ${value}`)
  .join(", ")})`;

/** `gpu_events` replaces by its key, and a month is a partition. */
export function eventBlocks(batch: BatchName, events: readonly DeviceEvent[]): Block[] {
  const months = Map.groupBy(events, ({ atMs }) => new Date(atMs).toISOString().slice(0, 7));
  return [...months].map(([month, list]) => ({
    table: "gpu_events",
    rows: list.length,
    bytes: nativeRows(eventColumns(batch, list)),
    token: `${tokenOf(batch)}:events:${month}`,
  }));
}

function eventColumns(batch: BatchName, events: readonly DeviceEvent[]): RowColumn[] {
  const column = (name: string, type: string, of: (event: DeviceEvent) => Cell): RowColumn => ({
    name,
    type,
    cells: events.map(of),
  });
  return [
    column("cluster", "LowCardinality(String)", () => batch.cluster),
    column("device", "LowCardinality(String)", (event) => event.deviceUuid ?? event.gpuUuid),
    column("time", "DateTime64(3, 'UTC')", ({ atMs }) => Math.round(atMs)),
    column("kind", eventKindType, ({ kind }) => eventKinds[kind]),
    column("code", "Nullable(Int64)", codeOf),
    column("node", "LowCardinality(String)", () => batch.node),
    column("message", "String", messageOf),
  ];
}

function codeOf({ detail }: DeviceEvent): number | undefined {
  const code = detail["code"];
  return typeof code === "number" && Number.isSafeInteger(code) ? code : undefined;
}

/** Every detail but the code, as `name value`; `message` stands first and alone. */
function messageOf({ detail }: DeviceEvent): string {
  const { message, code: _, ...others } = detail;
  const words = Object.entries(others).map(([name, value]) => `${name} ${value}`);
  return [...(message === undefined ? [] : [String(message)]), ...words]
    .join(", ")
    .slice(0, limits.textBytes);
}

const tokenOf = ({ cluster, node, epoch, sequence }: BatchName): string =>
  `agent:${cluster}:${node}:${epoch}:${sequence}`;
