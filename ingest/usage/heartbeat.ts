/**
 * What this process tells the System page: a row in `component_status`, written every two seconds.
 * The dashboard reads it; processes of ours never call each other for it.
 */
import { every, type Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { Sql } from "@axonize/core/runtime/postgres";
import * as limits from "../limits.ts";
import { withinMs } from "../within.ts";

/** What was taken in and refused since the process started. */
export interface Tally {
  accepted(spans: number, bytes: number): void;
  rejected(reason: string, count: number): void;
  error(code: string, message: string): void;
}

/** The figures of `component_status.status` for the component `ingest`. */
export interface IngestStatus {
  spansPerSecond: number;
  bytesPerSecond: number;
  /** Age of the oldest request that is not acknowledged; null when there is none. */
  lagMs: number | null;
  lastSpanAt: string | null;
  accepted: number;
  rejects: Record<string, number>;
  openRows: number;
  inFlightBytes: number;
  errors: { time: string; code: string; message: string }[];
}

interface Gauges {
  lagMs(): number | undefined;
  openRows(): number;
  inFlightBytes(): number;
}

export function createTally(deps: { clock: Clock }) {
  const { clock } = deps;
  let spans = 0;
  let bytes = 0;
  let lastSpanMs: number | undefined;
  let before = { at: clock.monotonic(), spans: 0, bytes: 0 };
  const rejects = new Map<string, number>();
  const errors: IngestStatus["errors"] = [];
  const tally: Tally = {
    accepted: (moreSpans, moreBytes) => {
      spans += moreSpans;
      bytes += moreBytes;
      if (moreSpans > 0) lastSpanMs = clock.now();
    },
    rejected: (reason, count) => {
      rejects.set(reason, (rejects.get(reason) ?? 0) + count);
    },
    error: (code, message) => {
      // A group's requests all fail for one reason: once is enough.
      const [last] = errors;
      if (last?.code === code && last.message === message.slice(0, 500)) {
        last.time = new Date(clock.now()).toISOString();
        return;
      }
      errors.unshift({
        time: new Date(clock.now()).toISOString(),
        code,
        message: message.slice(0, 500),
      });
      errors.length = Math.min(errors.length, limits.heartbeatErrors);
    },
  };
  const status = (gauges: Gauges): IngestStatus => {
    const at = clock.monotonic();
    const seconds = Math.max(0.001, (at - before.at) / 1000);
    const rates = {
      spansPerSecond: (spans - before.spans) / seconds,
      bytesPerSecond: (bytes - before.bytes) / seconds,
    };
    before = { at, spans, bytes };
    return {
      ...rates,
      lagMs: gauges.lagMs() ?? null,
      lastSpanAt: lastSpanMs === undefined ? null : new Date(lastSpanMs).toISOString(),
      accepted: spans,
      rejects: Object.fromEntries(rejects),
      openRows: gauges.openRows(),
      inFlightBytes: gauges.inFlightBytes(),
      errors,
    };
  };
  return { tally, status };
}

export function startHeartbeat(
  deps: { sql: Sql; clock: Clock; log: Log },
  options: { instance: string; version: string; status: () => IngestStatus },
): AsyncDisposable {
  const { sql, clock, log } = deps;
  const abort = new AbortController();
  const write = async (): Promise<void> => {
    // Plain JSON: numbers, strings, arrays of them.
    const status = JSON.stringify(options.status());
    await sql`
      INSERT INTO component_status (component, instance, version, updated_at, status)
      VALUES ('ingest', ${options.instance}, ${options.version}, now(), ${status}::text::jsonb)
      ON CONFLICT (component, instance) DO UPDATE SET
        version = excluded.version, updated_at = excluded.updated_at, status = excluded.status`;
  };
  const warn = (error: unknown): void => {
    log.debug({ event: "heartbeat.late", reason: errorMessage(error) });
  };
  const loop = every({ clock, ms: limits.heartbeatMs, signal: abort.signal, onError: warn }, write);
  void write().catch(warn); // the first one at once; the loop goes on without it
  return {
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await loop;
      // A store that is away must not keep us from stopping.
      await withinMs(clock, limits.settleMs, write().catch(warn));
    },
  };
}
