/**
 * Log-in from the environment to a provider's first answer: the issuer is taken to the letter.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import * as z from "zod";
import { loginEnv, loginOptionsFrom } from "./config.ts";
import { createProvider } from "./provider.ts";

const LoginEnv = z.object(loginEnv);

for (const path of ["", "/realms/main", "/application/o/axonize/"]) {
  test(`an issuer ${path === "" ? "without a path" : `at ${path}`} is found under the name that it gives itself`, async () => {
    let issuer = "";
    const server = createServer((request, response) => {
      const wanted = `${path.replace(/\/$/, "")}/.well-known/openid-configuration`;
      response.statusCode = request.url === wanted ? 200 : 404;
      response.setHeader("content-type", "application/json");
      response.end(
        JSON.stringify({ issuer, authorization_endpoint: new URL("/authorize", issuer) }),
      );
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    // A server that listens on host and port has an AddressInfo; text is for pipes.
    issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
    const options = loginOptionsFrom(
      LoginEnv.parse({
        AXONIZE_PUBLIC_URL: "https://example.com/axonize/",
        AXONIZE_OIDC_ISSUER: issuer,
        AXONIZE_OIDC_CLIENT_ID: "axonize",
        AXONIZE_OIDC_ROLES: '[{"group":"*","role":"Admin"}]',
        AXONIZE_SESSION_KEY: "a-signing-key-of-32-characters-or-more",
      }),
    );
    assert.ok(options !== undefined);
    try {
      const { url } = await createProvider({ clock: systemClock }, options.provider).begin("/");
      const asked = new URL(url).searchParams;
      assert.equal(asked.get("redirect_uri"), "https://example.com/axonize/auth/callback");
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
}
