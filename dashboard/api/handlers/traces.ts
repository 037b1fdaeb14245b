/**
 * The list of traces and its facets.
 */
import { facetKeys } from "@axonize/core/contract/trace";
import { formatCursor, parseCursor } from "../cursor.ts";
import type { Handlers } from "../mount.ts";
import { filterCondition } from "../queries/filter.sql.ts";
import { spansOf } from "../queries/found.ts";
import { readFacets } from "../queries/facets.sql.ts";
import type { Queries } from "../queries/query.ts";
import { readTraceRecords, traceRowFrom } from "../queries/trace-row.sql.ts";
import { findTraces } from "../queries/traces.sql.ts";
import { rangeFrom } from "../range.ts";

export function createTraceHandlers(deps: {
  queries: Queries;
}): Pick<Handlers, "listTraces" | "listFacets"> {
  const { queries } = deps;
  return {
    listTraces: async ({ query }, context) => {
      const { from, to, limit, cursor, sort, order, ...filter } = query;
      const scope = {
        tenant: context.tenant(),
        signal: context.signal,
        ...rangeFrom({ from, to }, context.nowMs),
      };
      const condition = filterCondition(filter);
      const after = parseCursor(cursor, { sort, order });
      const found = await findTraces(queries, scope, {
        condition,
        order: { sort, descending: order === "desc", after },
        count: limit + 1,
        nowMs: context.nowMs,
      });
      const page = found.slice(0, limit);
      const last = page.at(-1);
      if (last === undefined) return { items: [], nextCursor: null };
      const spans = spansOf(page);
      const rows = await readTraceRecords(
        queries,
        { ...scope, fromMs: spans.fromMs, toMs: spans.toMs },
        {
          from: spans.from,
          params: { ...condition.params, ...spans.params },
          matches: condition.sql,
        },
      );
      const byId = new Map(rows.map((row) => [row.traceId, row]));
      return {
        // A candidate whose matching span has since been replaced by one that does not match is left out.
        items: page.flatMap(({ traceId }) => {
          const row = byId.get(traceId);
          return row === undefined || row.matches === 0 ? [] : [traceRowFrom(row)];
        }),
        nextCursor:
          found.length > limit
            ? formatCursor({ sort, order, key: last.key, traceId: last.traceId })
            : null,
      };
    },

    listFacets: async ({ query }, context) => {
      const { from, to, key, prefix, limit, ...filter } = query;
      const keys = key === undefined ? facetKeys : Array.isArray(key) ? key : [key];
      const items = await readFacets(
        queries,
        {
          tenant: context.tenant(),
          signal: context.signal,
          ...rangeFrom({ from, to }, context.nowMs),
        },
        { keys, filter, prefix, limit },
      );
      return { items, nextCursor: null };
    },
  };
}
