/**
 * Method and path of every HTTP endpoint, without schemas.
 *
 * The browser imports this file at run time, so it stays free of zod (90 KiB gzipped).
 * `api.ts` attaches the schemas; a path exists here exactly once. The paths of design §9 are fixed.
 */
export type HttpMethod = "GET" | "POST" | "PATCH" | "DELETE";

/** `query` needs a key with scope Query, `admin` the admin key or scope Admin, `none` nothing. */
export type RouteAuth = "none" | "query" | "admin";

export interface Route {
  readonly method: HttpMethod;
  readonly path: string;
  readonly auth: RouteAuth;
}

export const routes = {
  health: { method: "GET", path: "/healthz", auth: "none" },
  ready: { method: "GET", path: "/readyz", auth: "none" },
  getSession: { method: "GET", path: "/api/v1/session", auth: "none" },
  listTraces: { method: "GET", path: "/api/v1/traces", auth: "query" },
  getTrace: { method: "GET", path: "/api/v1/traces/{traceId}", auth: "query" },
  getSpan: { method: "GET", path: "/api/v1/traces/{traceId}/spans/{spanId}", auth: "query" },
  getTraceGpu: { method: "GET", path: "/api/v1/traces/{traceId}/gpu", auth: "query" },
  listFacets: { method: "GET", path: "/api/v1/facets", auth: "query" },
  listGpus: { method: "GET", path: "/api/v1/gpus", auth: "query" },
  getGpu: { method: "GET", path: "/api/v1/gpus/{uuid}", auth: "query" },
  getGpuMetrics: { method: "GET", path: "/api/v1/gpus/{uuid}/metrics", auth: "query" },
  getOverview: { method: "GET", path: "/api/v1/analytics/overview", auth: "query" },
  getHeatmap: { method: "GET", path: "/api/v1/analytics/heatmap", auth: "query" },
  getStart: { method: "GET", path: "/api/v1/start", auth: "query" },
  getSystem: { method: "GET", path: "/api/v1/system", auth: "query" },
  listTenants: { method: "GET", path: "/api/v1/admin/tenants", auth: "admin" },
  createTenant: { method: "POST", path: "/api/v1/admin/tenants", auth: "admin" },
  updateTenant: { method: "PATCH", path: "/api/v1/admin/tenants/{tenantId}", auth: "admin" },
  listKeys: { method: "GET", path: "/api/v1/admin/tenants/{tenantId}/keys", auth: "admin" },
  createKey: { method: "POST", path: "/api/v1/admin/tenants/{tenantId}/keys", auth: "admin" },
  revokeKey: {
    method: "DELETE",
    path: "/api/v1/admin/tenants/{tenantId}/keys/{prefix}",
    auth: "admin",
  },
  getUsage: { method: "GET", path: "/api/v1/admin/tenants/{tenantId}/usage", auth: "admin" },
} as const satisfies Record<string, Route>;

export type RouteName = keyof typeof routes;

/** Server-sent events: one `span` event per newly visible request. Not in `routes`: it answers a stream, not JSON. */
export const startEventsPath = "/api/v1/start/events";
