// `sslmode` means what it means to libpq, before a real PostgreSQL and a real handshake: who is let through,
// who is not, and that connections over TLS end like others.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createSecureContext, TLSSocket } from "node:tls";
import { createAuthority, issue } from "../../../operator/x509/x509.ts";
import { useStores } from "../../../test/support/stores.ts";
import { silentLog } from "../log.ts";
import { createPostgres } from "../postgres.ts";

const stores = await useStores();
const folder = await mkdtemp(join(tmpdir(), "axonize-tls-"));
const validity = { now: Date.now(), forMs: 86_400_000 };
const [ours, another] = [createAuthority("ours", validity), createAuthority("another", validity)];
const leaf = issue(ours, { commonName: "db", hosts: ["localhost"], usages: ["server"] }, validity);
await writeFile(join(folder, "ours.crt"), ours.cert);
await writeFile(join(folder, "another.crt"), another.cert);

/** Answers a request for TLS as PostgreSQL does, and passes on what is inside. */
const sockets = new Set<Socket>();
const track = (socket: Socket): void => {
  sockets.add(socket);
  socket.on("error", () => socket.destroy());
  socket.once("close", () => sockets.delete(socket));
};
const target = new URL(stores.postgresUrl);
const server = createServer((near) => {
  track(near);
  near.once("data", (asked: Buffer) => {
    if (asked.readInt32BE(4) !== 80_877_103) {
      near.destroy();
      return;
    }
    near.pause();
    near.write("S");
    const secureContext = createSecureContext({ cert: leaf.cert, key: leaf.key });
    const inside = new TLSSocket(near, { isServer: true, secureContext });
    const far = connect({ host: target.hostname, port: Number(target.port) });
    track(far);
    inside.on("error", () => far.destroy());
    inside.pipe(far).pipe(inside);
    inside.once("close", () => far.destroy());
  });
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const address = server.address();
assert.ok(typeof address === "object" && address !== null);
after(async () => {
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true });
});

/** The answer of a statement, or the code or message of why there is none. */
async function ask(host: string, query: string): Promise<unknown> {
  const url = new URL(stores.postgresUrl);
  url.host = `${host}:${address === null || typeof address === "string" ? 0 : address.port}`;
  const sql = createPostgres({
    url: `${url.href}?${query}`,
    application: "tls",
    log: silentLog,
    max: 1,
  });
  try {
    return (await sql<{ n: number }[]>`SELECT ${1}::integer AS n`)[0]?.n;
  } catch (error) {
    return error instanceof Error && "code" in error ? error.code : String(error);
  } finally {
    await sql.end();
  }
}

const rootOf = (name: string): string => `&sslrootcert=${encodeURIComponent(join(folder, name))}`;

for (const [host, query, expected] of [
  ["127.0.0.1", "sslmode=require", 1],
  ["127.0.0.1", "sslmode=prefer", 1],
  ["127.0.0.1", "sslmode=no-verify", 1],
  ["127.0.0.1", `sslmode=require${rootOf("ours.crt")}`, 1],
  ["127.0.0.1", `sslmode=require${rootOf("another.crt")}`, /^(SELF_SIGNED|UNABLE_TO_VERIFY)/],
  ["127.0.0.1", `sslmode=verify-ca${rootOf("ours.crt")}`, 1],
  ["127.0.0.1", `sslmode=verify-ca${rootOf("another.crt")}`, /^(SELF_SIGNED|UNABLE_TO_VERIFY)/],
  ["127.0.0.1", "sslmode=verify-ca", /requires specifying a CA/],
  ["localhost", `sslmode=verify-full${rootOf("ours.crt")}`, 1],
  ["127.0.0.1", `sslmode=verify-full${rootOf("ours.crt")}`, /ALTNAME_INVALID/],
  ["localhost", "sslmode=verify-full", /^(SELF_SIGNED|UNABLE_TO_VERIFY)/],
  ["localhost", `sslmode=verify-full${rootOf("missing.crt")}`, /ENOENT/],
] as const) {
  const named = query.replace(/&sslrootcert=.*%2F/, " with ");
  test(`${named} at ${host}: ${expected === 1 ? "let through" : "refused"}`, async () => {
    const answer = await ask(host, query);
    if (expected === 1) assert.equal(answer, 1);
    else assert.match(String(answer), expected);
  });
}

test("a backend that is terminated under TLS ends its transaction at once", async () => {
  const url = new URL(stores.postgresUrl);
  url.port = String(typeof address === "object" && address !== null ? address.port : 0);
  const sql = createPostgres({
    url: `${url.href}?sslmode=require`,
    application: "tls",
    log: silentLog,
    max: 1,
  });
  await assert.rejects(
    sql.begin(async (tx) => {
      const [own] = await tx<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
      await stores.sql`SELECT pg_terminate_backend(${own?.pid ?? 0})`;
      await new Promise(() => undefined);
    }),
    { code: /^(57P01|08006|ECONNRESET)$/ },
  );
  assert.equal((await sql`SELECT 1`).count, 1);
  await sql.end();
});
