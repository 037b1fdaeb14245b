/**
 * Attribution composed: the view of what agents report, kept up with PostgreSQL; the attributor that the
 * decoder asks; the back-filling of spans that came before their binding.
 */
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import type { Registry } from "@axonize/core/runtime/metrics";
import type { Sql } from "@axonize/core/runtime/postgres";
import type { Attributor } from "../decode/devices.ts";
import { createAttributor, createWaitingList } from "./attributor.ts";
import { startBackfill } from "./backfill.ts";
import { createClaims } from "./claims.ts";
import { createFollower } from "./follow.ts";
import { createAttributeMetrics } from "./metrics.ts";
import type { ResolveOptions } from "./resolve.ts";
import { createIdentityView } from "./view.ts";

export interface Attribution extends AsyncDisposable {
  readonly attributor: Attributor;
  /** Resolves when what was committed before the call counts. */
  refresh(): Promise<void>;
}

interface Deps {
  readonly clickhouse: ClickHouseClient;
  readonly sql: Sql;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
  /** Spans of this tenant that began in these epoch hours were written again. */
  readonly touched: (tenantNum: number, hours: ReadonlySet<number>) => void;
}

export async function createAttribution(deps: Deps, options: ResolveOptions): Promise<Attribution> {
  const { clock, registry } = deps;
  const metrics = createAttributeMetrics(registry);
  const view = createIdentityView();
  const waiting = createWaitingList({ metrics });
  const monotonicMs = (): number => clock.monotonic();
  const claims = createClaims({ ...deps, metrics, monotonicMs });
  const parts = { ...deps, metrics, view, waiting, claims, monotonicMs };
  await using opening = new AsyncDisposableStack();
  const follower = opening.use(await createFollower(parts));
  opening.use(startBackfill(parts, options));
  const closing = opening.move();
  return {
    attributor: createAttributor(parts, options),
    refresh: async () => await follower.refresh(),
    [Symbol.asyncDispose]: async () => await closing.disposeAsync(),
  };
}
