/**
 * The GPU band under a request: what its devices did while it ran, who had them, and which other
 * calls were on them, on the trace's own time axis.
 */
import type { TraceGpuLanes } from "@axonize/core/contract/gpu";
import { describeDevices, type Described } from "../gpus/describe.ts";
import { toldHolders } from "../gpus/holders.ts";
import { sightOf, type Mode, type Sight, type SightDeps } from "../gpus/sight.ts";
import * as limits from "../limits.ts";
import type { Context, Handlers } from "../mount.ts";
import { readDeviceRecords } from "../queries/devices.sql.ts";
import { readNeighbours } from "../queries/device-use.sql.ts";
import { readDeviceEvents, readSampleInterval, readSeries } from "../queries/gpus.sql.ts";
import type { Range } from "../queries/identity.sql.ts";
import type { DeviceScope } from "../queries/query.ts";
import { msFromNs, rfc3339FromMs } from "../time-text.ts";
import { readHead, requireTrace, type LocatedTrace } from "./trace.ts";
import { devicesOfTrace, type TraceDevices } from "./trace-devices.ts";

/** Pixels of a lane: about one value per two pixels of a wide screen. */
const laneSteps = 600;
/** The band shows this share of the trace's length on either side, and at least so much: a slow
 * reading from before the trace stands until the next. */
const lanePadding = 0.2;
const leastPaddingMs = 1_500;
/** How far around a trace samples are looked at to tell how far apart they are. */
const intervalWithinMs = 30_000;
/** What is known of a device is looked for this long before: it may report seldom. */
const factsWithinMs = 3_600_000;

type Lane = TraceGpuLanes["lanes"][number];

export function createTraceGpuHandlers(
  deps: SightDeps,
  config: { mode: Mode },
): Pick<Handlers, "getTraceGpu"> {
  return {
    getTraceGpu: async ({ params }, context) => {
      const located = await requireTrace(deps.queries, context, params.traceId);
      const head = await readHead(deps.queries, located, params.traceId);
      const own = { fromMs: msFromNs(head.startNs), toMs: msFromNs(head.endNs) + 1 };
      const ran = await devicesOfTrace(deps, context, { located, head, mode: config.mode });
      const only = [...ran.devices.map(({ uuid }) => uuid), ...ran.candidates];
      if (only.length === 0) return answer(params.traceId, own, { ran, lanes: [], candidates: [] });
      // Of a tenant's devices, the time in which its own pods held them, and only that, is in sight.
      const around = { fromMs: own.fromMs - factsWithinMs, toMs: own.toMs + factsWithinMs };
      const sight = await sightOf(deps, context, { ...around, mode: config.mode });
      const scope = { ...sight.scope, only };
      const band = await bandOf(deps, scope, own);
      const job = { located, ran, sight, own, band, scope: { ...scope, ...band.range } };
      const [lanes, candidates] = await Promise.all([
        ran.devices.length === 0 ? [] : lanesOf(deps, context, job),
        candidatesOf(deps, scope, ran.candidates),
      ]);
      return answer(params.traceId, band.range, { ran, lanes, candidates });
    },
  };
}

function answer(
  traceId: string,
  range: Range,
  found: { ran: TraceDevices; lanes: Lane[]; candidates: TraceGpuLanes["candidates"] },
): TraceGpuLanes {
  const { ran, lanes, candidates } = found;
  const isSilent = ran.devices.length > 0 && lanes.length === 0;
  return {
    traceId,
    from: rfc3339FromMs(range.fromMs),
    to: rfc3339FromMs(range.toMs),
    lanes,
    level: ran.level,
    candidates,
    evidence: ran.evidence,
    reason: isSilent
      ? `No samples of ${ran.devices.map(({ uuid }) => uuid).join(", ")} in this time.`
      : ran.reason,
  };
}

interface Band {
  range: Range;
  stepMs: number;
  centred: boolean;
}

/** Samples may be seconds apart: the band reaches to the next one on either side. */
async function bandOf(deps: SightDeps, scope: DeviceScope, own: Range): Promise<Band> {
  const intervalMs = await readSampleInterval(deps.queries, {
    ...scope,
    fromMs: own.fromMs - intervalWithinMs,
    toMs: own.toMs + intervalWithinMs,
  });
  const lengthMs = own.toMs - own.fromMs;
  const padMs = Math.max(leastPaddingMs, Math.ceil(lengthMs * lanePadding), intervalMs);
  const range = { fromMs: own.fromMs - padMs, toMs: own.toMs + padMs };
  const finestMs = Math.max(100, Math.ceil((range.toMs - range.fromMs) / laneSteps));
  const stepMs = Math.max(finestMs, intervalMs);
  return { range, stepMs, centred: stepMs > finestMs };
}

interface Job {
  located: LocatedTrace;
  ran: TraceDevices;
  sight: Sight;
  own: Range;
  band: Band;
  scope: DeviceScope;
}

async function lanesOf(deps: SightDeps, context: Context, job: Job): Promise<Lane[]> {
  const { ran, sight, band, scope } = job;
  const { nowMs } = context;
  const [described, series, events] = await Promise.all([
    describeDevices(deps, scope, { ...sight, nowMs }),
    readSeries(deps.queries, scope, { ...band, nowMs }),
    readDeviceEvents(deps.queries, scope),
  ]);
  const lanes = ran.devices.map(async ({ uuid, level, evidence }) => {
    const device = described.find(({ gpu }) => gpu.uuid === uuid);
    const measured = series.get(uuid);
    if (device === undefined || measured === undefined) return [];
    return [
      {
        gpu: device.gpu,
        level,
        evidence,
        series: measured.series,
        events: events.get(uuid) ?? [],
        throttles: measured.throttles,
        holders: toldHolders(device.holders, limits.deviceHolders),
        ...(await neighboursOf(deps, context, { ...job, device })),
      },
    ];
  });
  return (await Promise.all(lanes)).flat().sort(byPlace);
}

/** As they sit in their nodes. */
const byPlace = ({ gpu: a }: Lane, { gpu: b }: Lane): number =>
  a.node.localeCompare(b.node, "en", { numeric: true }) ||
  (a.index ?? -1) - (b.index ?? -1) ||
  a.uuid.localeCompare(b.uuid);

async function neighboursOf(
  deps: SightDeps,
  context: Context,
  job: Job & { device: Described },
): Promise<Pick<Lane, "neighbours" | "neighbourCount">> {
  const { located, own, device } = job;
  const scope = { tenant: context.tenant(), signal: context.signal, ...own };
  return await readNeighbours(deps.queries, scope, {
    traceId: located.found.traceId,
    startMs: own.fromMs,
    endMs: own.toMs,
    device: device.gpu.uuid,
    pods: device.holders.map(({ namespace, pod }) => ({ namespace, pod })),
  });
}

async function candidatesOf(
  deps: SightDeps,
  scope: DeviceScope,
  uuids: readonly string[],
): Promise<TraceGpuLanes["candidates"]> {
  if (uuids.length === 0) return [];
  const records = await readDeviceRecords(deps.queries, { ...scope, only: uuids });
  return uuids.map((uuid) => {
    const record = records.find((known) => known.uuid === uuid);
    const name = record?.migProfile === "" ? record.name : (record?.migProfile ?? "");
    return { uuid, name, node: record?.node ?? "" };
  });
}
