/**
 * Who gets the metrics: whoever the API server says may, with one question in a minute, and never for want of
 * an answer. `test/cluster/e2e.test.ts` has a real API server and its own tokens.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { test } from "node:test";
import { silentLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { createFakeClock } from "../test/support/fake-clock.ts";
import { openAccess } from "./kube/testing/cluster.ts";
import { json, startFaultServer, type Asked, type Fault } from "./kube/testing/fault-server.ts";
import { createTransport } from "./kube/transport.ts";
import { createOperatorMetrics } from "./metrics.ts";
import { startMetricsServer } from "./metrics-server.ts";

async function ask(port: number, token?: string, path = "/metrics"): Promise<[number, string]> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const call = request({ port, path, headers, host: "127.0.0.1", rejectUnauthorized: false });
  call.end();
  // The one argument of `response` is the answer.
  const [answer] = (await once(call, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of answer) text += String(chunk);
  return [answer.statusCode ?? 0, text];
}

/** As an API server that knows `reader` and `other`, and lets `reader` read. */
const reviews: Fault = ({ url, body }: Asked, response) => {
  const { spec } = JSON.parse(body) as { spec: { token?: string; user?: string } };
  if (url.pathname.endsWith("/tokenreviews")) {
    const isKnown = spec.token === "reader" || spec.token === "other";
    const user = { username: spec.token, uid: "1", groups: ["g"], extra: { "x/y": ["z"] } };
    json(response, 201, { status: isKnown ? { authenticated: true, user } : {} });
  } else {
    json(response, 201, { status: { allowed: spec.user === "reader" } });
  }
  return true;
};

async function start() {
  const server = await startFaultServer();
  server.fault(reviews);
  const clock = createFakeClock();
  const transport = createTransport(
    { access: openAccess(server.url), clock },
    { userAgent: "test" },
  );
  const registry = createRegistry();
  const metrics = createOperatorMetrics(registry);
  const observe = (): void => metrics.ready.set(1);
  const running = await startMetricsServer(
    { registry, observe, transport, clock, log: silentLog },
    { host: "127.0.0.1", port: 0 },
  );
  return {
    server,
    clock,
    port: running.port,
    [Symbol.asyncDispose]: async () => {
      await running.stop();
      await transport.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

test("the token's account is asked about, with all that the API server said of it, once in a minute", async () => {
  await using on = await start();
  assert.deepEqual(await ask(on.port), [401, "The metrics need a bearer token of this cluster.\n"]);
  assert.equal(on.server.requests.length, 0);
  const [status, text] = await ask(on.port, "reader");
  assert.equal(status, 200);
  assert.match(text, /axonize_operator_ready 1/);
  const asked = on.server.requests.map(({ url, body }) => [
    url.pathname,
    (JSON.parse(body) as { spec: object }).spec,
  ]);
  assert.deepEqual(asked, [
    ["/apis/authentication.k8s.io/v1/tokenreviews", { token: "reader" }],
    [
      "/apis/authorization.k8s.io/v1/subjectaccessreviews",
      {
        user: "reader",
        uid: "1",
        groups: ["g"],
        extra: { "x/y": ["z"] },
        nonResourceAttributes: { path: "/metrics", verb: "get" },
      },
    ],
  ]);
  assert.equal((await ask(on.port, "reader"))[0], 200);
  assert.equal(on.server.requests.length, 2, "remembered");
  await on.clock.advance(60_001);
  assert.equal((await ask(on.port, "reader"))[0], 200);
  assert.equal(on.server.requests.length, 4, "asked anew");
  const [refused, why] = await ask(on.port, "other");
  assert.equal(refused, 403);
  assert.match(why, /bind it to the ClusterRole/);
  assert.equal((await ask(on.port, "reader", "/healthz"))[0], 404);
});

test("made-up tokens get nothing and cost the API server five questions a second", async () => {
  await using on = await start();
  const answers: number[] = [];
  for (let i = 0; i < 12; i += 1) answers.push((await ask(on.port, `made-up-${i}`))[0]);
  assert.deepEqual(answers, [...Array<number>(5).fill(401), ...Array<number>(7).fill(429)]);
  assert.equal(on.server.requests.length, 5);
  await on.clock.advance(1_000);
  assert.equal((await ask(on.port, "reader"))[0], 200);
});

test("without an answer nobody is let in, and nothing is remembered of it", async () => {
  await using on = await start();
  on.server.fault((_asked, response) => {
    json(response, 500, { kind: "Status", code: 500, message: "no" });
    return true;
  });
  assert.equal((await ask(on.port, "reader"))[0], 503);
  on.server.fault(reviews);
  assert.equal((await ask(on.port, "reader"))[0], 200);
});
