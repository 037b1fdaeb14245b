/**
 * What a page shows of a query: the problem with a way to try again, what stands for it while it
 * loads, or its content. Old data stay while a refresh fails.
 */
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { ProblemView } from "./State.tsx";

export function Answered<T>(props: {
  readonly query: UseQueryResult<T>;
  /** What could not be loaded, as a sentence. */
  readonly what: string;
  readonly loading: ReactNode;
  readonly children: (data: T) => ReactNode;
}): ReactNode {
  const { query } = props;
  if (query.data !== undefined) return props.children(query.data);
  if (!query.isError) return props.loading;
  return (
    <ProblemView
      what={props.what}
      error={query.error}
      onRetry={() => {
        void query.refetch();
      }}
    />
  );
}
