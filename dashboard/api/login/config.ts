/**
 * Log-in as environment variables, and as what the composition root takes.
 */
import * as z from "zod";
import { isLoopback } from "@axonize/core/runtime/config";
import { StartError } from "@axonize/core/runtime/error";
import type { LoginOptions } from "./login.ts";
import { RoleMapping } from "./roles.ts";

const HttpUrl = z.url({ protocol: /^https?$/, error: "must be http(s)://host/path" });

const Roles = z.string().transform((text, context) => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    context.addIssue({ code: "custom", message: "must be a JSON array" }); // the parser's words help nobody
    return z.NEVER;
  }
  const parsed = RoleMapping.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  context.addIssue({ code: "custom", message: `${issue?.path.join(".")}: ${issue?.message}` });
  return z.NEVER;
});

export const loginEnv = {
  AXONIZE_PUBLIC_URL: HttpUrl.transform((url) => url.replace(/\/+$/, ""))
    .optional()
    .describe(
      "Address of the dashboard as people type it, such as https://example.com/axonize. Its path is the prefix that an Ingress passes on as it is; log-in needs it.",
    ),
  // As it is: an issuer that ends with a slash (authentik's, Auth0's) is another one without it.
  AXONIZE_OIDC_ISSUER: HttpUrl.refine(
    (url) => url.startsWith("https:") || isLoopback(new URL(url).hostname),
    "must be https, except on loopback",
  )
    .optional()
    .describe(
      "OpenID Connect provider whose people may log in, to the letter as its own metadata says it, a slash at the end included. Unset: keys alone.",
    ),
  AXONIZE_OIDC_CLIENT_ID: z.string().optional().describe("Our client id at the provider."),
  AXONIZE_OIDC_CLIENT_SECRET: z
    .string()
    .optional()
    .meta({ secret: true })
    .describe("Its secret; unset for a public client (PKCE is used in either case)."),
  AXONIZE_OIDC_SCOPES: z
    .string()
    .default("openid profile email groups")
    .describe("Scopes that are asked for."),
  AXONIZE_OIDC_GROUPS_CLAIM: z
    .string()
    .default("groups")
    .describe("Claim with a person's groups, dots for nesting: realm_access.roles."),
  AXONIZE_OIDC_LABEL: z
    .string()
    .max(64)
    .default("single sign-on")
    .describe("The provider's name on the button."),
  AXONIZE_OIDC_ROLES: Roles.prefault("[]").describe(
    'What groups may do: [{"group":"platform","role":"Admin"},{"group":"vision","role":"Viewer","tenants":["team-vision"]}]. The group `*` is everybody.',
  ),
  AXONIZE_SESSION_KEY: z
    .string()
    .min(32, "must have at least 32 characters")
    .optional()
    .meta({ secret: true })
    .describe("Signs the sessions of people who log in; the same in all replicas."),
  AXONIZE_SESSION_HOURS: z.coerce
    .number()
    .min(0.1)
    .max(720)
    .default(12)
    .describe("How long a log-in lasts."),
} as const;

const LoginEnv = z.object(loginEnv);

export function loginOptionsFrom(env: z.infer<typeof LoginEnv>): LoginOptions | undefined {
  const issuer = env.AXONIZE_OIDC_ISSUER;
  if (issuer === undefined) return undefined;
  const publicUrl = env.AXONIZE_PUBLIC_URL;
  const clientId = env.AXONIZE_OIDC_CLIENT_ID;
  const signingKey = env.AXONIZE_SESSION_KEY;
  if (publicUrl === undefined || clientId === undefined || signingKey === undefined) {
    const missing = [
      publicUrl === undefined ? "AXONIZE_PUBLIC_URL" : "",
      clientId === undefined ? "AXONIZE_OIDC_CLIENT_ID" : "",
      signingKey === undefined ? "AXONIZE_SESSION_KEY" : "",
    ].filter((name) => name !== "");
    throw new StartError(
      `AXONIZE_OIDC_ISSUER is set, and log-in needs ${missing.join(", ")} besides. Set them, or unset the issuer.`,
      { exitCode: 2 },
    );
  }
  if (env.AXONIZE_OIDC_ROLES.length === 0) {
    throw new StartError(
      "AXONIZE_OIDC_ISSUER is set, but AXONIZE_OIDC_ROLES gives nobody a right. Map at least one group.",
      { exitCode: 2 },
    );
  }
  return {
    provider: {
      issuer,
      clientId,
      clientSecret: env.AXONIZE_OIDC_CLIENT_SECRET,
      scopes: env.AXONIZE_OIDC_SCOPES,
      groupsClaim: env.AXONIZE_OIDC_GROUPS_CLAIM,
      publicUrl,
    },
    label: env.AXONIZE_OIDC_LABEL,
    roles: env.AXONIZE_OIDC_ROLES,
    signingKey,
    sessionMs: env.AXONIZE_SESSION_HOURS * 3_600_000,
  };
}
