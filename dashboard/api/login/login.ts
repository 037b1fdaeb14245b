/**
 * Log-in of people: the routes `/auth/…`, who a request's session is, and what that lets it do.
 *
 * `login` goes to the provider, `callback` comes back with a session, `logout` ends it. A session never
 * weakens a key: a request with a key is that key's, whatever cookies the browser adds.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Express, Request, Response } from "express";
import type { Access, Grant, Refusal, TenantAccess } from "@axonize/core/runtime/access";
import type { Clock } from "@axonize/core/runtime/clock";
import { AxonizeError } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { errorFrom } from "../problems.ts";
import { createProvider, type ProviderOptions } from "./provider.ts";
import { hasAny, relevantGroups, rightsOf, type RoleMapping } from "./roles.ts";
import { createCookies, type Cookies, type Session } from "./session.ts";

export interface LoginOptions {
  readonly provider: ProviderOptions;
  /** On the button: "Log in with …". */
  readonly label: string;
  readonly roles: RoleMapping;
  readonly signingKey: string;
  readonly sessionMs: number;
}

export interface Login {
  readonly label: string;
  mount(app: Express): void;
  sessionOf(request: IncomingMessage): Session | undefined;
  /** As the person of that session. `tenantHint` chooses among several tenants. */
  grant(
    session: Session,
    request: { readonly method: string; readonly csrf: string | undefined },
    tenantHint: string | undefined,
  ): Grant | Refusal;
  /** Whose data the person may choose to read. */
  tenantsOf(session: Session): readonly TenantAccess[];
}

export function createLogin(
  deps: { access: Access; clock: Clock; log: Log },
  options: LoginOptions,
): Login {
  const { publicUrl } = options.provider;
  const base = new URL(`${publicUrl}/`);
  const cookies = createCookies(deps, {
    signingKey: options.signingKey,
    path: base.pathname,
    secure: base.protocol === "https:",
    sessionMs: options.sessionMs,
  });
  const pages = createPages(deps, options, cookies);
  const sessions = new WeakMap<IncomingMessage, Session>();
  const tenantsOf = (session: Session): TenantAccess[] => {
    const { admin, tenants } = rightsOf(session.groups, options.roles);
    return deps.access.tenants().filter(({ id }) => admin || tenants.has(id));
  };

  const end = (request: Request, response: Response): void => {
    const session = sessions.get(request);
    if (session !== undefined && !isCsrf(session, request.get("x-axonize-csrf"))) throw noCsrf();
    response.set("set-cookie", cookies.endSession());
    response.status(204).end();
  };

  return {
    label: options.label,
    mount: (app) => {
      app.use(async (request, _response, next) => {
        const session = await cookies.readSession(request.headers.cookie);
        if (session !== undefined) sessions.set(request, session);
        next();
      });
      app.get("/auth/login", onPage(deps.log, pages.begin));
      app.get("/auth/callback", onPage(deps.log, pages.finish));
      app.post("/auth/logout", end);
    },
    // A stream outlives the moment in which its cookie was read.
    sessionOf: (request) => {
      const session = sessions.get(request);
      return session === undefined || session.expiresMs <= deps.clock.now() ? undefined : session;
    },
    tenantsOf,
    grant: (session, request, tenantHint) => {
      const isReading = request.method === "GET" || request.method === "HEAD";
      if (!isReading && !isCsrf(session, request.csrf)) {
        return { code: "forbidden", message: noCsrf().message };
      }
      const { admin } = rightsOf(session.groups, options.roles);
      const mine = tenantsOf(session);
      const chosen = mine.find(({ id }) => id === tenantHint);
      if (tenantHint !== undefined && chosen === undefined) {
        return {
          code: "forbidden",
          message: `There is no tenant ${tenantHint.slice(0, 64)} that your groups may read.`,
        };
      }
      return {
        tenant: chosen ?? (admin ? undefined : mine[0]),
        scopes: new Set(admin ? (["Query", "Admin"] as const) : (["Query"] as const)),
        keyId: `session:${session.subject}`,
        admin,
      };
    },
  };
}

/** To the provider and back. */
function createPages(deps: { clock: Clock; log: Log }, options: LoginOptions, cookies: Cookies) {
  const provider = createProvider(deps, options.provider);
  const begin = async (request: Request, response: Response): Promise<void> => {
    const { url, attempt } = await provider.begin(nextFrom(request));
    response.set("set-cookie", await cookies.issueAttempt(attempt));
    response.redirect(303, url);
  };

  const finish = async (request: Request, response: Response): Promise<void> => {
    const attempt = await cookies.readAttempt(request.headers.cookie);
    if (attempt === undefined) {
      throw new AxonizeError(
        "forbidden",
        "This log-in did not begin in this browser, or took longer than ten minutes. Begin again.",
      );
    }
    const at = request.originalUrl.indexOf("?");
    const query = at < 0 ? "" : request.originalUrl.slice(at);
    const person = await provider.finish(query, attempt);
    const groups = relevantGroups(person.groups, options.roles);
    if (!hasAny(rightsOf(groups, options.roles))) {
      deps.log.warn({ event: "login.no_rights", subject: person.subject });
      throw new AxonizeError(
        "forbidden",
        `${person.name} is logged in, but none of the account's groups has a right here. An administrator maps groups to tenants with AXONIZE_OIDC_ROLES.`,
      );
    }
    const csrf = randomBytes(16).toString("base64url");
    const session = await cookies.issueSession({ ...person, groups, csrf });
    deps.log.info({ event: "login.done", subject: person.subject });
    response.set("set-cookie", [session, cookies.endAttempt()]);
    response.redirect(303, `${options.provider.publicUrl}${attempt.next}`);
  };
  return { begin, finish };
}

function isCsrf({ csrf }: Session, given: string | undefined): boolean {
  const [known, told] = [Buffer.from(csrf), Buffer.from(given ?? "")];
  return known.length > 0 && known.length === told.length && timingSafeEqual(known, told);
}

const noCsrf = (): AxonizeError =>
  new AxonizeError(
    "forbidden",
    "With a log-in, whatever changes something carries the header `x-axonize-csrf` with the token of `/api/v1/session`.",
  );

/** A path below the dashboard; anything that could lead elsewhere is the start. */
function nextFrom(request: Request): string {
  const at = request.originalUrl.indexOf("?");
  const next = new URLSearchParams(at < 0 ? "" : request.originalUrl.slice(at)).get("next") ?? "/";
  return /^\/(?![/\\])[^\\\r\n]{0,1000}$/.test(next) ? next : "/";
}

/** These routes are opened by people: a failure is a page with a way back. */
function onPage(log: Log, handler: (request: Request, response: Response) => Promise<void>) {
  return async (request: Request, response: Response): Promise<void> => {
    response.locals["route"] = "login";
    try {
      await handler(request, response);
    } catch (thrown) {
      const error = errorFrom(thrown);
      log.warn({ event: "login.failed", code: error.code, err: error.cause ?? error });
      const words =
        error.status >= 500 && error.code !== "unavailable" ? "Log-in failed." : error.message;
      response.status(error.status).type("html").send(page(words));
    }
  };
}

const page = (words: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Log-in, Axonize</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>body{font:15px/1.6 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}</style>
</head><body><h1>You are not logged in</h1><p>${escapeHtml(words)}</p>
<p><a href="login">Log in again</a> · <a href="../">Back to the dashboard</a></p></body></html>
`;

const escapeHtml = (words: string): string =>
  words.replaceAll(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
