/**
 * Which devices a caller may see, and for which time each (design §10). Devices have no tenant.
 *
 * The admin, and the loopback tenant of a machine of one's own, see all. Another tenant sees a device
 * while its own pods held it: in a cluster, by the agents' allocations to namespaces that the operator
 * bound to the tenant, whatever its telemetry claims. On one machine nobody binds namespaces; there it
 * is the time in which its own spans ran on the device.
 */
import type { Sql } from "@axonize/core/runtime/postgres";
import type { Context } from "../mount.ts";
import { callsOfDevices, readSpanWindows } from "../queries/device-use.sql.ts";
import { readHeldWindows, type NamesOf, type Range } from "../queries/identity.sql.ts";
import type { DeviceScope, DeviceWindow, Queries } from "../queries/query.ts";

export interface SightDeps {
  queries: Queries;
  sql: Sql;
}

export interface Sight {
  scope: DeviceScope;
  seesAll: boolean;
  /** Whose names holders may have. */
  names: NamesOf;
  /** The caller's own model calls per device. */
  calls: ReadonlyMap<string, number>;
}

export type Mode = "standalone" | "cluster";

/** The admin acting for a tenant, and the one tenant of a machine of one's own. */
export function seesAllDevices(context: Context, mode: Mode): boolean {
  if (context.grant?.admin === true) return true;
  return mode === "standalone" && context.grant?.keyId === undefined;
}

export async function sightOf(
  deps: SightDeps,
  context: Context,
  options: Range & { mode: Mode },
): Promise<Sight> {
  const { mode, ...range } = options;
  const tenant = { tenant: context.tenant(), signal: context.signal, ...range };
  const seesAll = seesAllDevices(context, mode);
  const [devices, calls] = await Promise.all([
    seesAll ? ("all" as const) : readWindows(deps, context, options),
    callsOfDevices(deps.queries, tenant),
  ]);
  return {
    scope: { devices, signal: context.signal, ...range },
    seesAll,
    names: seesAll ? undefined : context.tenant().id,
    calls,
  };
}

/** For who does not see all. */
export async function readWindows(
  deps: SightDeps,
  context: Pick<Context, "tenant" | "signal">,
  options: Range & { mode: Mode },
): Promise<DeviceWindow[]> {
  const { mode, ...range } = options;
  const tenant = context.tenant();
  return mode === "cluster"
    ? await readHeldWindows(deps.sql, tenant.id, range)
    : await readSpanWindows(deps.queries, { tenant, signal: context.signal, ...range });
}
