/**
 * The embedded PostgreSQL's settings that bound it: it holds tenants, keys and usage (thousands of
 * rows), so it gets tens of megabytes. Connections: API 8, ingest 4, access 2, listeners 2, tests and
 * tools the rest.
 */
export const serverSettings: Readonly<Record<string, string>> = {
  max_connections: "60",
  shared_buffers: "16MB",
  work_mem: "4MB",
  maintenance_work_mem: "32MB",
  max_wal_size: "128MB",
  min_wal_size: "32MB",
  // Few, small processes: no parallel query, no replication, reads without I/O workers.
  max_worker_processes: "0",
  max_parallel_workers: "0",
  max_logical_replication_workers: "0",
  max_wal_senders: "0",
  wal_level: "minimal",
  io_method: "sync",
  autovacuum_max_workers: "1",
  jit: "off",
  huge_pages: "off",
  timezone: "UTC",
  log_timezone: "UTC",
  log_min_messages: "warning",
  unix_socket_directories: "",
  listen_addresses: "127.0.0.1",
};

/**
 * Where a cluster's processes come in: 10 ingest replicas (the chart's autoscaler) with 14 connections
 * each, 2 dashboards with 10 and 2 operators with 10 are 180; an idle backend takes 3 MB.
 */
export const remoteSettings: Readonly<Record<string, string>> = { max_connections: "200" };

/** initdb takes 1–3 s; a server that replays its log after a crash may take longer. */
export const initBudgetMs = 60_000;
export const readyBudgetMs = 60_000;
/** A fast shutdown ends sessions and writes a checkpoint; after this it is cut short. */
export const stopBudgetMs = 3_000;
/** The server's own log is started anew at each start once it is larger than this. */
export const serverLogBytes = 4 * 1024 * 1024;
