/**
 * Who sends a request: its credential, its peer, and whether loopback may do without a key.
 *
 * Keyless access is for programs on this machine and for pages that this server sent. A page from
 * elsewhere in the same browser is on loopback too, so the Host must be a loopback name (a rebound
 * DNS name is not), no foreign Origin may ask, and a proxy's forwarded requests are not local.
 */
import type { IncomingMessage } from "node:http";
import type { RouteAuth } from "@axonize/core/contract/routes";
import {
  isRefusal,
  type Access,
  type Grant,
  type Refusal,
  type TenantAccess,
} from "@axonize/core/runtime/access";
import { AxonizeError } from "@axonize/core/runtime/error";
import type { Login } from "./login/login.ts";

export interface Caller {
  grant: Grant;
  /** Whose data the request is about; absent on routes that are about none. */
  tenant: TenantAccess | undefined;
}

export interface CallerDeps {
  access: Access;
  keylessLoopback: boolean;
  /** Absent where people do not log in. */
  login?: Login | undefined;
}

/** A key first; then the session of a person; then loopback. */
export function authenticate(request: IncomingMessage, deps: CallerDeps): Grant | Refusal {
  const tenantHint = header(request, "x-axonize-tenant");
  const credential = credentialOf(request);
  const session = credential === undefined ? deps.login?.sessionOf(request) : undefined;
  if (session !== undefined && deps.login !== undefined) {
    const { method = "GET" } = request;
    return deps.login.grant(
      session,
      { method, csrf: header(request, "x-axonize-csrf") },
      tenantHint,
    );
  }
  return deps.access.authenticate(credential, {
    peerLoopback: deps.keylessLoopback && isLocal(request),
    ...(tenantHint === undefined ? {} : { tenantHint }),
  });
}

/** Throws what the route's rule demands and the caller has not. */
export function authorize(outcome: Grant | Refusal, auth: RouteAuth): Caller {
  if (isRefusal(outcome)) throw new AxonizeError(outcome.code, outcome.message);
  if (auth === "admin") {
    if (!outcome.admin) throw noAdmin(outcome);
    return { grant: outcome, tenant: outcome.tenant };
  }
  if (outcome.tenant === undefined) {
    throw new AxonizeError(
      "forbidden",
      "The admin key reads a tenant's data when `x-axonize-tenant: <id>` says which.",
    );
  }
  if (!outcome.scopes.has("Query")) {
    throw new AxonizeError("forbidden", "This key has no scope Query.");
  }
  return { grant: outcome, tenant: outcome.tenant };
}

/** Loopback without a key has to show one; a key without the scope has the wrong one. */
function noAdmin(grant: Grant): AxonizeError {
  return grant.keyId === undefined
    ? new AxonizeError("unauthenticated", "The admin routes need the admin key, on loopback too.")
    : new AxonizeError("forbidden", "This key may not administer tenants; use the admin key.");
}

function credentialOf(request: IncomingMessage): string | undefined {
  const own = header(request, "x-axonize-key");
  if (own !== undefined) return own;
  const authorization = header(request, "authorization");
  if (authorization === undefined) return undefined;
  const bearer = /^bearer\s+(.+)$/i.exec(authorization)?.[1];
  // Another scheme is a credential, too, and a wrong one: it must not pass as keyless.
  return (bearer ?? authorization).trim();
}

export function isLocal(request: IncomingMessage): boolean {
  if (!isLoopbackAddress(request.socket.remoteAddress ?? "")) return false;
  if (isForwarded(request)) return false;
  if (!isLoopbackHost(header(request, "host") ?? "")) return false;
  const origin = header(request, "origin");
  if (origin !== undefined && !isLoopbackOrigin(origin)) return false;
  return header(request, "sec-fetch-site") !== "cross-site";
}

/** Through a proxy, as every Ingress and gateway says of what it passes on. */
export const isForwarded = (request: IncomingMessage): boolean =>
  header(request, "x-forwarded-for") !== undefined || header(request, "forwarded") !== undefined;

const isLoopbackAddress = (address: string): boolean =>
  address === "::1" || /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(address);

function isLoopbackHost(host: string): boolean {
  return /^(localhost|[\w-]+\.localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i.test(host);
}

function isLoopbackOrigin(origin: string): boolean {
  return isLoopbackHost(origin.replace(/^https?:\/\//i, ""));
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  const first = Array.isArray(value) ? value[0] : value;
  return first === undefined || first === "" ? undefined : first;
}
