/**
 * A dashboard over the real stores on a free port, for tests: two tenants with keys, the admin key,
 * and `get`/`send` that answer status, headers and parsed body.
 */
import { createAccess, generateKey, type Access } from "@axonize/core/runtime/access";
import { systemClock } from "@axonize/core/runtime/clock";
import { silentLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { createDashboard, type DashboardOptions } from "../../dashboard/api/app.ts";
import { useStores, type Stores } from "./stores.ts";

export const adminKey = "admin-key-for-tests-0123456789";

export interface TestTenant {
  id: string;
  num: number;
  key: string;
  headers: Record<string, string>;
}

export interface Reply<T = unknown> {
  status: number;
  headers: Headers;
  body: T;
}

export interface TestDashboard extends AsyncDisposable {
  url: string;
  stores: Stores;
  access: Access;
  a: TestTenant;
  b: TestTenant;
  admin: Record<string, string>;
  get<T>(path: string, headers?: Record<string, string>): Promise<Reply<T>>;
  send<T>(
    method: string,
    path: string,
    body: unknown,
    headers?: Record<string, string>,
  ): Promise<Reply<T>>;
}

export async function useDashboard(
  overrides: Partial<DashboardOptions> = {},
): Promise<TestDashboard> {
  const stack = new AsyncDisposableStack();
  const stores = stack.use(await useStores());
  const access = stack.use(
    await createAccess(
      { sql: stores.sql, clock: systemClock, log: silentLog },
      { adminKey, loopbackTenant: "default" },
    ),
  );
  const dashboard = stack.use(
    await createDashboard(
      {
        clickhouse: stores.clickhouse,
        sql: stores.sql,
        access,
        clock: systemClock,
        log: silentLog,
        registry: createRegistry(),
      },
      {
        listen: { host: "127.0.0.1", port: 0 },
        mode: "standalone",
        keylessLoopback: true,
        otlpGrpcEndpoint: "localhost:4317",
        otlpHttpEndpoint: "http://localhost:4318",
        webRoot: undefined,
        version: "0.0.0-test",
        validateResponses: true,
        ...overrides,
      },
    ),
  );
  const url = `http://127.0.0.1:${dashboard.address.port}`;
  const [a, b] = [await makeTenant(stores, "team-a"), await makeTenant(stores, "team-b")];
  await access.refresh();
  const send: TestDashboard["send"] = async <T>(
    method: string,
    path: string,
    body: unknown,
    headers: Record<string, string> = {},
  ) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined
        ? {}
        : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get("content-type") ?? "");
    // The caller names the shape; the server checks it against the contract (validateResponses).
    const parsed = (isJson && text !== "" ? JSON.parse(text) : text) as T;
    return { status: response.status, headers: response.headers, body: parsed };
  };
  return {
    url,
    stores,
    access,
    a,
    b,
    admin: { authorization: `Bearer ${adminKey}` },
    get: async <T>(path: string, headers?: Record<string, string>) =>
      await send<T>("GET", path, undefined, headers),
    send,
    [Symbol.asyncDispose]: async () => await stack.disposeAsync(),
  };
}

async function makeTenant({ sql }: Stores, id: string): Promise<TestTenant> {
  const made = generateKey();
  const [row] = await sql<{ num: number }[]>`
    INSERT INTO tenants (id, name) VALUES (${id}, ${id}) RETURNING num`;
  await sql`
    INSERT INTO api_keys (id, tenant_id, secret_sha256, scopes)
    VALUES (${made.id}, ${id}, ${made.secretSha256}, ${["Ingest", "Query"]})`;
  return {
    id,
    num: row?.num ?? 0,
    key: made.key,
    headers: { authorization: `Bearer ${made.key}` },
  };
}
