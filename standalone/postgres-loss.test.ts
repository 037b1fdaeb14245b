/**
 * Standalone whose embedded PostgreSQL loses connections in the midst of its transactions, by a word to one
 * backend and by the death of one, which ends them all: the process lives, says so and goes on.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLog } from "@axonize/core/runtime/log";
import { createPostgres } from "@axonize/core/runtime/postgres";
import { eventually } from "../test/support/engine-client.ts";

test("backends of PostgreSQL end in mid-transaction, and Axonize goes on", async () => {
  const folder = await mkdtemp(join(tmpdir(), "axonize-loss-"));
  const child = spawn(process.execPath, [join(import.meta.dirname, "main.ts")], {
    cwd: folder,
    env: {
      PATH: process.env["PATH"],
      AXONIZE_HTTP_LISTEN: "127.0.0.1:0",
      AXONIZE_OTLP_HTTP_LISTEN: "127.0.0.1:0",
      AXONIZE_OTLP_GRPC_LISTEN: "127.0.0.1:0",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  try {
    await eventually("it runs", async () => {
      assert.equal(child.exitCode, null, output);
      return await Promise.resolve(output.includes("Ctrl-C stops it"));
    });
    const home = join(folder, ".axonize/postgres");
    const password = (await readFile(join(home, "password"), "utf8")).trim();
    const [, , , port = ""] = (await readFile(join(home, "data/postmaster.pid"), "utf8")).split(
      "\n",
    );
    const url = `postgres://axonize:${password}@127.0.0.1:${port}/postgres`;
    const sql = createPostgres({ url, application: "test", log: silentLog });

    /** The process ids of backends that wait inside a transaction of Axonize. */
    const waiting = async (): Promise<number[]> => {
      const rows = await sql<{ pid: number }[]>`
        SELECT pid FROM pg_stat_activity
        WHERE application_name = 'axonize-standalone' AND wait_event_type = 'Lock'`;
      return rows.map(({ pid }) => pid);
    };
    for (const end of ["terminate", "kill"]) {
      // What is read of it in one transaction every 3 s waits now.
      await sql
        .within(60_000)
        .begin(async (tx) => {
          await tx`LOCK TABLE tenant_namespaces IN ACCESS EXCLUSIVE MODE`;
          await eventually("a transaction waits", async () => (await waiting()).length > 0);
          const [pid = 0] = await waiting();
          if (end === "terminate") await sql`SELECT pg_terminate_backend(${pid})`;
          else process.kill(pid, "SIGKILL");
          await eventually("it is told", async () => {
            const log = await readFile(join(folder, ".axonize/logs/axonize.log"), "utf8");
            return log.split('"identity.stale"').length > (end === "terminate" ? 1 : 2);
          });
        })
        .catch((error: unknown) => {
          // The death of one takes all connections along, this one, too.
          assert.equal(end, "kill", String(error));
        });
      await eventually("PostgreSQL is back", async () => {
        return await sql`SELECT 1`.then(
          () => true,
          () => false,
        );
      });
      const dashboard = /(?:Dashboard|API)\s+(http:\S+?)(?:\/api\/v1)?\s/.exec(output)?.[1] ?? "";
      await eventually(
        "it is ready",
        async () => (await fetch(`${dashboard}/readyz`)).status === 200,
      );
      const tenant = await fetch(`${dashboard}/api/v1/admin/tenants`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${(await readFile(join(folder, ".axonize/admin-key"), "utf8")).trim()}`,
          "content-type": "application/json",
        },
        body: JSON.stringify({ id: `after-${end}`, name: end }),
      });
      assert.equal(tenant.status, 201, await tenant.text());
    }
    await sql.end();
    assert.equal(child.exitCode, null, output);
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    assert.deepEqual(await exited, [0, null], output);
    assert.doesNotMatch(output, /uncaught|unhandled/i);
  } finally {
    child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true, maxRetries: 20 });
  }
});
