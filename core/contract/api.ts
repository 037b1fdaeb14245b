/**
 * The whole HTTP API on one page: route × schemas. OpenAPI, docs/api.md, the Express mount and the
 * browser's types all come from here.
 */
import type * as z from "zod";
import * as analytics from "./analytics.ts";
import * as gpu from "./gpu.ts";
import { routes, type Route } from "./routes.ts";
import * as system from "./system.ts";
import * as tenant from "./tenant.ts";
import * as trace from "./trace.ts";

export interface Endpoint extends Route {
  readonly summary: string;
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodObject;
  /** Absent: the answer has no body (204). */
  readonly response?: z.ZodType;
  readonly status: number;
}

const endpoint = <const R extends Route, const D extends Omit<Endpoint, keyof Route | "status">>(
  route: R,
  definition: D,
  status = 200,
) => ({ ...route, ...definition, status });

export const api = {
  health: endpoint(routes.health, { summary: "The process is alive.", response: system.Health }),
  ready: endpoint(routes.ready, { summary: "The stores are reachable.", response: system.Ready }),
  getSession: endpoint(routes.getSession, {
    summary: "Who the caller is, and whether a key is needed.",
    response: system.Session,
  }),
  listTraces: endpoint(routes.listTraces, {
    summary: "List traces, newest first, filtered and paginated.",
    query: trace.TraceListQuery,
    response: trace.TraceList,
  }),
  getTrace: endpoint(routes.getTrace, {
    summary: "One trace with its spans.",
    params: trace.TraceParams,
    query: trace.TraceQuery,
    response: trace.Trace,
  }),
  getSpan: endpoint(routes.getSpan, {
    summary: "One span with attributes, events, links and captured content.",
    params: trace.SpanParams,
    response: trace.SpanDetail,
  }),
  getTraceGpu: endpoint(routes.getTraceGpu, {
    summary: "What the trace's GPUs did while it ran.",
    params: gpu.TraceGpuParams,
    response: gpu.TraceGpuLanes,
  }),
  listFacets: endpoint(routes.listFacets, {
    summary: "Values to filter by, with counts under the current filter.",
    query: trace.FacetQuery,
    response: trace.FacetList,
  }),
  listGpus: endpoint(routes.listGpus, {
    summary: "GPUs and MIG slices that reported in the range.",
    query: gpu.GpuQuery,
    response: gpu.GpuList,
  }),
  getGpu: endpoint(routes.getGpu, {
    summary: "One device.",
    params: gpu.GpuParams,
    query: gpu.GpuQuery,
    response: gpu.Gpu,
  }),
  getGpuMetrics: endpoint(routes.getGpuMetrics, {
    summary: "Time series and events of one device.",
    params: gpu.GpuParams,
    query: gpu.GpuMetricsQuery,
    response: gpu.GpuMetrics,
  }),
  getOverview: endpoint(routes.getOverview, {
    summary: "Rates, errors, latency and TTFT percentiles, tokens; by model and service; change.",
    query: analytics.OverviewQuery,
    response: analytics.Overview,
  }),
  getHeatmap: endpoint(routes.getHeatmap, {
    summary: "Latency over time as a log-scaled histogram per time step.",
    query: analytics.HeatmapQuery,
    response: analytics.Heatmap,
  }),
  getStart: endpoint(routes.getStart, {
    summary: "Where to send, and whether anything has arrived.",
    response: system.Start,
  }),
  getSystem: endpoint(routes.getSystem, {
    summary: "Axonize's own health.",
    response: system.System,
  }),
  listTenants: endpoint(routes.listTenants, { summary: "Tenants.", response: tenant.TenantList }),
  createTenant: endpoint(
    routes.createTenant,
    { summary: "Create a tenant.", body: tenant.CreateTenant, response: tenant.Tenant },
    201,
  ),
  updateTenant: endpoint(routes.updateTenant, {
    summary: "Change a tenant's name, capture, limits, retention.",
    params: tenant.TenantParams,
    body: tenant.UpdateTenant,
    response: tenant.Tenant,
  }),
  listKeys: endpoint(routes.listKeys, {
    summary: "A tenant's keys, never their secrets.",
    params: tenant.TenantParams,
    response: tenant.KeyList,
  }),
  createKey: endpoint(
    routes.createKey,
    {
      summary: "Create a key; the answer shows it once.",
      params: tenant.TenantParams,
      body: tenant.CreateKey,
      response: tenant.CreatedKey,
    },
    201,
  ),
  revokeKey: endpoint(
    routes.revokeKey,
    { summary: "Revoke a key; every replica refuses it within 5 s.", params: tenant.KeyParams },
    204,
  ),
  getUsage: endpoint(routes.getUsage, {
    summary: "What a tenant used, per hour and in all.",
    params: tenant.TenantParams,
    query: tenant.UsageQuery,
    response: tenant.Usage,
  }),
} as const satisfies Record<keyof typeof routes, Endpoint>;
