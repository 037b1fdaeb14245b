/**
 * Statements on the embedded engine: a fresh connection for each, so that no setting, parameter or
 * temporary table of one request is seen by the next (opening one takes 0.5 ms and no memory).
 *
 * A statement is named by its query id in `log_comment`, which is how `kill` finds it: the library
 * gives statements ids of its own.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { queryMemoryBytes, serverMemoryBytes, spillBytes, statementBytes } from "./limits.ts";
import { loadNative, type Native, type NativeConnection } from "./native.ts";
import { quote, quoteName } from "./statement.ts";

export interface Run {
  sql: string;
  /** For results that are returned, not written to a file. */
  format: string;
  database: string | undefined;
  settings: ReadonlyMap<string, string>;
  /** Server side parameters `{name:Type}`, in ClickHouse's escaped form. */
  parameters: ReadonlyMap<string, string>;
  queryId: string;
  signal: AbortSignal | undefined;
}

export interface RunResult {
  bytes: Uint8Array;
  rows: number;
  bytesRead: number;
}

export interface Engine {
  readonly version: string;
  run(run: Run): Promise<RunResult>;
  close(): void;
}

/** What every statement starts with; a request's own settings come after and win. */
const defaults: readonly (readonly [string, string])[] = [
  // What a server has and the library has not.
  ["implicit_select", "0"],
  ["allow_introspection_functions", "0"],
  // Inserts are synchronous and atomic unless the request says otherwise.
  ["async_insert", "0"],
  ["max_query_size", String(statementBytes)],
  ["max_memory_usage", String(queryMemoryBytes)],
  ["max_bytes_before_external_group_by", String(spillBytes)],
  ["max_bytes_before_external_sort", String(spillBytes)],
  // One insert is one block and so one part; two inserting threads would only cost memory.
  ["max_insert_threads", "1"],
  // Compiled expressions pay off in seconds-long scans only and cost memory for each shape.
  ["compile_expressions", "0"],
  ["compile_aggregate_expressions", "0"],
  ["compile_sort_description", "0"],
];

export async function openEngine(options: { path: string; threads: number }): Promise<Engine> {
  mkdirSync(options.path, { recursive: true, mode: 0o700 });
  const configFile = join(options.path, "engine.xml");
  writeFileSync(configFile, engineConfig(), { mode: 0o600 });
  const native = loadNative();
  const control = native.CreateConnection(options.path, [`--config-file=${configFile}`]);
  const baseline = [...defaults, ["max_threads", String(options.threads)] as const];
  const version = textOf(await native.QueryAsyncConnection(control, "SELECT version()", "TSV"));
  // Statements on the control connection (only kills) run one after the other.
  let controlTail: Promise<unknown> = Promise.resolve();
  const onControl = async (sql: string): Promise<void> => {
    const next = (async () => {
      await controlTail;
      await native.QueryAsyncConnection(control, sql, "Null");
    })();
    controlTail = next.catch(() => undefined); // the caller sees the failure through `next`
    await next;
  };
  return {
    version: version.trim(),
    run: async (run) =>
      await runStatement({ native, path: options.path, baseline, onControl }, run),
    close: () => native.CloseConnection(control),
  };
}

interface Deps {
  native: Native;
  path: string;
  baseline: readonly (readonly [string, string])[];
  onControl(sql: string): Promise<void>;
}

async function runStatement(deps: Deps, run: Run): Promise<RunResult> {
  const { native } = deps;
  run.signal?.throwIfAborted();
  const connection = native.CreateConnection(deps.path);
  try {
    await prepare(native, connection, deps.baseline, run);
    run.signal?.throwIfAborted();
    const finished = native.QueryAsyncConnection(connection, run.sql, run.format);
    const stopKilling = killOnAbort(deps, run);
    try {
      const result = await finished;
      return {
        bytes: result.bytes ?? new Uint8Array(0),
        rows: result.rowsRead,
        bytesRead: result.bytesRead,
      };
    } finally {
      stopKilling();
    }
  } finally {
    native.CloseConnection(connection);
  }
}

/** Below the engine's own limit of 256 KiB for a statement; longer ones come after it was raised. */
const parametersWithSettingsChars = 100_000;

async function prepare(
  native: Native,
  connection: NativeConnection,
  baseline: Deps["baseline"],
  run: Run,
): Promise<void> {
  const settings = new Map<string, string>([...baseline, ...run.settings]);
  settings.set("log_comment", run.queryId);
  const assignments = [...settings].map(([name, value]) => `${settingName(name)}=${quote(value)}`);
  const parameters = [...run.parameters].map(
    ([name, value]) => `param_${settingName(name)}=${quote(value)}`,
  );
  const use = run.database === undefined ? "" : `USE ${quoteName(run.database)}; `;
  const batches = parameters.join().length < parametersWithSettingsChars ? [] : [parameters];
  if (batches.length === 0) assignments.push(...parameters);
  await native.QueryAsyncConnection(connection, `${use}SET ${assignments.join(", ")}`, "Null");
  for (const batch of batches) {
    await native.QueryAsyncConnection(connection, `SET ${batch.join(", ")}`, "Null");
  }
}

/** Names reach SQL unquoted, so only names that could be one are let through. */
function settingName(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_.]*$/.test(name)) return name;
  throw new Error(
    `Code: 115. DB::Exception: Setting or parameter name ${JSON.stringify(name)} is not an identifier. (UNKNOWN_SETTING)`,
  );
}

/** A kill that comes before the engine has registered the statement finds nothing: repeated. */
function killOnAbort(deps: Deps, run: Run): () => void {
  const { signal } = run;
  if (signal === undefined) return () => undefined;
  let timer: NodeJS.Timeout | undefined;
  const kill = (): void => {
    deps
      .onControl(`KILL QUERY WHERE Settings['log_comment'] = ${quote(run.queryId)} ASYNC`)
      .catch(() => undefined) // nothing to kill any more, or killed again in 100 ms
      .finally(() => {
        if (timer !== undefined) timer = setTimeout(kill, 100);
      });
  };
  const onAbort = (): void => {
    timer = setTimeout(kill, 0);
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  return () => {
    signal.removeEventListener("abort", onAbort);
    clearTimeout(timer);
    timer = undefined;
  };
}

const textOf = (result: { bytes: Uint8Array | undefined }): string =>
  Buffer.from(result.bytes ?? []).toString();

/** Caches far below a server's defaults (5 GiB each); no log tables are configured, so none exist. */
function engineConfig(): string {
  const mebibytes = (count: number): number => count * 1024 * 1024;
  const server: Readonly<Record<string, number | string>> = {
    max_server_memory_usage: serverMemoryBytes,
    mark_cache_size: mebibytes(48),
    index_mark_cache_size: mebibytes(16),
    primary_index_cache_size: mebibytes(32),
    uncompressed_cache_size: 0,
    query_condition_cache_size: mebibytes(8),
    compiled_expression_cache_size: mebibytes(8),
    mmap_cache_size: 64,
    max_thread_pool_size: 400,
    max_thread_pool_free_size: 8,
    max_active_parts_loading_thread_pool_size: 4,
    max_parts_cleaning_thread_pool_size: 2,
    background_pool_size: 2,
    background_merges_mutations_concurrency_ratio: 2,
    background_schedule_pool_size: 4,
    background_common_pool_size: 2,
    background_move_pool_size: 1,
    background_fetches_pool_size: 1,
    timezone: "UTC",
  };
  const lines = Object.entries(server).map(([name, value]) => `  <${name}>${value}</${name}>`);
  return `<clickhouse>\n${lines.join("\n")}\n</clickhouse>\n`;
}
