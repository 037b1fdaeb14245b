/**
 * Who the caller is, and whether the process and its stores are there.
 */
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import { isRefusal, type Access, type TenantAccess } from "@axonize/core/runtime/access";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Sql } from "@axonize/core/runtime/postgres";
import { authenticate, isLocal } from "../caller.ts";
import * as limits from "../limits.ts";
import type { Login } from "../login/login.ts";
import type { Handlers } from "../mount.ts";

export function createSessionHandlers(
  deps: { access: Access; clickhouse: ClickHouseClient; sql: Sql; login?: Login | undefined },
  config: { mode: "standalone" | "cluster"; version: string; keylessLoopback: boolean },
): Pick<Handlers, "health" | "ready" | "getSession"> {
  return {
    health: () => ({ status: "ok" }),

    ready: async (_input, context) => {
      const [clickhouse, postgres] = await Promise.all([
        check(async () => {
          const ping = await deps.clickhouse.ping();
          if (!ping.success) throw ping.error;
        }),
        check(async () => await deps.sql`SELECT 1`),
      ]);
      const isReady = clickhouse.ok && postgres.ok;
      if (!isReady) context.setStatus(503);
      return { status: isReady ? "ready" : "notReady", checks: { clickhouse, postgres } };
    },

    getSession: (_input, context) => {
      const outcome = authenticate(context.request, {
        access: deps.access,
        login: deps.login,
        keylessLoopback: config.keylessLoopback,
      });
      const session = deps.login?.sessionOf(context.request);
      const keyless = deps.access.authenticate(undefined, {
        peerLoopback: config.keylessLoopback && isLocal(context.request),
      });
      const about = {
        mode: config.mode,
        version: config.version,
        keyNeeded: isRefusal(keyless),
        login: deps.login === undefined ? null : { label: deps.login.label },
        user: session === undefined ? null : { name: session.name },
        csrfToken: session?.csrf ?? null,
        tenants: session === undefined ? [] : namesOf(deps.login?.tenantsOf(session) ?? []),
      };
      if (isRefusal(outcome)) {
        return {
          ...about,
          authenticated: false,
          tenant: null,
          scopes: [],
          admin: false,
        };
      }
      const { tenant } = outcome;
      return {
        ...about,
        authenticated: true,
        tenant: tenant ? { id: tenant.id, name: tenant.name, capture: tenant.capture } : null,
        scopes: [...outcome.scopes],
        admin: outcome.admin,
      };
    },
  };
}

const namesOf = (tenants: readonly TenantAccess[]) =>
  tenants.slice(0, limits.sessionTenants).map(({ id, name }) => ({ id, name }));

async function check(probe: () => Promise<unknown>): Promise<{ ok: boolean; detail: string }> {
  try {
    await probe();
    return { ok: true, detail: "" };
  } catch (error) {
    // The answer of a readiness probe is the outcome itself. Anyone may ask, so no addresses in it.
    const message = errorMessage(error).replaceAll(/\d+\.\d+\.\d+\.\d+(:\d+)?/g, "its address");
    return { ok: false, detail: message.slice(0, 200) };
  }
}
