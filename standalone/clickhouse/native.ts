/**
 * The engine's native addon, typed: the few calls that the front uses.
 *
 * The addon is taken from the platform's package directly. chdb's own Session keeps every closed
 * connection until no statement runs anywhere in the process, which under load is never.
 */
import { createRequire } from "node:module";

/** Opaque handle of one connection. */
export type NativeConnection = object & { readonly __connection: unique symbol };

export interface NativeResult {
  bytes: Uint8Array | undefined;
  rowsRead: number;
  bytesRead: number;
}

export interface Native {
  /** The first call opens the data directory; later ones with the same path share it. */
  CreateConnection(path: string, args?: readonly string[]): NativeConnection;
  /** Only when nothing runs on the connection: it is destroyed at once. */
  CloseConnection(connection: NativeConnection): void;
  /** Runs off the event loop. One statement per connection at a time. */
  QueryAsyncConnection(
    connection: NativeConnection,
    sql: string,
    format: string,
  ): Promise<NativeResult>;
}

const packages: Readonly<Record<string, string>> = {
  "linux-x64": "@chdb/lib-linux-x64-gnu",
  "linux-arm64": "@chdb/lib-linux-arm64-gnu",
  "darwin-x64": "@chdb/lib-darwin-x64",
  "darwin-arm64": "@chdb/lib-darwin-arm64",
};

/** Why the engine cannot be loaded here, or undefined if its package is installed. */
export function missingEngine(platform: string, arch: string): string | undefined {
  const name = packages[`${platform}-${arch}`];
  if (name === undefined) {
    return `The embedded ClickHouse has no build for ${platform} on ${arch}; it runs on Linux (glibc) and macOS, x64 and arm64. Set AXONIZE_CLICKHOUSE_URL to a ClickHouse server instead.`;
  }
  try {
    engineRequire().resolve(name);
    return undefined;
  } catch {
    // resolve throws for exactly one reason: the package is not there.
    return `The embedded ClickHouse (package ${name}) is not installed. Run \`npm ci\` without --omit=optional on this machine, or set AXONIZE_CLICKHOUSE_URL to a ClickHouse server.`;
  }
}

export function loadNative(): Native {
  const name = packages[`${process.platform}-${process.arch}`];
  if (name === undefined) throw new Error(`no engine for ${process.platform}-${process.arch}`);
  // The addon has no types of its own; the interface above is checked by this folder's tests.
  return engineRequire()(name) as Native;
}

/** Resolves from chdb's folder: the platform packages are its dependencies, not ours. */
function engineRequire(): NodeJS.Require {
  return createRequire(createRequire(import.meta.url).resolve("chdb"));
}
