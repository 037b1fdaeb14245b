/**
 * Telemetry sent to where none is taken: the sender and the System page are told where it belongs,
 * in words of ours whatever the path is; probes and scanners are answered, and not counted.
 */
import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { test } from "node:test";
import { adviceFor, adviceOf, type AdvisedReason } from "@axonize/core/contract/refusal-advice";
import { useStores } from "../../test/support/stores.ts";
import { someSpans, traceRequest } from "../testing/otlp.ts";
import { rawExchange, startIngest, type TestIngest } from "../testing/start-ingest.ts";

const traceMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/** What the heartbeat has counted when ingest has stopped. */
async function rejectsAfter(
  send: (running: TestIngest) => Promise<void>,
): Promise<{ rejects: unknown; text: string; metrics: string }> {
  await using stores = await useStores();
  let metrics = "";
  {
    await using running = await startIngest(stores);
    await send(running);
    metrics = await running.registry.metrics();
  }
  const [row] = await stores.sql<{ status: { rejects: unknown } }[]>`
    SELECT status FROM component_status WHERE component = 'ingest' AND instance = 'test'`;
  return { rejects: row?.status.rejects, text: JSON.stringify(row?.status), metrics };
}

async function grpcStatus(port: number, path: string): Promise<{ code: number; message: string }> {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  try {
    return await new Promise((resolve, reject) => {
      session.on("error", reject);
      const stream = session.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
      });
      stream.on("error", reject);
      stream.on("response", (headers) => {
        resolve({
          code: Number(headers["grpc-status"]),
          message: decodeURIComponent(String(headers["grpc-message"])),
        });
      });
      stream.end();
    });
  } finally {
    session.destroy();
  }
}

test("a mistyped path is answered and counted with where the telemetry belongs", async () => {
  const paths: [string, AdvisedReason][] = [
    ["/v1/trace", "wrong-path-traces"],
    ["/v1/traces/", "wrong-path-traces"],
    ["/v1/traces/v1/traces?x=/v1/metrics", "wrong-path-traces"],
    ["/V1/Traces", "wrong-path-traces"],
    ["/api/v2/spans", "wrong-path-traces"],
    ["/v1/metric", "wrong-path-metrics"],
    ["/api/v1/otlp/v1/metrics", "wrong-path-metrics"],
    ["/", "wrong-path-none"],
    ["/v1/", "wrong-path-none"],
    ["/v1/log", "logs-not-kept"],
    ["/v1/logs", "logs-not-kept"],
    ["/ingest", "wrong-path"],
    ["/blog", "wrong-path"],
  ];
  const { rejects } = await rejectsAfter(async (running) => {
    const json = { "content-type": "application/json" };
    for (const [path, reason] of paths) {
      const answer = await running.post(path, "{}", json);
      assert.equal(answer.status, 404, path);
      assert.deepEqual(await answer.json(), { code: 12, message: adviceOf(reason) }, path);
    }
    assert.equal((await running.post("/v1/traces?debug=1", "{}", json)).status, 200);
  });
  const counted: Record<string, number> = {};
  for (const [, reason] of paths) counted[reason] = (counted[reason] ?? 0) + 1;
  assert.deepEqual(rejects, counted);
  for (const reason of ["wrong-path-traces", "wrong-path-none", "wrong-path"]) {
    assert.match(adviceFor(reason), /POST \/v1\/traces/);
  }
  assert.equal(adviceFor("too-large"), "");
  assert.equal(adviceFor("constructor"), "");
});

test("a gRPC method that does not exist is told, and what is taken instead", async () => {
  const { rejects } = await rejectsAfter(async ({ grpcPort }) => {
    for (const path of [
      "/opentelemetry.proto.collector.trace.v1.TraceService/Exports",
      `/v1/traces${traceMethod}`,
      "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
    ]) {
      const { code, message } = await grpcStatus(grpcPort, path);
      assert.equal(code, 12, path);
      assert.match(message, /Export of OTLP's TraceService and MetricsService/);
    }
  });
  assert.deepEqual(rejects, { "wrong-grpc-method": 3 });
});

test("probes, scanners, browsers and the agent's doctor are answered, and are no refused telemetry", async () => {
  const { rejects, metrics } = await rejectsAfter(async (running) => {
    const at = `http://127.0.0.1:${running.httpPort}`;
    assert.equal((await fetch(`${at}/`)).status, 404);
    assert.equal((await fetch(`${at}/v1/trace`)).status, 404);
    const form = { "content-type": "application/x-www-form-urlencoded" };
    assert.equal((await running.post("/wp-login.php", "log=admin", form)).status, 404);
    for (const path of ["/grpc.health.v1.Health/Check", "/axonize.agent.v1.AgentService/Doctor"]) {
      assert.equal((await grpcStatus(running.grpcPort, path)).code, 12);
    }
  });
  assert.deepEqual(rejects, {});
  assert.match(
    metrics,
    /requests_total\{signal="unknown",transport="http",outcome="not-found"\} 3/,
  );
  assert.match(
    metrics,
    /requests_total\{signal="unknown",transport="grpc",outcome="not-found"\} 2/,
  );
});

test("of a hostile path no text is kept, and no number of them makes the heartbeat grow", async () => {
  const mark = "visit-evil-example";
  const long = `/${mark}/trace`.repeat(500);
  const { rejects, text, metrics } = await rejectsAfter(async (running) => {
    const post = async (path: string): Promise<void> => {
      const head = `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n`;
      const sent = `${head}content-length: 2\r\nconnection: close\r\n\r\n{}`;
      const answer = await rawExchange(running.httpPort, sent);
      assert.match(answer.text, /^HTTP\/1\.1 404 /, path.slice(0, 80));
      assert.ok(!answer.text.includes(mark), "the answer does not echo it");
    };
    await post(`/<script>${mark}</script>/trace`);
    await post(long);
    await post(`http://${mark}/v1/traces`);
    await post(`/%0d%0a${mark}%00`);
    await post("/__proto__");
    for (let i = 0; i < 200; i += 1) {
      await running.post(`/${mark}/${i}`, traceRequest(someSpans(1)));
    }
    for (const path of ["/constructor", "/__proto__", `/${mark}`, `/${mark}/%00`, long]) {
      assert.equal((await grpcStatus(running.grpcPort, path)).code, 12, path.slice(0, 80));
    }
  });
  assert.deepEqual(rejects, {
    "wrong-path-traces": 3,
    "wrong-path": 202,
    "wrong-grpc-method": 5,
  });
  assert.ok(!text.includes(mark) && !metrics.includes(mark));
});
