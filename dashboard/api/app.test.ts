// The server around the handlers: refusals as problems, keyless loopback, headers, the web app.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Problem } from "@axonize/core/contract/problem";
import { useDashboard, type Reply } from "../../test/support/dashboard.ts";

const webRoot = await mkdtemp(join(tmpdir(), "axonize-web-"));
await mkdir(join(webRoot, "assets"));
await writeFile(join(webRoot, "index.html"), "<!doctype html><title>the app</title>");
await writeFile(join(webRoot, "assets/index-abc.js"), "export {};\n".repeat(500));
const dashboard = await useDashboard({ webRoot });
after(async () => {
  await dashboard[Symbol.asyncDispose]();
  await rm(webRoot, { recursive: true });
});
const { admin } = dashboard;
const get = async <T>(path: string, headers?: Record<string, string>) =>
  await dashboard.get<T>(path, headers);
const send = async <T>(
  method: string,
  path: string,
  body: unknown,
  headers?: Record<string, string>,
) => await dashboard.send<T>(method, path, body, headers);

function assertProblem(reply: Reply<Problem>, status: number, code: string): void {
  assert.equal(reply.status, status, JSON.stringify(reply.body));
  assert.match(reply.headers.get("content-type") ?? "", /^application\/problem\+json/);
  assert.equal(reply.body.type, `https://axonize.io/problems/${code}`);
  assert.equal(reply.body.status, status);
  assert.ok(reply.body.detail.length > 0);
}

test("unknown API paths, wrong methods and bad bodies are problems", async () => {
  assertProblem(await get("/api/v1/nothing"), 404, "not-found");
  const put = await send<Problem>("PUT", "/api/v1/traces", {});
  assertProblem(put, 405, "method-not-allowed");
  assert.equal(put.headers.get("allow"), "GET, HEAD");
  assertProblem(await send("POST", "/healthz", undefined), 405, "method-not-allowed");
  assertProblem(await send("POST", "/start", {}), 405, "method-not-allowed");
  const tenants = "/api/v1/admin/tenants";
  assertProblem(await send("POST", tenants, "{", admin), 400, "invalid-request");
  assertProblem(await send("POST", tenants, {}, admin), 400, "invalid-request");
  assertProblem(await send("POST", tenants, "null", admin), 400, "invalid-request");
  assertProblem(await send("POST", tenants, { name: "a\u0000b" }, admin), 400, "invalid-request");
  assertProblem(
    await send("POST", tenants, { name: "x", owner: "me" }, admin),
    400,
    "invalid-request",
  );
  const big = { name: "x".repeat(100_000) };
  assertProblem(await send("POST", tenants, big, admin), 413, "payload-too-large");
  const text = await send<Problem>("POST", tenants, "name=x", {
    ...admin,
    "content-type": "text/plain",
  });
  assertProblem(text, 415, "unsupported-media-type");
  assertProblem(await get("/api/v1/traces/%E0%A4%A"), 400, "invalid-request");
  assertProblem(await get("/api/v1/gpus/%00"), 400, "invalid-request");
});

test("a URL beyond the bound is a problem, too", async () => {
  assertProblem(await get(`/api/v1/traces?q=${"x".repeat(70_000)}`), 400, "invalid-request");
  assert.equal((await get(`/api/v1/traces?${"user=somebody&".repeat(50)}`)).status, 200);
});

test("a refusal names the inputs it is about", async () => {
  const reply = await get<Problem>("/api/v1/traces?limit=0&order=up");
  assert.deepEqual(
    reply.body.errors?.map(({ path }) => path),
    ["query.limit", "query.order"],
  );
});

/** fetch() sets Host and Origin on its own; this sends what it is told. */
async function raw(path: string, headers: Record<string, string>): Promise<number> {
  return await new Promise((resolve, reject) => {
    request(`${dashboard.url}${path}`, { headers }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on("error", reject)
      .end();
  });
}

test("a parameter that a path does not have is refused by its name, not ignored", async () => {
  const answer = await get<Problem>("/api/v1/traces?modle=llama");
  assert.equal(answer.status, 400);
  assert.match(answer.body.detail ?? "", /no parameter modle\. This path takes .*\bmodel\b/);
  assert.deepEqual(
    answer.body.errors?.map(({ path }) => path),
    ["query.modle"],
  );
});

test("on loopback no key is needed for reading, but always for the admin routes", async () => {
  assert.equal((await get("/api/v1/traces")).status, 200);
  assertProblem(await get("/api/v1/admin/tenants"), 401, "unauthenticated");
  assert.equal((await get("/api/v1/admin/tenants", admin)).status, 200);
});

test("a page from elsewhere is not local: rebound names, foreign origins, proxies", async () => {
  const { port } = new URL(dashboard.url);
  const path = "/api/v1/traces";
  const host = `127.0.0.1:${port}`;
  assert.equal(await raw(path, { host: "evil.example" }), 401);
  assert.equal(await raw(path, { host: `evil.example:${port}` }), 401);
  assert.equal(await raw(path, { host, origin: "https://evil.example" }), 401);
  assert.equal(await raw(path, { host, origin: "null" }), 401);
  assert.equal(await raw(path, { host, "sec-fetch-site": "cross-site" }), 401);
  assert.equal(await raw(path, { host, "x-forwarded-for": "10.0.0.1" }), 401);
  for (const name of [`localhost:${port}`, host, `[::1]:${port}`, "axonize.localhost"]) {
    assert.equal(await raw(path, { host: name }), 200, name);
  }
  assert.equal(await raw(path, { host, origin: `http://localhost:${port}` }), 200);
});

test("a wrong key is wrong on loopback, too", async () => {
  assertProblem(await get("/api/v1/traces", { "x-axonize-key": "x" }), 401, "unauthenticated");
});

test("the session says who asks, without refusing anybody", async () => {
  const local = await get<Record<string, unknown>>("/api/v1/session");
  assert.deepEqual(local.body["tenant"], { id: "default", name: "default", capture: "Full" });
  assert.equal(local.body["keyNeeded"], false);
  assert.equal(local.body["admin"], false);
  const wrong = await get<Record<string, unknown>>("/api/v1/session", { "x-axonize-key": "x" });
  assert.equal(wrong.status, 200);
  assert.equal(wrong.body["authenticated"], false);
  const boss = await get<Record<string, unknown>>("/api/v1/session", admin);
  assert.equal(boss.body["admin"], true);
  assert.equal(boss.body["tenant"], null);
});

test("answers forbid framing, sniffing and foreign scripts, and allow no other origin", async () => {
  const { headers } = await get("/api/v1/session");
  assert.match(headers.get("content-security-policy") ?? "", /frame-ancestors 'none'/);
  assert.match(headers.get("content-security-policy") ?? "", /script-src 'self';/);
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.equal(headers.get("access-control-allow-origin"), null);
  assert.equal(headers.get("x-powered-by"), null);
  assert.equal(headers.get("cache-control"), "no-store");
});

test("the web app: index for its routes, assets for ever, no HTML for a lost asset", async () => {
  for (const path of ["/", "/requests", "/requests/abc", "/fleet/node-1/GPU-1"]) {
    const page = await get<string>(path);
    assert.match(page.body, /the app/, path);
    assert.equal(page.headers.get("cache-control"), "no-cache");
  }
  const asset = await get<string>("/assets/index-abc.js");
  assert.match(asset.headers.get("cache-control") ?? "", /immutable/);
  assert.equal(asset.headers.get("content-encoding"), "gzip");
  assertProblem(await get("/assets/gone.js"), 404, "not-found");
  assertProblem(await get("/../../etc/passwd.txt"), 404, "not-found");
});

test("health, readiness, metrics and the OpenAPI document answer without a key", async () => {
  assert.deepEqual((await get("/healthz")).body, { status: "ok" });
  const ready = await get<{ status: string }>("/readyz");
  assert.equal(ready.body.status, "ready");
  const metrics = await get<string>("/metrics");
  assert.match(metrics.body, /axonize_dashboard_requests_total\{route="getSession"/);
  const outside = await get<Problem>("/metrics", { "x-forwarded-for": "203.0.113.7" });
  assertProblem(outside, 404, "not-found");
  const openapi = await get<{ openapi: string }>("/openapi.json");
  assert.match(openapi.body.openapi, /^3\.1/);
});
