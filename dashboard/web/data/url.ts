/**
 * The URL state as React sees it: read it, change a part of it, know the API parameters it means.
 */
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import { filterParams, parseFilter, type FilterParams, type ParsedFilter } from "./filter.ts";
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
}

export function useScope(state: UrlState): Scope {
  const { filter, range, live } = state;
  return useMemo(() => {
    const parsed = parseFilter(filter);
    return {
      filter: parsed,
      query: { from: range.from, to: range.to, ...filterParams(parsed.terms) },
      live: live && isRelative(range),
    };
  }, [filter, range, live]);
}
