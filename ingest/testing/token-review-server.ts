/**
 * TokenReview as the API server answers it, over TLS, for tests without a cluster: a handful of tokens,
 * known by name. `test/cluster` has the real one.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";

const part = (claims: object): string => Buffer.from(JSON.stringify(claims)).toString("base64url");
/** Shaped as a projected token; the server below knows it by its name. */
export const tokenOf = (name: string): string =>
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

export interface TokenReviewServer extends AsyncDisposable {
  readonly url: string;
  /** Has `token`, our own, and `ca.crt`. */
  readonly directory: string;
  asked(): number;
  /** Answers 503 from now on, or no longer. */
  fail(is: boolean): void;
}

export async function startTokenReviewServer(): Promise<TokenReviewServer> {
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
