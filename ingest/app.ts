/**
 * Ingest's composition root: OTLP in, ClickHouse out, acknowledged when ClickHouse has it.
 *
 * Disposal closes the doors, lets what is in flight finish, commits what is open, then settles usage.
 */
import type { Access } from "@axonize/core/runtime/access";
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import type { Registry } from "@axonize/core/runtime/metrics";
import type { Sql } from "@axonize/core/runtime/postgres";
import { createAuthorize } from "./agents/credential.ts";
import { createIdentityStore } from "./agents/identity-store.ts";
import { createAgentMetrics } from "./agents/metrics.ts";
import { createAgentService, type AgentService } from "./agents/service.ts";
import { createPoolConfigs } from "./agents/pool-configs.ts";
import { startPruning } from "./agents/prune.ts";
import { createTokenReviews } from "./agents/token-review.ts";
import { createAttribution } from "./attribute/attribution.ts";
import type { IngestConfig } from "./config.ts";
import { createTraceDecoder } from "./decode/trace-decoder.ts";
import { budgetBytes, tenantShareRatio } from "./limits.ts";
import { createIngestMetrics, type IngestMetrics } from "./metrics.ts";
import { createPipeline } from "./pipeline.ts";
import { createPointsDecoder } from "./points/decoder.ts";
import { createDoor } from "./receive/door.ts";
import { createGrpcReceiver } from "./receive/grpc.ts";
import { createHttpReceiver } from "./receive/http.ts";
import { createPeers, type FindPeer } from "./receive/peers.ts";
import { createUsageDerivation } from "./usage/derive.ts";
import { startPurge } from "./purge/purge.ts";
import { createExcess } from "./usage/excess.ts";
import { createTally, startHeartbeat } from "./usage/heartbeat.ts";
import { createIntake } from "./usage/intake.ts";
import type { BlockSource } from "./write/block.ts";
import { createBudget, type Budget } from "./write/budget.ts";
import { createGroupCommit, type GroupCommit } from "./write/group.ts";
import { createInsert, type Insert } from "./write/insert.ts";
import { createQuota } from "./write/quota.ts";
import { createRecentRequests } from "./write/recent-requests.ts";
import { createStoreHealth } from "./write/store-health.ts";

export type { IngestConfig } from "./config.ts";

export interface IngestDeps {
  clickhouse: ClickHouseClient;
  sql: Sql;
  access: Access;
  clock: Clock;
  log: Log;
  registry: Registry;
  /** Finds the process behind a loopback connection, where somebody can. */
  findPeer?: FindPeer | undefined;
}

export interface Ingest extends AsyncDisposable {
  /** Resolves when the identity that was committed before the call counts for spans. */
  refreshIdentity(): Promise<void>;
  grpcAddress: { host: string; port: number };
  httpAddress: { host: string; port: number };
}

export async function createIngest(given: IngestDeps, config: IngestConfig): Promise<Ingest> {
  const deps = { ...given, metrics: createIngestMetrics(given.registry) };
  const { tally, status } = createTally(deps);
  const traces = createTraceDecoder();
  const points = createPointsDecoder();
  const bytes = config.memoryBytes ?? budgetBytes;
  const budget = createBudget(deps, {
    bytes,
    openBytes: () => traces.openBytes() + points.openBytes(),
  });
  deps.metrics.budgetBytes.set(bytes);
  const insert = createInsert(deps);
  const groups = createGroupCommit({ ...deps, budget, insert, sources: [traces, points] });

  await using started = new AsyncDisposableStack();
  const usage = started.use(await createUsageDerivation(deps));
  const intake = started.use(await createIntake(deps));
  const health = started.use(createStoreHealth(deps));
  const attribution = started.use(
    await createAttribution(
      { ...deps, touched: (tenant, hours) => usage.touch(tenant, hours) },
      { checksTenants: config.agents?.checksTenants ?? false },
    ),
  );
  const { attributor } = attribution;
  const parts = { groups, health, usage, intake, tally, traces, points, attributor };
  const pipeline = createPipeline({
    ...deps,
    ...parts,
    recent: createRecentRequests(deps),
    quota: createQuota({ ...deps, excess: started.use(createExcess(deps)) }),
  });
  started.use(startStatus({ ...deps, groups, budget, status, sources: [traces, points] }, config));
  started.use(startPurge(deps, { cluster: config.clickhouseCluster }));
  started.defer(async () => await groups.flush());
  const door = createDoor({
    ...deps,
    budget,
    pipeline,
    tally,
    shareBytes: bytes * tenantShareRatio,
  });
  const { keylessLoopback } = config;
  const peers = createPeers(deps, deps.findPeer);
  const agents = createAgents({ ...deps, insert, started }, config);
  const grpc = await createGrpcReceiver(
    { ...deps, door, agents, peers },
    { ...config.stop, listen: config.grpcListen, keylessLoopback },
  );
  started.defer(async () => await grpc.stop());
  const http = await createHttpReceiver(
    { ...deps, door, peers },
    { ...config.stop, listen: config.httpListen, keylessLoopback },
  );
  started.defer(async () => await http.stop());

  const running = started.move();
  return {
    refreshIdentity: async () => await attribution.refresh(),
    grpcAddress: grpc.address,
    httpAddress: http.address,
    [Symbol.asyncDispose]: async () => {
      if (config.stop !== undefined) {
        grpc.drain();
        http.drain();
        await deps.clock.sleep(config.stop.lameDuckMs);
      }
      // Both doors at once: each may take its whole time to drain.
      await Promise.all([agents.stop().then(async () => await grpc.stop()), http.stop()]);
      await running.disposeAsync();
    },
  };
}

function startStatus(
  deps: IngestDeps & {
    metrics: IngestMetrics;
    groups: GroupCommit;
    budget: Budget;
    status: ReturnType<typeof createTally>["status"];
    sources: readonly BlockSource[];
  },
  config: IngestConfig,
): AsyncDisposable {
  const { groups, budget, metrics, sources } = deps;
  return startHeartbeat(deps, {
    ...config,
    status: () => {
      const lagMs = groups.oldestMs();
      metrics.heldBytes.set(budget.heldBytes());
      metrics.oldestUnackedSeconds.set((lagMs ?? 0) / 1000);
      return deps.status({
        lagMs: () => lagMs,
        openRows: () => sources.reduce((sum, source) => sum + source.openRows(), 0),
        inFlightBytes: () => budget.heldBytes(),
      });
    },
  });
}

/** The agents' side of the gRPC port. */
function createAgents(
  deps: IngestDeps & { insert: Insert; started: AsyncDisposableStack },
  config: IngestConfig,
): AgentService {
  const { tokenReview, processSecret, cluster = "" } = config.agents ?? {};
  const reviews = tokenReview === undefined ? undefined : createTokenReviews(deps, tokenReview);
  const metrics = createAgentMetrics(deps.registry);
  deps.started.use(startPruning({ ...deps, metrics }));
  const pools = deps.started.use(createPoolConfigs(deps, () => service.retell()));
  const service = createAgentService(
    {
      ...deps,
      metrics,
      pools,
      store: createIdentityStore(deps),
      authorize: createAuthorize({ ...deps, reviews }, { processSecret }),
    },
    { cluster },
  );
  return service;
}
