/**
 * Sorting and merging of request rows. Pure.
 */
import type { TraceRow } from "@axonize/core/contract/trace";

export type SortKey = "startTime" | "duration" | "ttft" | "outputTokens" | "inputTokens";
export interface Sort {
  readonly key: SortKey;
  readonly order: "asc" | "desc";
}

const sortKeys: readonly SortKey[] = [
  "startTime",
  "duration",
  "ttft",
  "outputTokens",
  "inputTokens",
];

/** `-duration` is descending; anything unknown is newest first. */
export function sortFromUrl(text: string): Sort {
  const key = sortKeys.find((known) => known === text.replace(/^-/, ""));
  return key
    ? { key, order: text.startsWith("-") ? "desc" : "asc" }
    : { key: "startTime", order: "desc" };
}

export function sortToUrl(sort: Sort): string {
  if (sort.key === "startTime" && sort.order === "desc") return "";
  return sort.order === "desc" ? `-${sort.key}` : sort.key;
}

/** First descending, then ascending, then back to newest first. */
export function nextSort(now: Sort, key: SortKey): Sort {
  if (now.key !== key) return { key, order: "desc" };
  return now.order === "desc" ? { key, order: "asc" } : { key: "startTime", order: "desc" };
}

/** Rows kept above the loaded pages while live; beyond it the oldest of them go. 2,000 × ~0.7 KB. */
export const maxLiveRows = 2_000;

export interface Merged {
  /** All rows above the loaded pages. */
  readonly rows: readonly TraceRow[];
  /** How many of them were not there before. */
  readonly fresh: number;
  /** The newest page shares nothing with what is shown: rows between are missing, start over. */
  readonly gap: boolean;
}

export function mergeNewest(
  head: readonly TraceRow[],
  before: readonly TraceRow[],
  loaded: readonly TraceRow[],
  sort: Sort,
): Merged {
  const known = new Map([...loaded, ...before].map((row) => [row.traceId, row]));
  const shares = head.some((row) => known.has(row.traceId));
  if (sort.key !== "startTime" || sort.order !== "desc") {
    const same = head.every((row, i) => loaded[i]?.traceId === row.traceId);
    return { rows: before, fresh: 0, gap: !same };
  }
  if (!shares && known.size > 0 && head.length > 0) return { rows: before, fresh: 0, gap: true };
  const isNew = (row: TraceRow): boolean => !known.has(row.traceId);
  // A request that still grows comes again with more spans: the newer row wins.
  const changed = head.filter(
    (row) => !isNew(row) && known.get(row.traceId)?.spanCount !== row.spanCount,
  );
  const fresh = head.filter(isNew);
  if (fresh.length === 0 && changed.length === 0) return { rows: before, fresh: 0, gap: false };
  const ids = new Set([...fresh, ...changed].map((row) => row.traceId));
  const rows = [...fresh, ...changed, ...before.filter((row) => !ids.has(row.traceId))].sort(
    byNewest,
  );
  return { rows: rows.slice(0, maxLiveRows), fresh: fresh.length + changed.length, gap: false };
}

/**
 * The list as it is shown while live: newest first. A loaded row that grew stays in its place, and
 * what began long ago and came late goes below what began since.
 */
export function joinRows(
  before: readonly TraceRow[],
  loaded: readonly TraceRow[],
): readonly TraceRow[] {
  if (before.length === 0) return loaded;
  const ids = new Set(before.map((row) => row.traceId));
  return [...before, ...loaded.filter((row) => !ids.has(row.traceId))].sort(byNewest);
}

/** The API writes every time with nine decimals, so text sorts as time does. */
const byNewest = (a: TraceRow, b: TraceRow): number =>
  a.startTime < b.startTime ? 1 : a.startTime > b.startTime ? -1 : 0;
