/**
 * The URL state as React sees it: read it, change a part of it, know the API parameters it means.
 */
import { useQueries, type UseQueryResult } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import { call, type Answer } from "./client.ts";
import {
  expandWildcards,
  filterParams,
  parseFilter,
  wildcards,
  type FilterParams,
  type ParsedFilter,
} from "./filter.ts";
import { isRelative } from "./time.ts";
import { parseUrlState, printUrlState, type SearchRecord, type UrlState } from "./url-state.ts";

export type SetUrl = (patch: Partial<UrlState>, options?: { readonly replace?: boolean }) => void;

export function useUrlState(): readonly [UrlState, SetUrl] {
  const search: SearchRecord = useSearch({ strict: false });
  const navigate = useNavigate();
  const state = useMemo(() => parseUrlState(search), [search]);
  const set = useCallback<SetUrl>(
    (patch, options) => {
      void navigate({
        to: ".",
        search: (before: SearchRecord) => printUrlState({ ...parseUrlState(before), ...patch }),
        replace: options?.replace ?? false,
      });
    },
    [navigate],
  );
  return [state, set];
}

/** Search of a link to another page: range, live and filter travel along; selections do not. */
export function carry(state: UrlState, patch: Partial<UrlState> = {}): SearchRecord {
  return printUrlState({
    ...parseUrlState({}),
    range: state.range,
    live: state.live,
    filter: state.filter,
    ...patch,
  });
}

export interface Scope {
  readonly filter: ParsedFilter;
  /** `from`, `to` and the filter, as every list and analytics endpoint takes them. */
  readonly query: FilterParams;
  /** Refresh: the person has not paused, and the range ends now. */
  readonly live: boolean;
  /** False while the values of a `llama*` are being looked up. */
  readonly ready: boolean;
}

/** Values of one `prefix*` that are sent along; the API takes at most 50 of a key. */
const mostWildcardValues = 50;

export function useScope(state: UrlState): Scope {
  const { filter, range, live } = state;
  const parsed = useMemo(() => parseFilter(filter), [filter]);
  const wanted = useMemo(() => wildcards(parsed.terms), [parsed]);
  const lookups = useQueries({
    queries: wanted.map(({ key, prefix }) => ({
      queryKey: ["listFacets", "wildcard", key, prefix, range],
      queryFn: ({ signal }: { readonly signal: AbortSignal }) =>
        call("listFacets", {
          query: { from: range.from, to: range.to, key, prefix, limit: mostWildcardValues },
          signal,
        }),
      staleTime: 30_000,
    })),
    combine: combineLookups,
  });
  return useMemo(() => {
    const terms = expandWildcards(
      parsed.terms,
      ({ key, prefix }) =>
        lookups.values[wanted.findIndex((w) => w.key === key && w.prefix === prefix)] ?? [],
    );
    return {
      filter: parsed,
      query: { from: range.from, to: range.to, ...filterParams(terms) },
      live: live && isRelative(range),
      ready: lookups.settled,
    };
  }, [parsed, wanted, lookups, range, live]);
}

interface Lookups {
  readonly settled: boolean;
  readonly values: readonly (readonly string[])[];
}

/** A lookup that failed counts as one without values: the page's own query shows what is wrong. */
function combineLookups(results: readonly UseQueryResult<Answer<"listFacets">>[]): Lookups {
  return {
    settled: results.every((result) => !result.isPending),
    values: results.map((result) => result.data?.items[0]?.values.map(({ value }) => value) ?? []),
  };
}
