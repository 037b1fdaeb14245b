/**
 * React hooks over the API. One query key per (endpoint, input); old data stay visible while new
 * ones load; what is live refetches while the tab is visible.
 */
import {
  keepPreviousData,
  QueryClient,
  useQuery,
  useQueryClient,
  type UseQueryResult,
} from "@tanstack/react-query";
import { useCallback, useSyncExternalStore } from "react";
import type { RouteName } from "@axonize/core/contract/routes";
import { ApiError, call, type Answer, type CallInput } from "./client.ts";
import { keys } from "./keys.ts";
import type { Store } from "./store.ts";

export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 1_000,
        gcTime: 120_000,
        refetchOnWindowFocus: true,
        retry: (attempt, error) => attempt < 2 && isTransient(error),
        retryDelay: (attempt) => Math.min(300 * 2 ** attempt, 4_000),
      },
    },
  });
}

function isTransient(error: unknown): boolean {
  return error instanceof ApiError && [0, 502, 503, 504].includes(error.problem.status);
}

export interface EndpointOptions {
  readonly enabled?: boolean;
  readonly everyMs?: number | undefined;
  /** Show the answer to the input before while this one loads. Default true. */
  readonly keep?: boolean;
}

export function useEndpoint<N extends RouteName>(
  name: N,
  input: Omit<CallInput, "signal" | "body"> = {},
  options: EndpointOptions = {},
): UseQueryResult<Answer<N>> {
  const { query, tenant } = useStore(keys);
  return useQuery({
    queryKey: [name, input, query, tenant],
    queryFn: ({ signal }) => call(name, { ...input, signal }),
    enabled: options.enabled ?? true,
    refetchInterval: options.everyMs ?? false,
    ...(options.keep === false ? {} : { placeholderData: keepPreviousData }),
  }) as UseQueryResult<Answer<N>>; // Safe: keepPreviousData widens to the same type.
}

export function useStore<T>(store: Store<T>): T {
  return useSyncExternalStore(store.subscribe, store.get);
}

/** Refetches what is on screen, for retry buttons and after changes. */
export function useRefresh(): (name?: RouteName) => void {
  const client = useQueryClient();
  return useCallback(
    (name) => {
      void client.invalidateQueries(name === undefined ? {} : { queryKey: [name] });
    },
    [client],
  );
}
