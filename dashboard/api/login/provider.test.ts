/**
 * What a person is told when the log-in provider fails half-way: that it is away, where it is, and that it
 * refused, where it did. The server here answers discovery and fails on demand; a real one is in test/e2e.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import { createProvider, type Provider } from "./provider.ts";

let answerToken: (response: ServerResponse) => void;
let issuer = "";
const server = createServer((request, response) => {
  if (request.url === "/token") return answerToken(response);
  response.setHeader("content-type", "application/json");
  response.end(
    JSON.stringify({
      issuer,
      authorization_endpoint: `${issuer}/auth`,
      token_endpoint: `${issuer}/token`,
      jwks_uri: `${issuer}/jwks`,
      response_types_supported: ["code"],
    }),
  );
});

before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // A server that listens on host and port has an AddressInfo; text is for pipes.
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

const provider = (): Provider =>
  createProvider(
    { clock: systemClock },
    {
      issuer,
      clientId: "axonize",
      clientSecret: undefined,
      scopes: "openid",
      groupsClaim: "groups",
      publicUrl: "http://localhost:3000",
    },
  );

async function finish(): Promise<unknown> {
  const some = provider();
  const { attempt } = await some.begin("/");
  return await some.finish(`?code=c&state=${attempt.state}`, attempt);
}

test("a token endpoint that breaks off is away", async () => {
  answerToken = (response) => response.destroy();
  await assert.rejects(finish(), { code: "unavailable", message: /does not answer just now/ });
});

test("a token endpoint that is broken is away", async () => {
  answerToken = (response) => response.writeHead(503).end("upstream is gone");
  await assert.rejects(finish(), { code: "unavailable" });
  answerToken = (response) =>
    response
      .writeHead(500, { "content-type": "application/json" })
      .end('{"error":"server_error","error_description":"no database"}');
  await assert.rejects(finish(), { code: "unavailable" });
});

test("a token endpoint that refuses is told with its words", async () => {
  answerToken = (response) =>
    response
      .writeHead(400, { "content-type": "application/json" })
      .end('{"error":"invalid_grant","error_description":"the code is spent"}');
  await assert.rejects(finish(), {
    code: "forbidden",
    message: /invalid_grant: the code is spent/,
  });
});
