/**
 * Devices as the API answers them: what they are, what they read, who has them. Reads both stores in
 * parallel and joins in memory; which devices and which time is the scope's to say.
 */
import type { Gpu } from "@axonize/core/contract/gpu";
import * as limits from "../limits.ts";
import {
  emptyReading,
  readDeviceRecords,
  readReadings,
  type DeviceRecord,
  type Reading,
} from "../queries/devices.sql.ts";
import {
  readHolders,
  readKnown,
  type HolderRecord,
  type NamesOf,
  type Range,
} from "../queries/identity.sql.ts";
import type { DeviceScope } from "../queries/query.ts";
import { rfc3339FromMs } from "../time-text.ts";
import { holdersAt, namedHolders, podsOf, toldHolders } from "./holders.ts";
import type { SightDeps } from "./sight.ts";
import { whyUnknown } from "./split.ts";
import { throttleReasons } from "./throttle.ts";

/** In a range that ends now, a device is silent when it said nothing for this long. */
const staleMs = 60_000;

export interface DescribeContext {
  nowMs: number;
  names: NamesOf;
  calls: ReadonlyMap<string, number>;
}

export interface Described {
  gpu: Gpu;
  record: DeviceRecord;
  /** All that overlap the scope. */
  holders: HolderRecord[];
  /** When "nobody holds it" would be known. */
  known: Range[];
}

export async function describeDevices(
  deps: SightDeps,
  scope: DeviceScope,
  context: DescribeContext,
): Promise<Described[]> {
  const range = { fromMs: scope.fromMs, toMs: scope.toMs };
  const named =
    scope.only ??
    (scope.devices === "all" ? undefined : [...new Set(scope.devices.map((w) => w.device))]);
  const [records, holders, known] = await Promise.all([
    readDeviceRecords(deps.queries, scope),
    readHolders(deps.sql, range, { devices: named, names: context.names }),
    readKnown(deps.sql, range, named),
  ]);
  const readings = await readReadings(deps.queries, scope, {
    nowMs: context.nowMs,
    devices: records,
  });
  const senders = new Set(records.filter(isNaming).map(({ node }) => node));
  const children = Map.groupBy(records, ({ parentUuid }) => parentUuid);
  const all = records.map((record) => {
    // Names that samples tell are shown only to who may see everybody's.
    const told = context.names === undefined ? namedHolders(record, context.nowMs) : [];
    const own = holders.get(record.uuid) ?? told;
    const isNamed = holders.has(record.uuid) ? false : senders.has(record.node);
    return {
      record,
      holders: ownWindows(own, scope),
      known: isNamed ? [range] : (known.get(record.uuid) ?? []),
    };
  });
  const byUuid = new Map(all.map((device) => [device.record.uuid, device]));
  return all.map((device) => {
    const slices = (children.get(device.record.uuid) ?? []).flatMap(
      ({ uuid }) => byUuid.get(uuid) ?? [],
    );
    const gpu = gpuFrom(device, slices, {
      ...context,
      scope,
      reading: readings.get(device.record.uuid) ?? emptyReading,
    });
    return { gpu, ...device };
  });
}

const isNaming = ({ named }: DeviceRecord): boolean => named.length > 0;

/**
 * Of a device that the caller sees for a while only: the holders of that while. Of others not even
 * when they came and went beyond it.
 */
function ownWindows(holders: HolderRecord[], scope: DeviceScope): HolderRecord[] {
  const { devices } = scope;
  if (devices === "all") return holders;
  return holders.flatMap((holder) => {
    const windows = devices.filter(
      (window) =>
        window.device === holder.device &&
        window.fromMs < holder.toMs &&
        holder.fromMs < window.toMs,
    );
    if (holder.own) return windows.length > 0 ? [holder] : [];
    return windows.map((window) => {
      const fromMs = Math.max(holder.fromMs, window.fromMs);
      const toMs = Math.min(holder.toMs, window.toMs);
      return { ...holder, fromMs, toMs, from: rfc3339FromMs(fromMs), to: rfc3339FromMs(toMs) };
    });
  });
}

type Joined = Omit<Described, "gpu">;

function gpuFrom(
  device: Joined,
  slices: readonly Joined[],
  context: DescribeContext & { scope: DeviceScope; reading: Reading },
): Gpu {
  const { record } = device;
  const { scope, nowMs, reading } = context;
  const endMs = Math.min(scope.toMs, nowMs);
  const endsNow = scope.toMs >= nowMs - staleMs;
  const held = heldAtEnd(device, endMs);
  const { energyMj, throttle, ...measured } = reading;
  const stale = endsNow && nowMs - record.lastMs > staleMs;
  return {
    uuid: record.uuid,
    parentUuid: record.parentUuid,
    name: record.name,
    vendor: record.vendor,
    driverVersion: record.driverVersion,
    node: record.node,
    index: record.index,
    migProfile: record.migProfile,
    pods: podsOf(held),
    ...allocationOf(device, slices, endMs),
    holders: toldHolders(held, limits.deviceHolders),
    throttleReasons: stale ? [] : throttleReasons(throttle),
    firstSeen: rfc3339FromMs(record.firstMs),
    lastSeen: rfc3339FromMs(record.lastMs),
    stale,
    reading: { ...measured, energyJoules: energyMj === null ? null : energyMj / 1000 },
    requestCount: context.calls.get(record.uuid) ?? 0,
  };
}

/** What samples named counts up to the device's last sample, for nothing was said after it. */
function heldAtEnd({ record, holders }: Joined, endMs: number): HolderRecord[] {
  return holdersAt(holders, endMs).concat(
    holders.filter(
      ({ kind, fromMs, toMs }) =>
        kind === "sample" && toMs <= endMs && fromMs <= record.lastMs && record.lastMs < toMs,
    ),
  );
}

function allocationOf(
  device: Joined,
  slices: readonly Joined[],
  endMs: number,
): Pick<Gpu, "allocation" | "allocationReason"> {
  const parts = slices.length === 0 ? [device] : [device, ...slices];
  if (parts.some((part) => heldAtEnd(part, endMs).length > 0)) {
    return { allocation: "allocated", allocationReason: "" };
  }
  const isKnown = parts.some(({ known }) =>
    known.some(({ fromMs, toMs }) => fromMs <= endMs && endMs <= toMs),
  );
  return isKnown
    ? { allocation: "free", allocationReason: "" }
    : { allocation: "unknown", allocationReason: whyUnknown.holder };
}
