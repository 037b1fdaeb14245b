/**
 * The ClickHouse client, the same for the embedded engine and for a real server.
 *
 * Reads go through `@clickhouse/client`; ingest's binary inserts go through `exec` with a Native body.
 */
import { ClickHouseLogLevel, createClient, type ClickHouseClient } from "@clickhouse/client";
import { Agent } from "node:http";

export type { ClickHouseClient } from "@clickhouse/client";

/** `url`: `http(s)://user:password@host:port/database`. Every query carries its own limits. */
export function createClickHouse(options: {
  url: string;
  application: string;
  requestTimeoutMs?: number;
  maxConnections?: number;
}): ClickHouseClient {
  const url = new URL(options.url);
  const database = decodeURIComponent(url.pathname.replace(/^\//, "")) || "default";
  return createClient({
    url: `${url.protocol}//${url.host}`,
    ...(url.username === "" ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === "" ? {} : { password: decodeURIComponent(url.password) }),
    database,
    application: options.application,
    request_timeout: options.requestTimeoutMs ?? 30_000,
    max_open_connections: options.maxConnections ?? 16,
    keep_alive: { enabled: true },
    // Failures are thrown; the client would also print them to the console.
    log: { level: ClickHouseLogLevel.OFF },
    clickhouse_settings: { date_time_input_format: "best_effort" },
    ...(url.protocol === "http:" ? { http_agent: new Agent({ keepAlive: true }) } : {}),
  });
}
