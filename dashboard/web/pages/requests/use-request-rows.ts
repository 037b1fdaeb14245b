/**
 * The rows of the list: cursor pages, and while live the newest page asked again and merged on top.
 *
 * While the person has scrolled down new rows wait and are counted, so that nothing moves under the
 * pointer. Sorted by anything but time, live asks the first page again instead.
 */
import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import type { TraceRow } from "@axonize/core/contract/trace";
import { call } from "../../data/client.ts";
import { keys } from "../../data/keys.ts";
import { livePeriodMs } from "../../data/live.ts";
import { useEndpoint, useStore } from "../../data/queries.ts";
import type { Scope } from "../../data/url.ts";
import { joinRows, mergeNewest, type Sort } from "./rows.ts";

export type { Sort } from "./rows.ts";
export { sortFromUrl } from "./rows.ts";

export interface RequestRows {
  readonly status: "loading" | "error" | "ready";
  readonly error: unknown;
  readonly rows: readonly TraceRow[];
  readonly complete: boolean;
  readonly loadingMore: boolean;
  /** New rows that wait until the person is at the top again. */
  readonly waiting: number;
  readonly more: () => void;
  readonly showNew: () => void;
  readonly setAtTop: (atTop: boolean) => void;
}

const pageSize = 100;

export function useRequestRows(scope: Scope, sort: Sort): RequestRows {
  const client = useQueryClient();
  const { query: key, tenant } = useStore(keys);
  const query = useMemo(
    () => ({ ...scope.query, sort: sort.key, order: sort.order, limit: pageSize }),
    [scope.query, sort.key, sort.order],
  );
  const identity = JSON.stringify([query, key, tenant]);
  const queryKey = useMemo(() => ["listTraces", "pages", identity], [identity]);
  const pages = useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam, signal }) =>
      call("listTraces", {
        query: { ...query, cursor: pageParam === "" ? undefined : pageParam },
        signal,
      }),
    enabled: scope.ready,
    initialPageParam: "",
    getNextPageParam: (last) => last.nextCursor ?? undefined,
    // Live asks the newest page by itself; asking all loaded pages again would only repeat them.
    refetchOnWindowFocus: false,
    staleTime: 30_000,
    gcTime: 30_000,
  });
  const head = useEndpoint(
    "listTraces",
    { query },
    { enabled: scope.live && pages.isSuccess, everyMs: livePeriodMs.requests, keep: false },
  );
  const [atTop, setAtTop] = useState(true);
  const [live, setLive] = useState<{
    readonly identity: string;
    readonly rows: readonly TraceRow[];
  }>({ identity, rows: [] });
  const loaded = useMemo(() => pages.data?.pages.flatMap((page) => page.items) ?? [], [pages.data]);
  const before = live.identity === identity ? live.rows : noRows;
  const merged = useMemo(
    () =>
      head.data
        ? mergeNewest(head.data.items, before, loaded, sort)
        : { rows: before, fresh: 0, gap: false },
    [head.data, before, loaded, sort],
  );
  const showNew = (): void => {
    setLive({ identity, rows: merged.rows });
  };
  // Adjusted while rendering, so that no frame shows the list without them.
  if (atTop && merged.fresh > 0 && !merged.gap) showNew();
  const startOver = merged.gap && atTop;
  useEffect(() => {
    if (startOver) void client.resetQueries({ queryKey });
  }, [startOver, client, queryKey]);
  const rows = useMemo(() => joinRows(before, loaded), [before, loaded]);
  return {
    status: pages.isSuccess ? "ready" : pages.isError ? "error" : "loading",
    error: pages.error,
    rows,
    complete: !pages.hasNextPage,
    loadingMore: pages.isFetchingNextPage,
    waiting: atTop ? 0 : merged.fresh,
    more: () => {
      if (pages.hasNextPage && !pages.isFetchingNextPage) void pages.fetchNextPage();
    },
    showNew,
    setAtTop,
  };
}

const noRows: readonly TraceRow[] = [];
