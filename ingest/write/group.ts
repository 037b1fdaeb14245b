/**
 * Group commit: requests join the open group as they are decoded; the group becomes one insert per
 * table and partition; its requests are answered when ClickHouse has all of it, or none.
 *
 * A group closes when it has rows enough and a slot is idle, when nobody joined for a moment, at an
 * age, or at a size. While inserts run, the open group grows: under load groups size themselves.
 * Spans go last, so that a span that can be read has its payload, resource and index already.
 */
import { withinMs } from "../within.ts";
import type { Clock } from "@axonize/core/runtime/clock";
import * as limits from "../limits.ts";
import type { IngestMetrics } from "../metrics.ts";
import type { Block, BlockSource } from "./block.ts";
import type { Budget } from "./budget.ts";
import type { Insert, Inserted } from "./insert.ts";

export interface GroupCommit {
  /** What was just decoded is part of the open group; resolves when that is committed or failed. */
  join(): Promise<Inserted>;
  /** Milliseconds since the oldest request that is not acknowledged joined. */
  oldestMs(): number | undefined;
  /** Commits what is open and waits for everything in flight, within `flushMs`. */
  flush(): Promise<void>;
}

interface Group {
  openedAt: number;
  joinedAt: number;
  done: PromiseWithResolvers<Inserted>;
}

/** Tables in the order in which a group's blocks must be durable; names not listed go with spans. */
const before = new Set(["resources", "span_payloads", "trace_index", "facets"]);

interface GroupDeps {
  clock: Clock;
  metrics: IngestMetrics;
  budget: Budget;
  insert: Insert;
  sources: readonly BlockSource[];
}

export function createGroupCommit(deps: GroupDeps): GroupCommit {
  const { clock, metrics, sources } = deps;
  let open: Group | undefined;
  let due = false;
  const inFlight = new Set<Group>();

  const close = (): void => {
    const group = open;
    if (group === undefined) return;
    open = undefined;
    due = false;
    const blocks = sources.flatMap((source) => source.take());
    const bytes = blocks.reduce((sum, block) => sum + block.bytes.length, 0);
    metrics.groupRows.observe(blocks.reduce((sum, block) => sum + block.rows, 0));
    deps.budget.hold(bytes);
    inFlight.add(group);
    void settle(group, blocks, bytes);
  };
  const settle = async (group: Group, blocks: readonly Block[], bytes: number): Promise<void> => {
    const outcome = await commit(deps.insert, blocks, group.openedAt + limits.insertBudgetMs);
    inFlight.delete(group);
    deps.budget.release(bytes);
    group.done.resolve(outcome);
    if (due || rows() >= limits.groupRows) close();
  };
  const rows = (): number => openRows(sources);
  const hasSlot = (): boolean => inFlight.size < limits.insertsPerTable;

  /** Watches the open group's idleness and age; ends when the group is closed. */
  const watch = async (group: Group): Promise<void> => {
    for (;;) {
      if (open !== group) return;
      const now = clock.monotonic();
      const waitMs = Math.min(
        group.joinedAt + limits.groupIdleMs - now,
        group.openedAt + limits.groupAgeMs - now,
      );
      if (waitMs <= 0) {
        due = true;
        if (hasSlot()) close();
        return; // else the next free slot takes it
      }
      await clock.sleep(Math.max(1, waitMs));
    }
  };

  return {
    join: async () => {
      const now = clock.monotonic();
      const isNew = open === undefined;
      const group = (open ??= { openedAt: now, joinedAt: now, done: Promise.withResolvers() });
      group.joinedAt = now;
      const full = rows() >= limits.groupRows && hasSlot();
      if (full || (due && hasSlot()) || openBytes(sources) >= limits.groupBytes) close();
      // Last, because a process that was held up may find the group already old enough to close.
      if (isNew) void watch(group);
      return await group.done.promise;
    },
    oldestMs: () => {
      const oldest = [...inFlight].at(0) ?? open;
      return oldest === undefined ? undefined : clock.monotonic() - oldest.openedAt;
    },
    flush: async () => {
      close();
      const all = Promise.all([...inFlight].map(async (group) => await group.done.promise));
      // Who waited for what is left has been told nothing and sends it again elsewhere.
      await withinMs(clock, limits.flushMs, all);
    },
  };
}

const openRows = (sources: readonly BlockSource[]): number =>
  sources.reduce((sum, source) => sum + source.openRows(), 0);
const openBytes = (sources: readonly BlockSource[]): number =>
  sources.reduce((sum, source) => sum + source.openBytes(), 0);

/** Never rejects. */
async function commit(
  insert: Insert,
  blocks: readonly Block[],
  deadlineMs: number,
): Promise<Inserted> {
  for (const phase of [
    blocks.filter((block) => before.has(block.table)),
    blocks.filter((block) => !before.has(block.table)),
  ]) {
    // Several blocks of one table go one after another: `insert` holds two per table.
    const outcomes = await Promise.all(
      phase.map(async (block) => {
        const outcome = await insert(block, deadlineMs);
        if (outcome.ok) block.committed?.();
        return outcome;
      }),
    );
    const failure = outcomes.find((outcome) => !outcome.ok);
    if (failure !== undefined) return failure;
  }
  return { ok: true };
}
