// A process of its own whose transactions lose their connections: it lives, and ends by itself.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { useStores } from "../../../test/support/stores.ts";

const stores = await useStores();

test("a process lives through the death of its connections, during statements and between them", async () => {
  const script = `
    import { createPostgres } from ${JSON.stringify(join(import.meta.dirname, "../postgres.ts"))};
    import { silentLog } from ${JSON.stringify(join(import.meta.dirname, "../log.ts"))};
    const sql = createPostgres({ url: process.env.URL, application: "child", log: silentLog, max: 3 });
    const kill = (pid) => sql\`SELECT pg_terminate_backend(\${pid})\`;
    for (const wait of [(tx) => tx\`SELECT pg_sleep(60)\`, () => new Promise((r) => setTimeout(r, 300))]) {
      const end = await sql.begin(async (tx) => {
        const [{ pid }] = await tx\`SELECT pg_backend_pid() AS pid\`;
        void kill(pid);
        await wait(tx);
      }).then(() => "kept", (error) => error.code);
      console.log(end);
    }
    console.log((await sql\`SELECT 1 AS one\`)[0].one);
    await sql.end();
  `;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    env: { ...process.env, URL: stores.postgresUrl },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  const [code] = (await once(child, "close")) as [number];
  assert.equal(code, 0);
  assert.match(out, /^(57P01|08006|ECONNRESET)\n(57P01|08006|ECONNRESET)\n1\n$/);
});
