/**
 * Devices and their time series. A tenant sees a device only while its own pods held it; the admin,
 * and the loopback tenant of standalone, see all that reported (`gpus/sight.ts`).
 */
import type { GpuMetrics } from "@axonize/core/contract/gpu";
import { AxonizeError } from "@axonize/core/runtime/error";
import { describeDevices, type Described } from "../gpus/describe.ts";
import { rangesOf, toldHolders } from "../gpus/holders.ts";
import { sightOf, type Mode, type Sight, type SightDeps } from "../gpus/sight.ts";
import { splitOf } from "../gpus/split.ts";
import * as limits from "../limits.ts";
import type { Context, Handlers } from "../mount.ts";
import { readDeviceRecords } from "../queries/devices.sql.ts";
import {
  emptySeries,
  readDeviceEvents,
  readSeries,
  type DeviceSeries,
} from "../queries/gpus.sql.ts";
import type { Range } from "../queries/identity.sql.ts";
import { rangeFrom } from "../range.ts";
import { rfc3339FromMs } from "../time-text.ts";

/** The finest step: the agent's tick. */
const tickMs = 100;

export function createGpuHandlers(
  deps: SightDeps,
  config: { mode: Mode },
): Pick<Handlers, "listGpus" | "getGpu" | "getGpuMetrics"> {
  const { mode } = config;
  return {
    listGpus: async ({ query }, context) => {
      const range = rangeFrom(query, context.nowMs);
      const sight = await sightOf(deps, context, { ...range, mode });
      const devices = await describeDevices(deps, sight.scope, { ...sight, nowMs: context.nowMs });
      return { items: devices.map(({ gpu }) => gpu), nextCursor: null };
    },

    getGpu: async ({ params, query }, context) => {
      const range = rangeFrom(query, context.nowMs);
      return (await oneDevice(deps, context, { ...range, mode, uuid: params.uuid })).gpu;
    },

    getGpuMetrics: async ({ params, query }, context) => {
      const range = rangeFrom(query, context.nowMs);
      return await metricsOf(deps, context, {
        ...range,
        mode,
        uuid: params.uuid,
        buckets: query.buckets,
      });
    },
  };
}

interface One extends Range {
  uuid: string;
  mode: Mode;
}

/** The device with its slices, whose holders count for it. */
async function oneDevice(
  deps: SightDeps,
  context: Context,
  one: One,
): Promise<Described & { sight: Sight; slices: Described[] }> {
  const { uuid, ...where } = one;
  const sight = await sightOf(deps, context, where);
  const related = (await readDeviceRecords(deps.queries, sight.scope)).filter(
    (record) => record.uuid === uuid || record.parentUuid === uuid,
  );
  const scope = { ...sight.scope, only: related.map((record) => record.uuid) };
  const all =
    related.length === 0
      ? []
      : await describeDevices(deps, scope, { ...sight, nowMs: context.nowMs });
  const found = all.find(({ gpu }) => gpu.uuid === uuid);
  if (found === undefined) {
    throw new AxonizeError(
      "not-found",
      `No device ${uuid.slice(0, 128)} reported in this time range.`,
    );
  }
  return { ...found, sight, slices: all.filter(({ gpu }) => gpu.parentUuid === uuid) };
}

async function metricsOf(
  deps: SightDeps,
  context: Context,
  one: One & { buckets: number },
): Promise<GpuMetrics> {
  const { uuid, fromMs, toMs, buckets } = one;
  const { sight, slices, ...device } = await oneDevice(deps, context, one);
  const scope = { ...sight.scope, only: [uuid] };
  const stepMs = Math.max(tickMs, Math.ceil((toMs - fromMs) / buckets));
  const [devices, events] = await Promise.all([
    readSeries(deps.queries, scope, { stepMs, nowMs: context.nowMs }),
    readDeviceEvents(deps.queries, scope),
  ]);
  const found =
    devices.get(uuid) ??
    emptySeries(uuid, { firstMs: fromMs, stepMs, steps: Math.ceil((toMs - fromMs) / stepMs) });
  const parts = [device, ...slices];
  const untilMs = Math.min(toMs, context.nowMs);
  const { split, unattributed } = splitOf({
    fromMs,
    toMs: Math.max(untilMs, fromMs),
    startMs: found.series.startMs,
    stepMs: found.series.stepMs,
    activity: activityOf(found.series),
    isSampled: (at) => isSampled(found.series, at),
    held: parts.flatMap(({ holders }) => rangesOf(holders)),
    known: parts.flatMap(({ known }) => known),
  });
  return {
    from: rfc3339FromMs(fromMs),
    to: rfc3339FromMs(toMs),
    ...found,
    events: events.get(uuid) ?? [],
    holders: toldHolders(device.holders, limits.deviceHolders),
    split,
    unattributed,
  };
}

type Series = DeviceSeries["series"];

function activityOf({ smActivityRatio, utilizationRatio }: Series): (number | null)[] {
  return smActivityRatio.map((ratio, at) => ratio ?? utilizationRatio[at] ?? null);
}

function isSampled(series: Series, at: number): boolean {
  return [
    series.utilizationRatio,
    series.smActivityRatio,
    series.memoryUsedBytes,
    series.powerWatts,
    series.temperatureCelsius,
  ].some((values) => values[at] !== null && values[at] !== undefined);
}
