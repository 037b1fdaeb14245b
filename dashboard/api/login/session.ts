/**
 * Sessions of people who logged in: a signed cookie, nothing on the server. It holds who they are and
 * their groups; what those give is decided at each request. A changed signing key ends all sessions.
 *
 * Also the cookie of one attempt to log in, which ties the provider's answer to this browser.
 */
import { jwtVerify, SignJWT, type JWTPayload } from "jose";
import type { Clock } from "@axonize/core/runtime/clock";
import { AxonizeError } from "@axonize/core/runtime/error";
import * as limits from "./limits.ts";

export interface Session {
  /** The provider's id of the person. */
  readonly subject: string;
  readonly name: string;
  readonly groups: readonly string[];
  /** Sent back as `x-axonize-csrf` with everything that changes something. */
  readonly csrf: string;
  /** Epoch ms. */
  readonly expiresMs: number;
}

export interface Attempt {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  /** Where to go on, below the dashboard's own address. */
  readonly next: string;
}

export interface CookieOptions {
  /** At least 32 characters, the same in all replicas. */
  readonly signingKey: string;
  /** `/`, or the prefix under which the dashboard is served. */
  readonly path: string;
  /** Only over https. */
  readonly secure: boolean;
  readonly sessionMs: number;
}

export interface Cookies {
  /** Throws `forbidden` where it does not fit a cookie. */
  issueSession(session: Omit<Session, "expiresMs">): Promise<string>;
  /** undefined: none, expired, or not ours. */
  readSession(header: string | undefined): Promise<Session | undefined>;
  issueAttempt(attempt: Attempt): Promise<string>;
  readAttempt(header: string | undefined): Promise<Attempt | undefined>;
  endSession(): string;
  endAttempt(): string;
}

const names = { session: "axonize_session", attempt: "axonize_login" } as const;
type Kind = keyof typeof names;
const issuer = "axonize-dashboard";

export function createCookies(deps: { clock: Clock }, options: CookieOptions): Cookies {
  const key = new TextEncoder().encode(options.signingKey);
  const lives: Record<Kind, number> = { session: options.sessionMs, attempt: limits.attemptMs };

  const cookie = (kind: Kind, value: string, ms: number): string =>
    [
      `${names[kind]}=${value}`,
      `Path=${options.path}`,
      `Max-Age=${Math.floor(ms / 1000)}`,
      "HttpOnly",
      // Lax: the provider's redirect back is a navigation from another site and must carry it.
      "SameSite=Lax",
      ...(options.secure ? ["Secure"] : []),
    ].join("; ");

  const sign = async (kind: Kind, claims: JWTPayload): Promise<string> => {
    const nowSeconds = Math.floor(deps.clock.now() / 1000);
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256" })
      .setIssuer(issuer)
      .setAudience(kind)
      .setIssuedAt(nowSeconds)
      .setExpirationTime(nowSeconds + Math.floor(lives[kind] / 1000))
      .sign(key);
    if (token.length > limits.cookieBytes) throw tooLarge(kind);
    return cookie(kind, token, lives[kind]);
  };

  const verify = async (
    kind: Kind,
    header: string | undefined,
  ): Promise<JWTPayload | undefined> => {
    const token = cookieOf(header, names[kind]);
    if (token === undefined) return undefined;
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: ["HS256"],
        issuer,
        audience: kind,
        currentDate: new Date(deps.clock.now()),
      });
      return payload;
    } catch {
      return undefined; // expired, of another key, or made up: the person logs in again
    }
  };

  return {
    issueSession: async ({ subject, name, groups, csrf }) =>
      await sign("session", { sub: subject, name, groups: [...groups], csrf }),
    readSession: async (header) => {
      const claims = await verify("session", header);
      return claims === undefined ? undefined : sessionFrom(claims);
    },
    issueAttempt: async (attempt) => await sign("attempt", { ...attempt }),
    readAttempt: async (header) => {
      const claims = await verify("attempt", header);
      return claims === undefined ? undefined : attemptFrom(claims);
    },
    endSession: () => cookie("session", "", 0),
    endAttempt: () => cookie("attempt", "", 0),
  };
}

function sessionFrom(claims: JWTPayload): Session {
  return {
    subject: claims.sub ?? "",
    name: text(claims["name"]),
    groups: Array.isArray(claims["groups"]) ? claims["groups"].map(String) : [],
    csrf: text(claims["csrf"]),
    expiresMs: (claims.exp ?? 0) * 1000,
  };
}

const attemptFrom = (claims: JWTPayload): Attempt => ({
  state: text(claims["state"]),
  nonce: text(claims["nonce"]),
  verifier: text(claims["verifier"]),
  next: text(claims["next"]),
});

/** Nothing is cut off: a right that is gone without a word is looked for in the wrong places. */
const tooLarge = (kind: Kind): AxonizeError =>
  new AxonizeError(
    "forbidden",
    kind === "session"
      ? "You are in more groups that have a right here than a log-in can hold (about 60). An administrator maps fewer and larger groups with AXONIZE_OIDC_ROLES."
      : "The page that you want to go to has too long an address. Log in from the start page.",
  );

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** The first cookie of that name. Names and values of ours need no decoding. */
function cookieOf(header: string | undefined, name: string): string | undefined {
  for (const part of (header ?? "").split(";")) {
    const [key, value] = part.split("=", 2);
    if (key?.trim() === name) return value?.trim();
  }
  return undefined;
}
