/**
 * Values to filter by, with the number of matching spans. A facet ignores its own filter, so that
 * the other values of a chosen facet stay in sight.
 */
import { facetKeys, Status } from "@axonize/core/contract/trace";
import { filterCondition, type FacetKey, type SpanFilter } from "./filter.sql.ts";
import type { Queries, TenantScope } from "./query.ts";

export interface Facet {
  key: FacetKey;
  values: { value: string; count: number }[];
  otherCount: number;
}

const valueSql: Record<FacetKey, string> = {
  service: "toString(service)",
  environment: "toString(environment)",
  model: "toString(model)",
  provider: "toString(provider)",
  engine: "toString(engine)",
  operation: "toString(operation)",
  status: `arrayElement([${Status.options.map((name) => `'${name}'`).join(", ")}], status + 1)`,
  namespace: "toString(namespace)",
  pod: "toString(pod)",
  node: "toString(node)",
  gpu: "toString(arrayJoin(gpu_devices))",
};

export async function readFacets(
  queries: Queries,
  scope: TenantScope,
  request: {
    keys: readonly FacetKey[];
    filter: SpanFilter;
    prefix: string | undefined;
    limit: number;
  },
): Promise<Facet[]> {
  // Facets whose own filter is not set share one condition and so one pass over the data.
  const isFiltered = (key: FacetKey): boolean => request.filter[key] !== undefined;
  const shared = request.keys.filter((key) => !isFiltered(key) && key !== "gpu");
  const alone = request.keys.filter((key) => isFiltered(key) || key === "gpu");
  const answers = await Promise.all([
    ...(shared.length > 0 ? [readTogether(queries, scope, shared, request)] : []),
    ...alone.map(async (key) => await readAlone(queries, scope, key, request)),
  ]);
  const rows = answers.flat();
  return facetKeys
    .filter((key) => request.keys.includes(key))
    .map((key) => {
      const own = rows.filter((row) => row.key === key);
      return {
        key,
        values: own.slice(0, request.limit).map(({ value, count }) => ({ value, count })),
        otherCount: Math.max(0, (own[0]?.distinct ?? 0) - request.limit),
      };
    });
}

interface FacetRecord {
  key: FacetKey;
  value: string;
  count: number;
  distinct: number;
}

async function readTogether(
  queries: Queries,
  scope: TenantScope,
  keys: readonly FacetKey[],
  request: { filter: SpanFilter; prefix: string | undefined; limit: number },
): Promise<FacetRecord[]> {
  const condition = filterCondition(request.filter);
  const columns = keys.map((key) => `${valueSql[key]} AS ${key}Value`).join(", ");
  const sets = keys.map((key) => `(${key}Value)`).join(", ");
  // grouping() is 0 for the one key that a row was grouped by.
  const which = keys.map((key, index) => `grouping(${key}Value) = 0, ${index}`).join(", ");
  const value = keys.map((key) => `grouping(${key}Value) = 0, ${key}Value`).join(", ");
  const answer = await queries.rows<{
    set: number;
    value: string;
    count: number;
    distinct: number;
  }>(
    scope,
    `SELECT set, value, count, count() OVER (PARTITION BY set) AS distinct FROM (
       SELECT multiIf(${which}, -1) AS set, multiIf(${value}, '') AS value, count() AS count
       FROM (SELECT ${columns} FROM {{spans}} WHERE ${condition.sql})
       GROUP BY GROUPING SETS (${sets})
     )
     WHERE value != '' AND ${prefixSql(request.prefix)}
     ORDER BY set, count DESC, value LIMIT {limit:UInt32} BY set`,
    { ...condition.params, ...prefixParams(request.prefix), limit: request.limit },
  );
  return answer.rows.flatMap(({ set, ...row }) => {
    const key = keys[set];
    return key === undefined ? [] : [{ key, ...row }];
  });
}

async function readAlone(
  queries: Queries,
  scope: TenantScope,
  key: FacetKey,
  request: { filter: SpanFilter; prefix: string | undefined; limit: number },
): Promise<FacetRecord[]> {
  const condition = filterCondition(request.filter, key);
  const answer = await queries.rows<Omit<FacetRecord, "key">>(
    scope,
    `SELECT value, count, count() OVER () AS distinct FROM (
       SELECT ${valueSql[key]} AS value, count() AS count
       FROM {{spans}} WHERE ${condition.sql} GROUP BY value
     )
     WHERE value != '' AND ${prefixSql(request.prefix)}
     ORDER BY count DESC, value LIMIT {limit:UInt32}`,
    { ...condition.params, ...prefixParams(request.prefix), limit: request.limit },
  );
  return answer.rows.map((row) => ({ key, ...row }));
}

const prefixSql = (prefix: string | undefined): string =>
  prefix === undefined || prefix === ""
    ? "1"
    : "startsWith(lowerUTF8(value), lowerUTF8({prefix:String}))";
const prefixParams = (prefix: string | undefined): Record<string, string> =>
  prefix === undefined || prefix === "" ? {} : { prefix };
