/**
 * Devices, their time series, and the GPU band under a request.
 *
 * A tenant sees a device only where and while its own spans ran on it; the admin, and the loopback
 * tenant of standalone, see all that reported.
 */
import type { TraceGpuLanes } from "@axonize/core/contract/gpu";
import { AxonizeError } from "@axonize/core/runtime/error";
import type { Context, Handlers } from "../mount.ts";
import {
  devicesOfTenant,
  emptySeries,
  readDeviceEvents,
  readDevices,
  readSampleInterval,
  readSeries,
  type DeviceUse,
} from "../queries/gpus.sql.ts";
import type { DeviceScope, Queries, TenantScope } from "../queries/query.ts";
import { rangeFrom } from "../range.ts";
import { msFromNs, rfc3339FromMs } from "../time-text.ts";
import { readHead, requireTrace } from "./trace.ts";
import { devicesOfTrace, seesAllDevices } from "./trace-devices.ts";

/** Pixels of a lane: about one value per two pixels of a wide screen. */
const laneSteps = 600;
/** The band shows this share of the trace's length on either side (and at least a second). */
const lanePadding = 0.2;
/** How far around a trace samples are looked at to tell how far apart they are. */
const intervalWithinMs = 30_000;

export function createGpuHandlers(
  deps: { queries: Queries },
  config: { mode: "standalone" | "cluster" },
): Pick<Handlers, "listGpus" | "getGpu" | "getGpuMetrics" | "getTraceGpu"> {
  const { queries } = deps;
  const sight = async (context: Context, range: { fromMs: number; toMs: number }) =>
    await sightOf(queries, context, { ...range, seesAll: seesAllDevices(context, config.mode) });
  return {
    listGpus: async ({ query }, context) => {
      const { scope, uses, seesAll } = await sight(context, rangeFrom(query, context.nowMs));
      const items = await readDevices(queries, scope, {
        nowMs: context.nowMs,
        uses,
        areOwnPodsOnly: !seesAll,
      });
      return { items, nextCursor: null };
    },

    getGpu: async ({ params, query }, context) => {
      const seen = await sight(context, rangeFrom(query, context.nowMs));
      const scope = only(seen, params.uuid);
      const [gpu] = await readDevices(queries, scope, {
        nowMs: context.nowMs,
        uses: seen.uses,
        areOwnPodsOnly: !seen.seesAll,
      });
      if (gpu === undefined) throw noDevice(params.uuid);
      return gpu;
    },

    getGpuMetrics: async ({ params, query }, context) => {
      const range = rangeFrom(query, context.nowMs);
      const seen = await sight(context, range);
      const scope = only(seen, params.uuid);
      const stepMs = Math.max(100, Math.ceil((range.toMs - range.fromMs) / query.buckets));
      const [devices, events] = await Promise.all([
        readSeries(queries, scope, { stepMs, nowMs: context.nowMs }),
        readDeviceEvents(queries, scope),
      ]);
      const found =
        devices.get(params.uuid) ??
        emptySeries(params.uuid, {
          firstMs: scope.fromMs,
          stepMs,
          steps: Math.ceil((scope.toMs - scope.fromMs) / stepMs),
        });
      return {
        from: rfc3339FromMs(range.fromMs),
        to: rfc3339FromMs(range.toMs),
        ...found,
        events: events.get(params.uuid) ?? [],
      };
    },

    getTraceGpu: async ({ params }, context) =>
      await traceLanes(queries, context, {
        traceId: params.traceId,
        seesAll: seesAllDevices(context, config.mode),
      }),
  };
}

async function traceLanes(
  queries: Queries,
  context: Context,
  request: { traceId: string; seesAll: boolean },
): Promise<TraceGpuLanes> {
  const { traceId, seesAll } = request;
  const located = await requireTrace(queries, context, traceId);
  const head = await readHead(queries, located, traceId);
  const [startMs, endMs] = [msFromNs(head.startNs), msFromNs(head.endNs) + 1];
  const known = await devicesOfTrace(queries, context, { located, head, seesAll });
  const devices = known.devices.map(({ uuid }) => uuid);
  const own = { devices, signal: context.signal, fromMs: startMs, toMs: endMs };
  // Samples may be seconds apart: the band reaches to the next one on either side.
  const intervalMs =
    seesAll && devices.length > 0
      ? await readSampleInterval(queries, {
          ...own,
          fromMs: startMs - intervalWithinMs,
          toMs: endMs + intervalWithinMs,
        })
      : 0;
  const padMs = Math.max(1000, Math.ceil((endMs - startMs) * lanePadding), intervalMs);
  const range = { fromMs: startMs - padMs, toMs: endMs + padMs };
  const about = {
    traceId,
    from: rfc3339FromMs(range.fromMs),
    to: rfc3339FromMs(range.toMs),
  };
  if (devices.length === 0) return { ...about, lanes: [], reason: known.reason };
  // Another's use of a shared device is not this tenant's to see: no padding then.
  const scope: DeviceScope = seesAll ? { ...own, ...range } : own;
  const uses = await devicesOfTenant(queries, located.scope);
  const finestMs = Math.max(100, Math.ceil((scope.toMs - scope.fromMs) / laneSteps));
  const stepMs = Math.max(finestMs, intervalMs);
  const [gpus, series, events] = await Promise.all([
    readDevices(queries, scope, { nowMs: context.nowMs, uses, areOwnPodsOnly: !seesAll }),
    readSeries(queries, scope, { stepMs, nowMs: context.nowMs, centred: stepMs > finestMs }),
    readDeviceEvents(queries, scope),
  ]);
  const lanes = gpus.flatMap((gpu) => {
    const measured = series.get(gpu.uuid);
    return measured ? [{ gpu, series: measured.series, events: events.get(gpu.uuid) ?? [] }] : [];
  });
  return {
    ...about,
    lanes,
    reason: lanes.length > 0 ? "" : `No samples of ${devices.join(", ")} in this time.`,
  };
}

interface Sight {
  scope: DeviceScope;
  uses: ReadonlyMap<string, DeviceUse>;
  seesAll: boolean;
}

async function sightOf(
  queries: Queries,
  context: Context,
  options: { fromMs: number; toMs: number; seesAll: boolean },
): Promise<Sight> {
  const { seesAll, ...range } = options;
  const tenantScope: TenantScope = {
    tenant: context.tenant(),
    signal: context.signal,
    ...range,
  };
  const uses = await devicesOfTenant(queries, tenantScope);
  return {
    scope: { devices: seesAll ? "all" : [...uses.keys()], signal: context.signal, ...range },
    uses,
    seesAll,
  };
}

/** The scope narrowed to one device, and for a tenant to the time in which its spans ran there. */
function only(sight: Sight, uuid: string): DeviceScope {
  const use = sight.uses.get(uuid);
  if (sight.seesAll) return { ...sight.scope, devices: [uuid] };
  if (use === undefined) throw noDevice(uuid);
  return {
    ...sight.scope,
    devices: [uuid],
    fromMs: Math.max(sight.scope.fromMs, use.firstMs),
    toMs: Math.min(sight.scope.toMs, use.lastMs + 1),
  };
}

const noDevice = (uuid: string): AxonizeError =>
  new AxonizeError("not-found", `No device ${uuid.slice(0, 128)} reported in this time range.`);
