/**
 * Standalone's composition root: data directory, log, stores, access, ingest, dashboard and agent in one
 * process, opened in this order and closed in the reverse one within the stop budget.
 */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createAccess } from "@axonize/core/runtime/access";
import type { Clock } from "@axonize/core/runtime/clock";
import { isLoopback } from "@axonize/core/runtime/config";
import type { Running } from "@axonize/core/runtime/lifecycle";
import type { Log } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { createDashboard } from "../dashboard/api/app.ts";
import { createIngest, type Ingest } from "../ingest/app.ts";
import { readAdminKey } from "./admin-key.ts";
import { machineOf } from "./machine.ts";
import { banner, createProgress, type BannerFacts, type Output } from "./banner.ts";
import type { StandaloneConfig } from "./config.ts";
import { openDataDir } from "./data-dir.ts";
import { createFileLog } from "./log-file.ts";
import { addressOf, checkListeners, listenError, type Listener } from "./ports.ts";
import { openStores, type OpenStores } from "./stores.ts";

export interface StandaloneOptions {
  config: StandaloneConfig;
  version: string;
  /** Migrate the stores and return, without serving. */
  migrateOnly: boolean;
  signal: AbortSignal;
  output: Output;
  clock: Clock;
}

export async function startStandalone(options: StandaloneOptions): Promise<Running> {
  const { config, signal, output, clock, version } = options;
  const startedMs = clock.monotonic();
  const progress = createProgress(output);
  await using opening = new AsyncDisposableStack();

  const dataDir = opening.use(await openDataDir(config.AXONIZE_DATA_DIR));
  const { log, file: logFile } = opening.use(
    await createFileLog({
      dataDir: dataDir.path,
      level: config.AXONIZE_LOG_LEVEL,
      say: (line) => progress.say(line),
      now: () => clock.now(),
    }),
  );
  if (!options.migrateOnly) await checkListeners(listeners(config));
  const adminKey = await readAdminKey(dataDir.path, config.AXONIZE_ADMIN_KEY);

  progress.step(dataDir.fresh ? "Creating the stores …" : "Opening the stores …");
  const stores = opening.use(
    await openStores(
      { log, clock },
      {
        dataDir: dataDir.path,
        clickhouseUrl: config.AXONIZE_CLICKHOUSE_URL,
        clickhouseCluster: config.AXONIZE_CLICKHOUSE_CLUSTER,
        postgresUrl: config.AXONIZE_POSTGRES_URL,
        serverWaitMs: config.AXONIZE_STORE_WAIT_SECONDS * 1000,
        signal,
      },
    ),
  );
  if (options.migrateOnly) {
    progress.say(`The tables are up to date: ${stores.clickhouseName}, ${stores.postgresName}.`);
  } else {
    progress.step("Starting the receivers and the dashboard …");
    signal.throwIfAborted();
    const served = await explained(
      config,
      serve(opening, {
        config,
        version,
        stores,
        clock,
        log,
        dataDir: dataDir.path,
        adminKey: adminKey.key,
      }),
    );
    progress.done();
    const startMs = clock.monotonic() - startedMs;
    log.info({ event: "standalone.ready", version, startMs });
    const facts = { ...served, version, startMs, logFile, adminKeyFile: adminKey.file };
    output.write(banner({ ...facts, dataDir: dataDir.path, fresh: dataDir.fresh }, output.color));
  }
  const closing = opening.move();
  return {
    stop: async () => {
      if (!options.migrateOnly) progress.say("Stopping: finishing what is in flight …");
      await closing.disposeAsync();
    },
  };
}

type Served = Pick<
  BannerFacts,
  "grpc" | "http" | "dashboard" | "clickhouse" | "postgres" | "keyNeeded" | "web" | "driver"
>;

/** Everything that listens. What is opened goes onto `opening`, to be closed in reverse order. */
async function serve(
  opening: AsyncDisposableStack,
  options: {
    config: StandaloneConfig;
    version: string;
    stores: OpenStores;
    clock: Clock;
    log: Log;
    dataDir: string;
    adminKey: string;
  },
): Promise<Served> {
  const { config, stores, clock, log, version } = options;
  const { clickhouse, sql } = stores;
  const registry = createRegistry();
  const access = opening.use(
    await createAccess(
      { sql, clock, log },
      // The tenant is there in any case; without a key it is reached over loopback listeners only.
      { adminKey: options.adminKey, loopbackTenant: "default" },
    ),
  );
  const deps = { clickhouse, sql, access, clock, log, registry };
  const receivers = [config.AXONIZE_OTLP_GRPC_LISTEN, config.AXONIZE_OTLP_HTTP_LISTEN];
  const mayBeKeyless = !config.AXONIZE_REQUIRE_KEYS;
  const keylessIngest = mayBeKeyless && receivers.every(({ host }) => isLoopback(host));
  const machine = machineOf(config);
  const findPeer = machine.findPeer({ clock });
  const processSecret = randomBytes(32).toString("hex");
  const ingest = await createIngest(
    { ...deps, findPeer },
    {
      grpcListen: config.AXONIZE_OTLP_GRPC_LISTEN,
      httpListen: config.AXONIZE_OTLP_HTTP_LISTEN,
      keylessLoopback: keylessIngest,
      version,
      instance: "standalone",
      agents: { processSecret },
    },
  );
  const services: AsyncDisposable[] = [ingest];
  opening.defer(async () => await stopServices(services, { clock, log }));
  const { dashboard, web } = await openDashboard(deps, { config, version, mayBeKeyless, ingest });
  services.push(dashboard);
  const { grpcAddress } = ingest;
  opening.use(
    await machine.startAgent(
      { clock, log, registry },
      { version, dataDir: options.dataDir, grpcAddress, processSecret },
    ),
  );
  return {
    grpc: ingest.grpcAddress,
    http: ingest.httpAddress,
    dashboard: dashboard.address,
    clickhouse: stores.clickhouseName,
    postgres: stores.postgresName,
    keyNeeded: !keylessIngest,
    web,
    driver: machine.driver,
  };
}

async function openDashboard(
  deps: Parameters<typeof createDashboard>[0],
  options: { config: StandaloneConfig; version: string; mayBeKeyless: boolean; ingest: Ingest },
): Promise<{ dashboard: Awaited<ReturnType<typeof createDashboard>>; web: boolean }> {
  const { config, version, mayBeKeyless, ingest } = options;
  const webRoot = join(import.meta.dirname, "../dashboard/web/dist");
  const web = existsSync(join(webRoot, "index.html"));
  const dashboard = await createDashboard(deps, {
    listen: config.AXONIZE_HTTP_LISTEN,
    mode: "standalone",
    keylessLoopback: mayBeKeyless && isLoopback(config.AXONIZE_HTTP_LISTEN.host),
    otlpGrpcEndpoint: addressOf(ingest.grpcAddress),
    otlpHttpEndpoint: `http://${addressOf(ingest.httpAddress)}`,
    webRoot: web ? webRoot : undefined,
    version,
  });
  return { dashboard, web };
}

/**
 * Of the 5 s to stop in, the stores need one. A request that is not answered by then never will be,
 * so its sender keeps it and sends it again.
 */
const servicesStopMs = 3_500;

/** All at once: each may have to wait for its slowest peer. */
async function stopServices(
  services: readonly AsyncDisposable[],
  deps: { clock: Clock; log: Log },
): Promise<void> {
  const late = new AbortController();
  const stopped = (async () => {
    await Promise.all(services.map(async (service) => await service[Symbol.asyncDispose]()));
    return true;
  })();
  const timeout = deps.clock.sleep(servicesStopMs, late.signal).then(
    () => false,
    () => false, // aborted below: the services were first
  );
  if (!(await Promise.race([stopped, timeout]))) {
    deps.log.warn({ event: "standalone.stop_cut" }, "stopped before every request was answered");
    stopped.catch(() => undefined); // the process ends; nobody is left to tell
  }
  late.abort();
}

/** A port may be taken between the look at it and the use of it. */
async function explained<T>(config: StandaloneConfig, served: Promise<T>): Promise<T> {
  try {
    return await served;
  } catch (error) {
    const { syscall, port } = error as { syscall?: string; port?: number };
    const listener = listeners(config).find(({ listen }) => listen.port === port);
    if (syscall !== "listen" || listener === undefined) throw error;
    throw await listenError(listener, error);
  }
}

function listeners(config: StandaloneConfig): Listener[] {
  return [
    {
      purpose: "the dashboard",
      variable: "AXONIZE_HTTP_LISTEN",
      listen: config.AXONIZE_HTTP_LISTEN,
    },
    {
      purpose: "OTLP over gRPC",
      variable: "AXONIZE_OTLP_GRPC_LISTEN",
      listen: config.AXONIZE_OTLP_GRPC_LISTEN,
    },
    {
      purpose: "OTLP over HTTP",
      variable: "AXONIZE_OTLP_HTTP_LISTEN",
      listen: config.AXONIZE_OTLP_HTTP_LISTEN,
    },
  ];
}
