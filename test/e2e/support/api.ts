/**
 * The API as a client sees it, every answer checked against the contract's schema.
 */
import { api, type Endpoint } from "@axonize/core/contract/api";
import { FacetList, SpanDetail, Trace, TraceList } from "@axonize/core/contract/trace";
import { Overview } from "@axonize/core/contract/analytics";
import { GpuList, GpuMetrics, TraceGpuLanes } from "@axonize/core/contract/gpu";
import type * as z from "zod";

export type Query = Record<string, string | readonly string[]>;

export interface ApiClient {
  traces(query?: Query): Promise<z.infer<typeof TraceList>>;
  trace(traceId: string, query?: Query): Promise<z.infer<typeof Trace>>;
  span(traceId: string, spanId: string): Promise<z.infer<typeof SpanDetail>>;
  facets(query?: Query): Promise<z.infer<typeof FacetList>>;
  overview(query?: Query): Promise<z.infer<typeof Overview>>;
  gpus(query?: Query): Promise<z.infer<typeof GpuList>>;
  gpuMetrics(uuid: string, query?: Query): Promise<z.infer<typeof GpuMetrics>>;
  traceGpus(traceId: string): Promise<z.infer<typeof TraceGpuLanes>>;
}

export function createApiClient(base: string): ApiClient {
  const get = async <T extends z.ZodType>(
    endpoint: Endpoint,
    schema: T,
    params: Record<string, string>,
    query: Query = {},
  ): Promise<z.infer<T>> => {
    const path = endpoint.path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
      encodeURIComponent(params[name] ?? ""),
    );
    const search = new URLSearchParams();
    for (const [key, value] of Object.entries(query)) {
      for (const one of typeof value === "string" ? [value] : value) search.append(key, one);
    }
    const response = await fetch(`${base}${path}?${search.toString()}`);
    const text = await response.text();
    if (!response.ok) throw new Error(`GET ${path} answered ${response.status}: ${text}`);
    return schema.parse(JSON.parse(text));
  };
  return {
    traces: async (query) => await get(api.listTraces, TraceList, {}, query),
    trace: async (traceId, query) => await get(api.getTrace, Trace, { traceId }, query),
    span: async (traceId, spanId) => await get(api.getSpan, SpanDetail, { traceId, spanId }),
    facets: async (query) => await get(api.listFacets, FacetList, {}, query),
    overview: async (query) => await get(api.getOverview, Overview, {}, query),
    gpus: async (query) => await get(api.listGpus, GpuList, {}, query),
    gpuMetrics: async (uuid, query) => await get(api.getGpuMetrics, GpuMetrics, { uuid }, query),
    traceGpus: async (traceId) => await get(api.getTraceGpu, TraceGpuLanes, { traceId }),
  };
}
