/**
 * Where configuration comes from: arguments, AXONIZE_* variables, OpenTelemetry's, defaults, in this
 * order. Seen from outside: each case is a program of its own and what a server gets from it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as axonize from "@axonize/sdk";
import { createCollector } from "./support/collector.ts";
import { runProgram } from "./support/program.ts";

const program = `import * as axonize from "@axonize/sdk";
axonize.init(JSON.parse(process.env.OPTIONS ?? "{}"));
axonize.span("s", () => undefined);
await axonize.flush(10000);`;

async function seen(
  protocol: "grpc" | "http",
  env: (endpoint: string, port: number) => NodeJS.ProcessEnv,
): Promise<{
  headers: NodeJS.Dict<string | string[]>;
  resource: Record<string, unknown>;
  path: string;
  stderr: string;
}> {
  await using collector = await createCollector(protocol);
  const done = await runProgram(program, env(collector.endpoint, collector.port));
  const [request] = collector.requests;
  assert.ok(request, done.stderr);
  const [span] = collector.spans();
  return {
    headers: request.headers,
    path: request.path,
    resource: span?.resource ?? {},
    stderr: done.stderr,
  };
}

test("AXONIZE_* variables configure everything, so that injected pods need no code", async () => {
  const { headers, resource } = await seen("grpc", (endpoint) => ({
    AXONIZE_ENDPOINT: endpoint,
    AXONIZE_SERVICE_NAME: "pod",
    AXONIZE_ENVIRONMENT: "staging",
    AXONIZE_API_KEY: "axk_1_2_3",
    AXONIZE_RESOURCE_ATTRIBUTES: "team=vision,note=a%2Cb",
    AXONIZE_POD_UID: "u-1",
    AXONIZE_POD_NAME: "p-0",
    AXONIZE_POD_NAMESPACE: "ns",
    AXONIZE_POD_NODE: "node-1",
    AXONIZE_CONTAINER: "main",
    AXONIZE_COMPRESSION: "gzip",
    CUDA_VISIBLE_DEVICES: "1,0",
  }));
  assert.equal(headers["authorization"], "Bearer axk_1_2_3");
  assert.equal(headers["grpc-encoding"], "gzip");
  assert.match(String(headers["user-agent"]), /^axonize-node\//);
  for (const [key, value] of Object.entries({
    "service.name": "pod",
    "deployment.environment.name": "staging",
    team: "vision",
    note: "a,b",
    "k8s.pod.uid": "u-1",
    "k8s.pod.name": "p-0",
    "k8s.namespace.name": "ns",
    "k8s.node.name": "node-1",
    "k8s.container.name": "main",
    "axonize.env.cuda_visible_devices": "1,0",
  })) {
    assert.equal(resource[key], value, key);
  }
});

test("OpenTelemetry's variables are the fall-back, with their headers and protocol", async () => {
  const { headers, resource, path } = await seen("http", (endpoint) => ({
    OTEL_EXPORTER_OTLP_ENDPOINT: `${endpoint}/base`,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
    OTEL_EXPORTER_OTLP_HEADERS: "x-tenant=blue,Authorization=Basic%20abc",
    OTEL_SERVICE_NAME: "otel",
    OTEL_RESOURCE_ATTRIBUTES: "service.name=lost,zone=a",
    OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
  }));
  assert.equal(path, "/base/v1/traces");
  assert.equal(headers["x-tenant"], "blue");
  assert.equal(headers["authorization"], "Basic abc");
  assert.equal(headers["content-encoding"], "gzip");
  assert.equal(resource["service.name"], "otel");
  assert.equal(resource["zone"], "a");
});

test("OpenTelemetry's headers do not travel to Axonize's endpoint", async () => {
  const { headers } = await seen("grpc", (endpoint) => ({
    AXONIZE_ENDPOINT: endpoint,
    OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
    OTEL_EXPORTER_OTLP_HEADERS: "authorization=secret-of-another",
  }));
  assert.equal(headers["authorization"], undefined);
});

test("arguments win over variables", async () => {
  const { resource, headers } = await seen("http", (endpoint) => ({
    AXONIZE_ENDPOINT: "127.0.0.1:9",
    AXONIZE_SERVICE_NAME: "variable",
    OPTIONS: JSON.stringify({
      endpoint,
      serviceName: "argument",
      apiKey: "k",
      headers: { "X-Extra": "1", "bad header": "x" },
    }),
  }));
  assert.equal(resource["service.name"], "argument");
  assert.equal(headers["authorization"], "Bearer k");
  assert.equal(headers["x-extra"], "1");
});

test("nonsense is named in one line each, replaced by defaults, and stops nothing", async () => {
  const { stderr } = await seen("grpc", (_, port) => ({
    AXONIZE_ENDPOINT: "not an address",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    AXONIZE_BATCH_SIZE: "many",
    AXONIZE_TIMEOUT_MS: "-5",
  }));
  const lines = stderr.trim().split("\n");
  assert.deepEqual(lines.map((line) => /^axonize: (AXONIZE_\w+)=/.exec(line)?.[1] ?? line).sort(), [
    "AXONIZE_BATCH_SIZE",
    "AXONIZE_ENDPOINT",
  ]);
});

test("AXONIZE_DISABLED and OTEL_SDK_DISABLED stop recording, and spans still work", async () => {
  for (const name of ["AXONIZE_DISABLED", "OTEL_SDK_DISABLED"]) {
    await using collector = await createCollector("grpc");
    const done = await runProgram(
      `${program}\nconsole.log(axonize.stats().recorded, axonize.span("x", (s) => s.traceId.length));`,
      { AXONIZE_ENDPOINT: collector.endpoint, [name]: "true" },
    );
    assert.equal(done.stdout.trim(), "0 32", done.stderr);
    assert.equal(collector.requests.length, 0);
  }
});

test("a wrong argument of any kind does not stop the program", () => {
  const lines: string[] = [];
  for (const options of [
    { endpoint: {} },
    { endpoint: "http://" },
    { headers: { a: "line\nbreak" } },
    {
      resourceAttributes: {
        get bad(): string {
          throw new Error("no");
        },
      },
    },
    { batchSize: {}, flushIntervalMs: "soon", timeoutMs: NaN },
    null,
  ]) {
    axonize.init(
      Object.assign({ log: (line: string) => lines.push(line) }, options) as axonize.InitOptions,
    );
    assert.equal(
      axonize.span("s", () => 1),
      1,
    );
  }
  assert.ok(
    lines.some((line) => line.includes("endpoint={}")),
    lines.join("\n"),
  );
  assert.ok(
    lines.some((line) => line.includes('header "a"')),
    lines.join("\n"),
  );
});
