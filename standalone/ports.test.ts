/** Listening addresses that cannot be had, in words. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import test from "node:test";
import { checkListeners, listenError } from "./ports.ts";

const listener = (host: string, port: number, variable = "AXONIZE_HTTP_LISTEN") => ({
  purpose: "the dashboard",
  variable,
  listen: { host, port },
});

test("a taken port is named with its owner and the variable that moves ours", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  await assert.rejects(
    checkListeners([listener("127.0.0.1", address.port)]),
    new RegExp(
      `Port ${address.port} for the dashboard is taken by .*${process.platform === "linux" ? `process ${process.pid}` : ""}.*AXONIZE_HTTP_LISTEN=`,
    ),
  );
  server.close();
});

test("two listeners on one address are a mistake in the configuration", async () => {
  await assert.rejects(
    checkListeners([
      listener("127.0.0.1", 5),
      listener("127.0.0.1", 5, "AXONIZE_OTLP_HTTP_LISTEN"),
    ]),
    /AXONIZE_HTTP_LISTEN and AXONIZE_OTLP_HTTP_LISTEN are both 127\.0\.0\.1:5/,
  );
});

test("free ports, and port 0 as often as one likes, pass", async () => {
  await checkListeners([listener("127.0.0.1", 0), listener("127.0.0.1", 0, "B")]);
});

test("foreign addresses and forbidden ports say what to set instead", async () => {
  const named = async (code: string): Promise<string> =>
    (await listenError(listener("10.0.0.1", 80), Object.assign(new Error(code), { code }))).message;
  assert.match(
    await named("EADDRNOTAVAIL"),
    /not an address of this machine.*AXONIZE_HTTP_LISTEN=127\.0\.0\.1:80/,
  );
  assert.match(
    await named("EACCES"),
    /ports below 1024 need root.*AXONIZE_HTTP_LISTEN=10\.0\.0\.1:10080/,
  );
  assert.match(await named("ESOMETHING"), /ESOMETHING/);
});
