// The webhook over HTTPS: answers, bad requests, a certificate that is swapped while it serves.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, request, type RequestOptions } from "node:https";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { createLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { bundleOf, planCertificates } from "./certificates.ts";
import { heldReviewBytes, maxReviewBytes } from "./limits.ts";
import { createInjectionMetrics } from "./metrics.ts";
import type { Profile } from "./pod.ts";
import { webhookPath } from "./webhook-config.ts";
import { createWebhookServer } from "./webhook-server.ts";

const certificatesNow = () =>
  planCertificates(undefined, { now: Date.now(), hosts: ["127.0.0.1"] }).certificates;

const logged: string[] = [];
const log = createLog({
  component: "test",
  level: "debug",
  destination: { write: (line) => void logged.push(line) },
});
const metrics = createInjectionMetrics(createRegistry());
const profile: Profile = {
  metadata: { uid: "0123456789", generation: 1 },
  spec: {
    endpoint: "http://ingest:4318",
    secretName: "axonize-ingest",
    mode: "OptOut",
    containers: "All",
    delivery: "Env",
  },
};
let isSynced = true;
const server = createWebhookServer({
  profiles: {
    hasSynced: () => isSynced,
    get: (key) => (key === "vision/axonize" ? profile : undefined),
  },
  log,
  metrics,
});
let certificates = certificatesNow();
let port = 0;

before(async () => {
  assert.deepEqual(server.problems(), ["the webhook has no certificate yet"]);
  ({ port } = await server.listen({ host: "127.0.0.1", port: 0 }));
  server.setCertificate(certificates.serving);
  assert.deepEqual(server.problems(), []);
});
after(async () => {
  await server.close();
});

async function send(
  body: string,
  options: RequestOptions = {},
): Promise<{ status: number; body: string; fingerprint: string }> {
  const sent = request({
    host: "127.0.0.1",
    port,
    path: "/inject?timeout=3s",
    method: "POST",
    ca: bundleOf(certificates),
    agent: false,
    ...options,
  });
  sent.end(body);
  const [response] = await once(sent, "response");
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return {
    status: response.statusCode,
    body: Buffer.concat(chunks).toString(),
    fingerprint: response.socket.getPeerCertificate().fingerprint256,
  };
}

const review = (namespace: string, object: unknown): string =>
  JSON.stringify({ request: { uid: "u-1", namespace, object } });

async function responseTo(namespace: string, object: unknown) {
  const { status, body } = await send(review(namespace, object));
  assert.equal(status, 200);
  return JSON.parse(body).response;
}

const pod = { metadata: {}, spec: { containers: [{ name: "app" }] } };
const counted = async (result: string): Promise<number> =>
  (await metrics.reviews.get()).values.find(({ labels }) => labels.result === result)?.value ?? -1;

test("a pod of a namespace with a profile is patched", async () => {
  const response = await responseTo("vision", pod);
  assert.equal(response.uid, "u-1");
  assert.equal(response.allowed, true);
  assert.equal(response.patchType, "JSONPatch");
  const patch = JSON.parse(Buffer.from(response.patch, "base64").toString());
  assert.equal(patch[0].path, "/spec/containers/0/env");
  assert.equal(await counted("injected"), 1);
});

test("without a profile a pod passes as it is", async () => {
  assert.deepEqual(await responseTo("other", pod), { uid: "u-1", allowed: true });
  assert.equal(await counted("noProfile"), 1);
});

test("before the cache is filled a pod passes with a warning", async () => {
  isSynced = false;
  try {
    const response = await responseTo("vision", pod);
    assert.equal(response.allowed, true);
    assert.deepEqual(response.warnings, ["axonize: not injected, the operator is starting"]);
    assert.equal(response.patch, undefined);
  } finally {
    isSynced = true;
  }
  assert.equal(await counted("notSynced"), 1);
});

test("an object that is no pod passes, is counted and logged", async () => {
  const response = await responseTo("vision", { spec: 7 });
  assert.equal(response.allowed, true);
  assert.equal(await counted("failed"), 1);
  assert.ok(logged.some((line) => line.includes("webhook.inject")));
});

test("what is no review is refused", async () => {
  for (const body of ["", "{", "null", "[]", '"text"', '{"request":{}}', '{"request":null}']) {
    assert.equal((await send(body)).status, 400, body);
  }
  assert.equal((await send("", { method: "GET" })).status, 404);
  assert.equal((await send(review("vision", pod), { path: "/other" })).status, 404);
});

test("a body larger than any pod is refused before it is all there", async () => {
  const answer = await send("x".repeat(maxReviewBytes + 1)).catch(() => undefined);
  // The server answers and closes; the client may see either first.
  assert.ok(answer === undefined || answer.status === 413);
  assert.equal((await send(review("vision", pod))).status, 200, "and it serves on");
});

test("bodies together are bounded: one too many is told so, and there is room again after it", async () => {
  const count = Math.ceil(heldReviewBytes / maxReviewBytes) + 8;
  const waiting = Array.from({ length: count }, () => {
    const socket = connect({ host: "127.0.0.1", port, ca: bundleOf(certificates) });
    socket.on("error", () => undefined); // one that is refused may be reset
    socket.write(
      `POST ${webhookPath} HTTP/1.1\r\nhost: x\r\ncontent-length: ${maxReviewBytes}\r\n\r\n`,
    );
    socket.write("x".repeat(maxReviewBytes - 1));
    return socket;
  });
  const told = await Promise.any(
    waiting.map(async (socket) => {
      const [data] = (await once(socket, "data")) as [Buffer];
      return data.toString();
    }),
  );
  assert.match(told, /^HTTP\/1\.1 503 /);
  for (const socket of waiting) socket.destroy();
  const deadline = performance.now() + 30_000;
  while ((await send(review("vision", pod))).status !== 200) {
    assert.ok(performance.now() < deadline, "there is no room again");
  }
});

test("it closes at once, with a spare connection open that never asked", async () => {
  const own = createWebhookServer({
    profiles: { hasSynced: () => true, get: () => profile },
    log,
    metrics,
  });
  const at = await own.listen({ host: "127.0.0.1", port: 0 });
  own.setCertificate(certificates.serving);
  const spare = connect({ host: "127.0.0.1", port: at.port, ca: bundleOf(certificates) });
  await once(spare, "secureConnect");
  const answered = await send(review("vision", pod), { port: at.port, agent: new Agent() });
  assert.equal(answered.status, 200);
  const start = performance.now();
  await Promise.all([own.close(), once(spare, "close")]);
  assert.ok(performance.now() - start < 4_000, "before any timeout of a connection");
});

test("a new certificate is shown without a restart, and the same one again changes nothing", async () => {
  const first = await send(review("vision", pod));
  certificates = certificatesNow();
  server.setCertificate(certificates.serving);
  const second = await send(review("vision", pod));
  assert.notEqual(first.fingerprint, second.fingerprint);
  const before = logged.length;
  server.setCertificate(certificates.serving);
  assert.equal(logged.length, before);
  const until = (await metrics.certificateExpiry.get()).values[0]?.value ?? 0;
  assert.ok(until > Date.now() / 1000 + 80 * 86_400);
});
