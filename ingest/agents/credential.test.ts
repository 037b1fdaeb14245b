/** Who may write for which node: tokens against a TokenReview as the API server answers it, over TLS. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { createFakeClock } from "@axonize/core/testing/fake-clock";
import { silentLog } from "@axonize/core/runtime/log";
import type { Access } from "@axonize/core/runtime/access";
import { createAuthorize } from "./credential.ts";
import { createTokenReviews } from "./token-review.ts";

const part = (claims: object): string => Buffer.from(JSON.stringify(claims)).toString("base64url");
const tokenOf = (name: string): string =>
  `${part({ alg: "RS256" })}.${part({ exp: 2e9, name })}.sig-${name}`;

const node = "authentication.kubernetes.io/node-name";
const account = "system:serviceaccount:axonize-agents:axonize-agent";
/** By token: what the API server says. */
const answers: Readonly<Record<string, object>> = {
  [tokenOf("good")]: {
    authenticated: true,
    audiences: ["axonize"],
    user: { username: account, extra: { [node]: ["node-a"] } },
  },
  [tokenOf("other-audience")]: {
    authenticated: true,
    audiences: ["https://kubernetes.default.svc"],
    user: { username: account, extra: { [node]: ["node-a"] } },
  },
  [tokenOf("other-account")]: {
    authenticated: true,
    audiences: ["axonize"],
    user: { username: "system:serviceaccount:team-a:default", extra: { [node]: ["node-a"] } },
  },
  [tokenOf("no-node")]: {
    authenticated: true,
    audiences: ["axonize"],
    user: { username: account },
  },
};

async function startApiServer(): Promise<
  AsyncDisposable & {
    url: string;
    directory: string;
    asked: () => number;
    fail: (is: boolean) => void;
  }
> {
  const directory = await mkdtemp(join(tmpdir(), "axonize-api-"));
  const key = join(directory, "key.pem");
  const ca = join(directory, "ca.crt");
  execFileSync(
    "openssl",
    `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout ${key} -out ${ca}`.split(
      " ",
    ),
    { stdio: "ignore" },
  );
  await writeFile(join(directory, "token"), "our-own-token\n");
  let asked = 0;
  let failing = false;
  const server = createServer(
    { key: await readFile(key), cert: await readFile(ca) },
    (request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        asked += 1;
        assert.equal(request.headers.authorization, "Bearer our-own-token");
        assert.equal(request.url, "/apis/authentication.k8s.io/v1/tokenreviews");
        // Safe: our own client wrote it.
        const { spec } = JSON.parse(body) as { spec: { token: string; audiences: string[] } };
        assert.deepEqual(spec.audiences, ["axonize"]);
        response.writeHead(failing ? 503 : 201, { "content-type": "application/json" });
        response.end(JSON.stringify({ status: answers[spec.token] ?? { authenticated: false } }));
      });
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return {
    url: `https://127.0.0.1:${address.port}`,
    directory,
    asked: () => asked,
    fail: (is) => {
      failing = is;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await rm(directory, { recursive: true });
    },
  };
}

/** Knows the admin key and nothing else. */
const access: Pick<Access, "authenticate"> = {
  authenticate: (credential) =>
    credential === "the-admin-key"
      ? { tenant: undefined, scopes: new Set(["Admin"]), keyId: undefined, admin: true }
      : credential === "a-tenant-key"
        ? { tenant: undefined, scopes: new Set(["Ingest"]), keyId: "k", admin: false }
        : { code: "unauthenticated", message: "not known" },
};

test("a token speaks for the node of its claim; every other credential is judged for what it is", async () => {
  await using api = await startApiServer();
  const clock = createFakeClock();
  const reviews = createTokenReviews(
    { log: silentLog },
    {
      apiServer: api.url,
      tokenFile: join(api.directory, "token"),
      authorityFile: join(api.directory, "ca.crt"),
      serviceAccounts: ["axonize-agents:axonize-agent"],
    },
  );
  const authorize = createAuthorize(
    // Safe: nothing else of it is asked.
    { access: access as Access, clock, reviews },
    { processSecret: "secret-of-this-process" },
  );
  assert.deepEqual(await authorize(tokenOf("good")), { ok: true, node: "node-a", expiresMs: 2e12 });
  for (const [name, words] of [
    ["other-audience", /not for the audience axonize/],
    ["other-account", /no agent's/],
    ["no-node", /names no node/],
    ["forged", /does not know this token/],
  ] as const) {
    const refusal = await authorize(tokenOf(name));
    assert.ok(!refusal.ok && refusal.code === "unauthenticated", name);
    assert.match(refusal.message, words);
  }
  const any = { ok: true, node: undefined, expiresMs: undefined };
  assert.deepEqual(await authorize("secret-of-this-process"), any);
  assert.deepEqual(await authorize("the-admin-key"), any);
  const tenant = await authorize("a-tenant-key");
  assert.ok(!tenant.ok && tenant.code === "forbidden");
  for (const none of [undefined, "", "nonsense", "x".repeat(9_000)]) {
    const refusal = await authorize(none);
    assert.ok(!refusal.ok && refusal.code === "unauthenticated", String(none).slice(0, 20));
  }
});

test("a review is remembered for a minute, and an API server that does not answer lets nobody in", async () => {
  await using api = await startApiServer();
  const clock = createFakeClock();
  const reviews = createTokenReviews(
    { log: silentLog },
    {
      apiServer: api.url,
      tokenFile: join(api.directory, "token"),
      authorityFile: join(api.directory, "ca.crt"),
      serviceAccounts: ["axonize-agents:axonize-agent"],
    },
  );
  const authorize = createAuthorize(
    { access: access as Access, clock, reviews },
    { processSecret: undefined },
  );
  for (let time = 0; time < 5; time += 1) assert.ok((await authorize(tokenOf("good"))).ok);
  assert.equal(api.asked(), 1);
  await clock.advance(61_000);
  api.fail(true);
  const refusal = await authorize(tokenOf("good"));
  assert.ok(!refusal.ok && refusal.code === "unavailable");
  api.fail(false);
  assert.ok((await authorize(tokenOf("good"))).ok, "a failure is not remembered");
  const none = createAuthorize(
    { access: access as Access, clock, reviews: undefined },
    { processSecret: undefined },
  );
  const outside = await none(tokenOf("good"));
  assert.ok(!outside.ok && outside.code === "unauthenticated");
});
