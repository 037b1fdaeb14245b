/**
 * TLS in both protocols: a server whose authority the program names is spoken to, any other is not, and
 * that is one line and no span lost before its time.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createSecureServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readSpans } from "./support/otlp.ts";
import { runProgram } from "./support/program.ts";

const folder = mkdtempSync(join(tmpdir(), "axonize-tls-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A key and a certificate for localhost that signs itself. */
function certificate(name: string): { key: Buffer; cert: Buffer; path: string } {
  const [key, path] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const files = ["-keyout", key, "-out", path, "-days", "2"];
  execFileSync("openssl", ["req", ...kind, ...files, ...subject], { stdio: "ignore" });
  return { key: readFileSync(key), cert: readFileSync(path), path };
}

const own = certificate("own");
const other = certificate("other");

/** What arrives is in `bodies`, without gRPC's five bytes. */
async function serve(
  protocol: "grpc" | "http",
  bodies: Buffer[],
): Promise<AsyncDisposable & { endpoint: string }> {
  const server: Server =
    protocol === "grpc" ? createSecureServer(own) : createHttpsServer({ ...own });
  const sockets = new Set<{ destroy(): void }>();
  server.on("secureConnection", (socket: { destroy(): void }) => sockets.add(socket));
  if (protocol === "grpc") {
    server.on("stream", (stream: ServerHttp2Stream) => {
      const parts: Buffer[] = [];
      stream.on("data", (part: Buffer) => parts.push(part));
      stream.on("end", () => {
        bodies.push(Buffer.concat(parts).subarray(5));
        const answer = { ":status": 200, "content-type": "application/grpc" };
        stream.respond(answer, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
        stream.end(Buffer.alloc(5));
      });
    });
  } else {
    server.on("request", (request: IncomingMessage, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        bodies.push(Buffer.concat(parts));
        // The other side of the pair that `request` is one of.
        (response as ServerResponse).end();
      });
    });
  }
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `${protocol === "grpc" ? "grpcs" : "https"}://localhost:${port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

const program = `import * as axonize from "@axonize/sdk";
axonize.init({ flushIntervalMs: 3600000 });
for (let i = 0; i < 300; i++) axonize.span("s", { attributes: { i } }, () => undefined);
console.log(await axonize.flush(Number(process.env.WAIT_MS)), axonize.stats().pending, axonize.stats().lost);`;

for (const protocol of ["grpc", "http"] as const) {
  test(`${protocol}: spans reach a server of the named authority`, async () => {
    const bodies: Buffer[] = [];
    await using server = await serve(protocol, bodies);
    const done = await runProgram(program, {
      AXONIZE_ENDPOINT: server.endpoint,
      AXONIZE_CERTIFICATE: own.path,
      WAIT_MS: "20000",
    });
    assert.equal(done.stdout.trim(), "true 0 0", done.stderr);
    assert.equal(bodies.flatMap((body) => readSpans(body)).length, 300);
    assert.equal(done.stderr, "");
  });

  for (const [whose, env] of [
    ["the system's authorities do not know", {}],
    ["another authority signed", { AXONIZE_CERTIFICATE: other.path }],
  ] as const) {
    test(`${protocol}: a server that ${whose} gets nothing`, async () => {
      const bodies: Buffer[] = [];
      await using server = await serve(protocol, bodies);
      const done = await runProgram(program, {
        AXONIZE_ENDPOINT: server.endpoint,
        AXONIZE_EXIT_TIMEOUT_MS: "100",
        WAIT_MS: "3000",
        ...env,
      });
      assert.equal(done.stdout.trim(), "false 300 0", done.stderr);
      assert.equal(bodies.length, 0);
      assert.match(done.stderr, /certificate/i);
      assert.equal(done.stderr.trim().split("\n").length, 1, done.stderr);
    });
  }
}
