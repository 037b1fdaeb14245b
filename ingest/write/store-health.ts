/**
 * Whether ClickHouse takes inserts. After an insert has failed for good, requests are refused at the
 * door with a retry hint, instead of waiting 8 s each, until a probe finds the store back.
 */
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import * as limits from "../limits.ts";
import type { IngestMetrics } from "../metrics.ts";

export interface StoreHealth extends AsyncDisposable {
  isDown(): boolean;
  /** An insert was given up; probing begins. */
  markDown(reason: string): void;
}

export function createStoreHealth(deps: {
  clickhouse: ClickHouseClient;
  clock: Clock;
  log: Log;
  metrics: IngestMetrics;
}): StoreHealth {
  const { clock, log, metrics } = deps;
  const abort = new AbortController();
  let probing: Promise<void> | undefined;
  metrics.storeUp.set(1);
  const probe = async (): Promise<void> => {
    const downAt = clock.monotonic();
    while (!abort.signal.aborted) {
      try {
        await clock.sleep(limits.storeProbeMs, abort.signal);
      } catch {
        return; // stopping
      }
      const answer = await ping(deps.clickhouse);
      if (answer === undefined) {
        metrics.storeUp.set(1);
        log.warn({ event: "store.back", downMs: Math.round(clock.monotonic() - downAt) });
        return;
      }
      log.debug({ event: "store.down", reason: answer });
    }
  };
  return {
    isDown: () => probing !== undefined,
    markDown: (reason) => {
      if (probing !== undefined || abort.signal.aborted) return;
      metrics.storeUp.set(0);
      log.error(
        { event: "store.down", reason },
        "ClickHouse takes no inserts; senders are told to wait",
      );
      probing = probe().finally(() => {
        probing = undefined;
      });
    },
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await probing;
    },
  };
}

/** Undefined when the store answers a query; a query, because a proxy can answer a ping. */
async function ping(clickhouse: ClickHouseClient): Promise<string | undefined> {
  try {
    const answer = await clickhouse.query({
      query: "SELECT 1",
      format: "TabSeparated",
      abort_signal: AbortSignal.timeout(limits.storeProbeMs * 4),
    });
    await answer.text();
    return undefined;
  } catch (error) {
    return errorMessage(error);
  }
}
