/**
 * Kills agents and ingest (SIGKILL) while samples flow, and counts what was lost of that which the agent
 * had in its spool, and what is in the table twice.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { freePorts } from "./free-ports.ts";
import { readRows } from "./engine-client.ts";
import type { Stores } from "./stores.ts";

const root = join(import.meta.dirname, "../..");
const adminKey = "admin-key-of-the-crash-tests";
/** Numbers of different lives never meet. */
const lifeNumbers = 100_000;

export interface CrashOptions {
  agentKills: number;
  /** Ingest is killed with every nth agent. */
  ingestEvery: number;
  /** How long each life lasts, ms. */
  lifeMs: () => number;
}

export interface CrashResult {
  spooled: number;
  stored: number;
  lost: number;
  duplicates: number;
  agentKills: number;
  ingestKills: number;
}

export async function crash(stores: Stores, options: CrashOptions): Promise<CrashResult> {
  const directory = await mkdtemp(join(tmpdir(), "axonize-crash-"));
  const ports = await freePorts("grpc", "http", "ops");
  // A number is a sample's time, in ms from here: 1,000 lives end before now, and none is too old.
  const zero = Math.floor(Date.now() / 1000) * 1000 - 2 * 86_400_000;
  const spooled = new Set<number>();
  let ingest = startIngestProcess(stores, ports);
  let ingestKills = 0;
  try {
    for (let life = 0; life <= options.agentKills; life += 1) {
      const isLast = life === options.agentKills;
      const agent = startAgent(
        ports.grpc,
        { directory, zero, first: life * lifeNumbers, times: isLast ? 5 : 10_000 },
        spooled,
      );
      try {
        if (isLast) await agent.settled();
        else {
          await agent.begun();
          await sleep(options.lifeMs());
        }
      } finally {
        await kill(agent.child);
      }
      if (isLast || life % options.ingestEvery !== options.ingestEvery - 1) continue;
      await kill(ingest);
      ingestKills += 1;
      ingest = startIngestProcess(stores, ports);
    }
  } finally {
    await kill(ingest);
    await rm(directory, { recursive: true });
  }
  const rows = await readRows<{ number: number | string; times: number | string }>(
    stores.clickhouse,
    "SELECT energy_mj AS number, count() AS times FROM gpu_samples GROUP BY number",
  );
  const stored = new Map(rows.map(({ number, times }) => [Number(number), Number(times)]));
  return {
    spooled: spooled.size,
    stored: stored.size,
    lost: [...spooled].filter((number) => !stored.has(number)).length,
    duplicates: [...stored.values()].filter((times) => times > 1).length,
    agentKills: options.agentKills,
    ingestKills,
  };
}

type Ports = Readonly<Record<"grpc" | "http" | "ops", number>>;

function startIngestProcess(stores: Stores, ports: Ports): ChildProcess {
  return spawn(process.execPath, [join(root, "ingest/main.ts")], {
    stdio: "ignore",
    env: {
      AXONIZE_CLICKHOUSE_URL: stores.clickhouseUrl,
      AXONIZE_POSTGRES_URL: stores.postgresUrl,
      AXONIZE_OTLP_GRPC_LISTEN: `127.0.0.1:${ports.grpc}`,
      AXONIZE_OTLP_HTTP_LISTEN: `127.0.0.1:${ports.http}`,
      AXONIZE_INGEST_OPS_LISTEN: `127.0.0.1:${ports.ops}`,
      AXONIZE_ADMIN_KEY: adminKey,
    },
  });
}

function startAgent(
  port: number,
  given: { directory: string; zero: number; first: number; times: number },
  spooled: Set<number>,
) {
  const child = spawn(
    process.execPath,
    [
      join(import.meta.dirname, "report-forever/main.ts"),
      `127.0.0.1:${port}`,
      given.directory,
      String(given.first),
      String(given.zero),
      String(given.times),
    ],
    { stdio: ["ignore", "pipe", "inherit"], env: { AXONIZE_TEST_CREDENTIAL: adminKey } },
  );
  let pending = Infinity;
  let lines = 0;
  createInterface({ input: child.stdout }).on("line", (line) => {
    const [what, number] = line.split(" ");
    lines += 1;
    if (what === "pending") pending = Number(number);
    else for (let each = 0; each < 10; each += 1) spooled.add(Number(number) + each);
  });
  const until = async (what: string, check: () => boolean): Promise<void> => {
    const deadline = performance.now() + 180_000;
    while (!check()) {
      if (performance.now() > deadline) throw new Error(`the agent did not ${what} in 180 s`);
      await sleep(20);
    }
  };
  return {
    child,
    begun: async () => await until("begin", () => lines > 0),
    /** It reports no more, and everything it and earlier lives left is acknowledged. */
    settled: async () => await until("catch up", () => pending === 0),
  };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}
