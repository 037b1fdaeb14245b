/**
 * The OpenID Connect provider: authorization code with PKCE, by `openid-client`.
 *
 * It is discovered at the first log-in and again after a failure: a provider that is away when the
 * dashboard starts is nobody's reason not to start.
 */
import * as oidc from "openid-client";
import type { Clock } from "@axonize/core/runtime/clock";
import { AxonizeError } from "@axonize/core/runtime/error";
import * as limits from "./limits.ts";
import type { Attempt } from "./session.ts";

export interface ProviderOptions {
  /** `https://login.example.com/realms/main`; plain http on loopback alone. */
  readonly issuer: string;
  readonly clientId: string;
  /** Absent for a public client. */
  readonly clientSecret: string | undefined;
  readonly scopes: string;
  /** Claim with the person's groups, dots for nesting: `groups`, `realm_access.roles`. */
  readonly groupsClaim: string;
  /** Address of the dashboard as people type it, without a slash at the end. */
  readonly publicUrl: string;
}

export interface Person {
  readonly subject: string;
  readonly name: string;
  readonly groups: readonly string[];
}

export interface Provider {
  /** Where to send the browser, and what its answer is checked against. */
  begin(next: string): Promise<{ url: string; attempt: Attempt }>;
  /** Throws `forbidden` where the provider or the person refused, `unavailable` where it is away. */
  finish(query: string, attempt: Attempt): Promise<Person>;
}

export function createProvider(deps: { clock: Clock }, options: ProviderOptions): Provider {
  const redirectUri = `${options.publicUrl}/auth/callback`;
  let known: Promise<oidc.Configuration> | undefined;
  let failedAtMs = -Infinity;

  const discover = async (): Promise<oidc.Configuration> => {
    if (deps.clock.monotonic() - failedAtMs < limits.discoveryRetryMs) throw away(options.issuer);
    known ??= oidc.discovery(
      new URL(options.issuer),
      options.clientId,
      undefined,
      options.clientSecret === undefined
        ? oidc.None()
        : oidc.ClientSecretPost(options.clientSecret),
      {
        timeout: limits.providerSeconds,
        // The configuration takes http for loopback alone.
        execute: options.issuer.startsWith("http://") ? [oidc.allowInsecureRequests] : [],
      },
    );
    try {
      return await known;
    } catch (cause) {
      known = undefined;
      failedAtMs = deps.clock.monotonic();
      throw away(options.issuer, cause);
    }
  };

  return {
    begin: async (next) => {
      const config = await discover();
      const attempt = {
        state: oidc.randomState(),
        nonce: oidc.randomNonce(),
        verifier: oidc.randomPKCECodeVerifier(),
        next,
      };
      const url = oidc.buildAuthorizationUrl(config, {
        redirect_uri: redirectUri,
        scope: options.scopes,
        state: attempt.state,
        nonce: attempt.nonce,
        code_challenge: await oidc.calculatePKCECodeChallenge(attempt.verifier),
        code_challenge_method: "S256",
      });
      return { url: url.href, attempt };
    },
    finish: async (query, attempt) => {
      const config = await discover();
      const tokens = await oidc
        .authorizationCodeGrant(config, new URL(`${redirectUri}${query}`), {
          pkceCodeVerifier: attempt.verifier,
          expectedState: attempt.state,
          expectedNonce: attempt.nonce,
          idTokenExpected: true,
        })
        .catch((cause: unknown) => {
          throw isAway(cause) ? away(options.issuer, cause) : refused(cause);
        });
      return await personFrom(config, tokens, options);
    },
  };
}

async function personFrom(
  config: oidc.Configuration,
  tokens: oidc.TokenEndpointResponse & oidc.TokenEndpointResponseHelpers,
  { issuer, groupsClaim }: ProviderOptions,
): Promise<Person> {
  const claims = tokens.claims();
  if (claims === undefined) throw refused(new Error("the answer has no ID token"));
  const told = claimAt(claims, groupsClaim);
  // Many providers tell groups in userinfo alone.
  const more =
    told === undefined && config.serverMetadata().userinfo_endpoint !== undefined
      ? await oidc
          .fetchUserInfo(config, tokens.access_token, claims.sub)
          .catch((cause: unknown) => {
            throw isAway(cause) ? away(issuer, cause) : refused(cause);
          })
      : undefined;
  const groups = told ?? (more === undefined ? undefined : claimAt(more, groupsClaim));
  return { subject: claims.sub, name: nameOf({ ...more, ...claims }), groups: groups ?? [] };
}

function away(issuer: string, cause?: unknown): AxonizeError {
  return new AxonizeError(
    "unavailable",
    `The log-in provider ${new URL(issuer).host} does not answer just now. Try again, or use a key.`,
    { cause, retryAfterSeconds: limits.discoveryRetryMs / 1000 },
  );
}

/** It was not reached, did not answer in time, or answered that something is broken on its side. */
function isAway(cause: unknown): boolean {
  if (cause instanceof oidc.ResponseBodyError) return cause.status >= 500;
  if (cause instanceof oidc.ClientError) {
    if (cause.code === "OAUTH_TIMEOUT") return true;
    return cause.cause instanceof Response && cause.cause.status >= 500;
  }
  // What fetch throws where there is no answer.
  return cause instanceof TypeError && cause.message === "fetch failed";
}

function refused(cause: unknown): AxonizeError {
  const told =
    cause instanceof oidc.AuthorizationResponseError || cause instanceof oidc.ResponseBodyError
      ? `${cause.error}${cause.error_description === undefined ? "" : `: ${cause.error_description}`}`
      : "its answer does not fit the log-in that began here";
  return new AxonizeError("forbidden", `The provider did not log you in (${told.slice(0, 300)}).`, {
    cause,
  });
}

function claimAt(claims: object, path: string): string[] | undefined {
  let value: unknown = claims;
  // A claim may have dots in its own name, as URLs do.
  if (path in claims) value = Reflect.get(claims, path);
  else {
    for (const part of path.split(".")) {
      value = typeof value === "object" && value !== null ? Reflect.get(value, part) : undefined;
    }
  }
  if (typeof value === "string") return [value];
  return Array.isArray(value)
    ? value.filter((group): group is string => typeof group === "string").slice(0, 10_000)
    : undefined;
}

function nameOf(claims: Record<string, unknown>): string {
  for (const claim of ["name", "preferred_username", "email", "sub"]) {
    const value = claims[claim];
    if (typeof value === "string" && value !== "") return value.slice(0, 128);
  }
  return "";
}
