/**
 * Overview and heat map. Slots that did not change are taken from memory (see analytics/slots.ts).
 */
import type { TraceFilter } from "@axonize/core/contract/trace";
import { matrixOf } from "../analytics/heatmap.ts";
import { groupsOf, seriesOf, totalsOf, type SlotCalls } from "../analytics/overview.ts";
import {
  createSlotCache,
  lastRun,
  slotsOf,
  stepFor,
  type Slot,
  type SlotCache,
} from "../analytics/slots.ts";
import { readWindows, seesAllDevices, type SightDeps } from "../gpus/sight.ts";
import * as limits from "../limits.ts";
import type { Context, Handlers } from "../mount.ts";
import {
  readCallGroups,
  readDirtySlots,
  readHeatColumns,
  readTraceCounts,
  type Basis,
  type HeatColumn,
  type HeatmapMetric,
} from "../queries/analytics.sql.ts";
import { filterCondition, type Condition } from "../queries/filter.sql.ts";
import { readFleetUse } from "../queries/devices.sql.ts";
import type { Queries, TenantScope } from "../queries/query.ts";
import { rangeFrom } from "../range.ts";
import { rfc3339FromMs } from "../time-text.ts";

interface Cost {
  rowsRead: number;
  durationMs: number;
}

interface Part {
  scope: TenantScope;
  condition: Condition;
  stepMs: number;
  basis: Basis;
  nowMs: number;
  cost: Cost;
}

export function createAnalyticsHandlers(
  deps: SightDeps,
  config: { mode: "standalone" | "cluster" },
): Pick<Handlers, "getOverview" | "getHeatmap"> {
  const { queries } = deps;
  const calls = createSlotCache<SlotCalls>({ maxBytes: limits.slotCacheBytes });
  const heat = createSlotCache<HeatColumn | undefined>({ maxBytes: limits.slotCacheBytes });

  return {
    getOverview: async ({ query }, context) => {
      const part = partOf(query, query.buckets, context);
      const { fromMs, toMs } = part.scope;
      const rangeMs = toMs - fromMs;
      const read = async () =>
        await Promise.all([
          readCalls(queries, calls, part),
          readCalls(queries, calls, {
            ...part,
            scope: { ...part.scope, fromMs: fromMs - rangeMs, toMs: fromMs },
          }),
        ]);
      let [slots, previous] = await read();
      // Both ranges count the same thing, or their difference means nothing.
      if (![...slots, ...previous].some(hasCalls)) {
        part.basis = "spans";
        [slots, previous] = await read();
      }
      const gpu = await gpuUse(deps, part.scope, {
        seesAll: seesAllDevices(context, config.mode),
        mode: config.mode,
      });
      const before = totalsOf(previous, rangeMs);
      const groups = { rangeMs, most: limits.overviewGroups };
      return {
        from: rfc3339FromMs(fromMs),
        to: rfc3339FromMs(toMs),
        basis: part.basis,
        stepMs: part.stepMs,
        totals: totalsOf(slots, rangeMs),
        previous: before.spans === 0 ? null : before,
        series: seriesOf(slots),
        byModel: groupsOf(slots, previous, { ...groups, by: "model" }),
        byService: groupsOf(slots, previous, { ...groups, by: "service" }),
        gpu,
        query: part.cost,
      };
    },

    getHeatmap: async ({ query }, context) => {
      const part = partOf(query, query.buckets, context);
      const { metric } = query;
      let slots = await readHeat(queries, heat, part, metric);
      if (metric === "duration" && slots.every(({ value }) => value === undefined)) {
        part.basis = "spans";
        slots = await readHeat(queries, heat, part, metric);
      }
      const unit = metric === "outputTokens" ? "tokens" : "ms";
      return {
        from: rfc3339FromMs(part.scope.fromMs),
        to: rfc3339FromMs(part.scope.toMs),
        metric,
        unit,
        stepMs: part.stepMs,
        ...matrixOf(slots, { divisor: unit === "ms" ? 1e6 : 1, mostRows: limits.heatmapRows }),
        query: part.cost,
      };
    },
  };
}

function partOf(query: TraceFilter, bucketCount: number, context: Context): Part {
  const { from, to, ...filter } = query;
  const range = rangeFrom({ from, to }, context.nowMs);
  const tenant = context.tenant();
  // Older than the retention is nothing; a range of ten years is not ten years of empty slots.
  const horizonMs = context.nowMs - tenant.retentionDays * 86_400_000;
  const fromMs = Math.min(Math.max(range.fromMs, horizonMs), range.toMs - 1);
  const toMs = Math.min(range.toMs, Math.max(context.nowMs + 86_400_000, fromMs + 1));
  return {
    scope: { tenant, signal: context.signal, fromMs, toMs },
    condition: filterCondition(filter),
    stepMs: stepFor({ fromMs, toMs }, bucketCount),
    basis: "calls",
    nowMs: context.nowMs,
    cost: { rowsRead: 0, durationMs: 0 },
  };
}

const hasCalls = ({ value }: Slot<SlotCalls>): boolean =>
  value.groups.some((group) => group.calls > 0);

const noCalls: SlotCalls = { groups: [], traces: 0 };

async function readCalls(
  queries: Queries,
  cache: SlotCache<SlotCalls>,
  part: Part,
): Promise<Slot<SlotCalls>[]> {
  return await readSlots(queries, cache, {
    part,
    name: "calls",
    empty: noCalls,
    weigh: (value) => value.groups.reduce((sum, group) => sum + weightOf(group), 0),
    compute: async (run) => {
      const scope = { ...part.scope, ...run };
      const [calls, traces] = await Promise.all([
        readCallGroups(queries, scope, part),
        readTraceCounts(
          queries,
          { ...scope, toMs: run.toMs + limits.matchWithinMs },
          { ...part, ...run },
        ),
      ]);
      addCost(part.cost, calls);
      addCost(part.cost, traces);
      const slots = new Map<number, SlotCalls>();
      const groups = Map.groupBy(calls.groups, (group) => group.slotMs);
      for (const slot of new Set([...groups.keys(), ...traces.counts.keys()])) {
        slots.set(slot, {
          groups: groups.get(slot) ?? [],
          traces: traces.counts.get(slot) ?? 0,
        });
      }
      return slots;
    },
  });
}

/** Names and numbers ~300 bytes, 16 bytes per occupied bucket. */
const weightOf = (group: SlotCalls["groups"][number]): number =>
  300 +
  16 *
    (group.durations.buckets.length + group.ttfts.buckets.length + group.perTokens.buckets.length);

async function readHeat(
  queries: Queries,
  cache: SlotCache<HeatColumn | undefined>,
  part: Part,
  metric: HeatmapMetric,
): Promise<Slot<HeatColumn | undefined>[]> {
  return await readSlots(queries, cache, {
    part,
    name: `heat/${metric}`,
    empty: undefined,
    weigh: (value) => (value === undefined ? 0 : 100 + 16 * value.values.buckets.length),
    compute: async (run) => {
      const answer = await readHeatColumns(queries, { ...part.scope, ...run }, { ...part, metric });
      addCost(part.cost, answer);
      return new Map(answer.columns.map((column) => [column.slotMs, column]));
    },
  });
}

async function readSlots<T>(
  queries: Queries,
  cache: SlotCache<T>,
  request: {
    part: Part;
    name: string;
    empty: T;
    weigh: (value: T) => number;
    compute: (run: { fromMs: number; toMs: number }) => Promise<Map<number, T>>;
  },
): Promise<Slot<T>[]> {
  const { part } = request;
  const { scope, stepMs } = part;
  return await cache.read({
    key: JSON.stringify([
      request.name,
      scope.tenant.num,
      stepMs,
      part.basis,
      part.condition.sql,
      part.condition.params,
    ]),
    slots: slotsOf(scope, stepMs),
    nowMs: part.nowMs,
    isWhole: (slot) => slot >= scope.fromMs && slot + stepMs <= scope.toMs,
    dirtySince: async (sinceMs) => await dirtySlots(queries, part, sinceMs),
    compute: async (slots) => await computeRuns(slots, request),
    empty: request.empty,
    weigh: request.weigh,
  });
}

/** Run by run, the newest first; runs lengthen while they turn out to hold little. */
async function computeRuns<T>(
  slots: readonly number[],
  request: {
    part: Part;
    compute: (run: { fromMs: number; toMs: number }) => Promise<Map<number, T>>;
  },
): Promise<Map<number, T>> {
  const { scope, stepMs, nowMs, cost } = request.part;
  const horizonMs = nowMs - scope.tenant.retentionDays * 86_400_000;
  const computed = new Map<number, T>();
  let mostMs = limits.slotRunMs;
  let left = slots.filter((slot) => slot + stepMs > horizonMs);
  while (left.length > 0) {
    const run = lastRun(left, { stepMs, mostMs });
    left = left.slice(0, left.length - run.slots);
    const rowsBefore = cost.rowsRead;
    const values = await request.compute({
      fromMs: Math.max(run.fromMs, scope.fromMs),
      toMs: Math.min(run.toMs, scope.toMs),
    });
    for (const [slot, value] of values) computed.set(slot, value);
    if (cost.rowsRead - rowsBefore < limits.slotRunRows) mostMs *= 4;
  }
  return computed;
}

/** A span of a trace that began or ended in the range may itself lie up to an hour beside it. */
async function dirtySlots(
  queries: Queries,
  part: Part,
  sinceMs: number,
): Promise<ReadonlySet<number>> {
  const { scope, stepMs } = part;
  const around = {
    ...scope,
    fromMs: scope.fromMs - limits.matchWithinMs,
    toMs: scope.toMs + limits.matchWithinMs,
  };
  return new Set(await readDirtySlots(queries, around, { sinceMs, stepMs }));
}

function addCost(cost: Cost, more: Cost): void {
  cost.rowsRead += more.rowsRead;
  cost.durationMs += more.durationMs;
}

/** For a tenant, its devices of the newest hour in the range: finding them may read its spans. */
async function gpuUse(
  deps: SightDeps,
  scope: TenantScope,
  who: { seesAll: boolean; mode: "standalone" | "cluster" },
) {
  const { signal, tenant, fromMs, toMs } = scope;
  if (who.seesAll)
    return await readFleetUse(deps.queries, { devices: "all", signal, fromMs, toMs });
  const hour = { toMs, fromMs: Math.max(fromMs, toMs - 3_600_000) };
  const seer = { tenant: () => tenant, signal };
  const devices = await readWindows(deps, seer, { ...hour, mode: who.mode });
  return devices.length === 0
    ? null
    : await readFleetUse(deps.queries, { ...hour, signal, devices });
}
