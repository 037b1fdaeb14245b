/**
 * The operator's composition root: caches and controllers of tenants and pools, the webhook where the
 * cluster needs one, and what tells how they are.
 */
import { every, type Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { Registry } from "@axonize/core/runtime/metrics";
import type { Sql } from "@axonize/core/runtime/postgres";
import type { OperatorConfig } from "./config.ts";
import { createGpuPoolMetrics } from "./controllers/gpupool/metrics.ts";
import { createGpuPoolReconciler } from "./controllers/gpupool/reconciler.ts";
import { createPoolStore } from "./controllers/gpupool/store.ts";
import { createTenantReconciler, type InjectionState } from "./controllers/tenant/reconciler.ts";
import { createInjectionProbe } from "./injection/detect.ts";
import { createInjectionMetrics } from "./injection/metrics.ts";
import { createWebhookController } from "./injection/webhook-controller.ts";
import { createWebhookServer, type WebhookServer } from "./injection/webhook-server.ts";
import type { ClusterAccess } from "./kube/access.ts";
import { isUnavailable } from "./kube/controller.ts";
import { mutatingAdmissionPolicies, namespaces, resourceSlices } from "./kube/kinds.ts";
import { probeMs } from "./kube/limits.ts";
import { createManager, type Manager } from "./kube/manager.ts";
import { createProbes } from "./kube/probes.ts";
import { createOperatorMetrics, type OperatorMetrics } from "./metrics.ts";
import { startMetricsServer } from "./metrics-server.ts";
import { startOps, type Health, type Ops } from "./ops.ts";
import { checkSchemas, describeFinding } from "./schema-check.ts";
import { createClusterName, createNamedFence, type ClusterName } from "./store/clusters.ts";
import { createFence } from "./store/fence.ts";

export interface OperatorDeps {
  readonly access: ClusterAccess;
  readonly sql: Sql;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
  /** Ends the process: the lease is lost, or the caches do not fill. */
  readonly onFatal: (reason: string) => void;
}

export interface Operator extends AsyncDisposable {
  readonly opsAddress: { readonly host: string; readonly port: number };
  readonly manager: Manager;
}

/** Waits between looks at an API server that does not answer at the start. */
const apiRetryMs = 2_000;
const injectionRefreshMs = 60_000;
const clusterNameMs = 60_000;

export async function createOperator(
  deps: OperatorDeps,
  config: OperatorConfig,
  signal: AbortSignal,
): Promise<Operator> {
  const metrics = createOperatorMetrics(deps.registry);
  metrics.info.set({ version: config.version }, 1);
  const manager = createManager({ ...deps, random: Math.random }, config);
  const { client } = manager;
  const warnings = new Map<string, string>();
  const stop = new AbortController();
  const webhook: WebhookState = { server: undefined, isInUse: () => false };
  const troubles = new Set<string>();
  const health = createHealth({ manager, metrics, warnings, troubles, webhook });

  await using started = new AsyncDisposableStack();
  const ops = await startOperations(deps, { manager, health, config });
  started.defer(async () => await ops.stop());

  const clusterUid = await answered(deps, signal, async () => {
    const system = await client.get({ kind: namespaces, name: "kube-system" });
    return system?.metadata.uid ?? "";
  });
  const injection = await answered(
    deps,
    signal,
    async () => await startInjection(deps, manager, config),
  );
  const clusterName = addReconcilers(deps, manager, config, { clusterUid, injection });
  if (injection.mayBeWebhook) {
    const server = addWebhook(deps, manager, config);
    webhook.server = server;
    webhook.isInUse = () => injection.mechanism() === "webhook";
    await server.listen(config.webhookListen);
    started.defer(async () => await server.close());
  }
  await manager.start();
  started.defer(async () => await manager.stop());
  const loops = Promise.all([
    injection.run(stop.signal),
    watchSchemas(deps, { manager, metrics, warnings }, stop.signal),
    probeApis(deps, { manager, metrics }, stop.signal),
    watchClusterName(deps, { clusterName, troubles }, stop.signal),
  ]);
  started.defer(async () => {
    stop.abort();
    await loops;
  });

  const running = started.move();
  return {
    opsAddress: ops.address,
    manager,
    [Symbol.asyncDispose]: async () => await running.disposeAsync(),
  };
}

/** Health and metrics: in one place, or the metrics apart for those who may read them. */
async function startOperations(
  deps: OperatorDeps,
  of: { manager: Manager; health: Health; config: OperatorConfig },
): Promise<Ops> {
  const { registry } = deps;
  const { health, config, manager } = of;
  const { metricsListen } = config;
  if (metricsListen === undefined) return await startOps({ registry, health }, config.opsListen);
  const { transport } = manager;
  const observe = (): void => health.observe();
  const metrics = await startMetricsServer({ ...deps, transport, observe }, metricsListen);
  const ops = await startOps({ health }, config.opsListen);
  return {
    address: ops.address,
    stop: async () => void (await Promise.all([metrics.stop(), ops.stop()])),
  };
}

function addReconcilers(
  { sql, clock, log, registry }: OperatorDeps,
  manager: Manager,
  config: OperatorConfig,
  of: { clusterUid: string; injection: { state: () => InjectionState } },
): ClusterName {
  const { clusterUid, injection } = of;
  const fence = createNamedFence(createFence({ sql }), config);
  const cluster = { name: config.cluster, uid: clusterUid };
  const clusterName = createClusterName({ fence, clock }, cluster);
  const store = createPoolStore({ sql, fence }, { ...config, clusterUid });
  const options = { ...config, operatorNamespace: config.namespace, injection: injection.state };
  manager.add("tenant", createTenantReconciler({ sql, clock, log, registry }, options));
  manager.add(
    "gpupool",
    createGpuPoolReconciler(
      { store, clusterName, clock, log, metrics: createGpuPoolMetrics(registry) },
      { agents: config.agents, bundledImage: config.agentImage },
    ),
  );
  return clusterName;
}

interface WebhookState {
  server: WebhookServer | undefined;
  /** It is what injects, as far as is known. */
  isInUse: () => boolean;
}

function createHealth(parts: {
  manager: Manager;
  metrics: OperatorMetrics;
  warnings: ReadonlyMap<string, string>;
  /** Nothing is done because of them. */
  troubles: ReadonlySet<string>;
  webhook: WebhookState;
}): Health {
  const { manager, metrics, warnings, troubles, webhook } = parts;
  const problems = (): string[] => [
    ...manager.problems(),
    ...troubles,
    ...(webhook.isInUse() ? (webhook.server?.problems() ?? []) : []),
  ];
  return {
    problems,
    warnings: () => [...warnings.values()],
    isLeading: () => manager.isLeading(),
    observe: () => {
      metrics.ready.set(problems().length === 0 ? 1 : 0);
      manager.observe();
    },
  };
}

/** At the start the API server may be away, or refuse while its own caches fill. */
async function answered<T>(
  { clock, log }: OperatorDeps,
  signal: AbortSignal,
  ask: () => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      log.warn({ event: "operator.waiting", reason: errorMessage(error) });
      await clock.sleep(apiRetryMs, signal);
    }
  }
}

/** By what pods are injected, looked at again every minute. */
async function startInjection(
  { clock, log }: OperatorDeps,
  { client }: Manager,
  { injection: setting, namespace }: OperatorConfig,
) {
  const probe = createInjectionProbe({ client, clock }, { setting, namespace });
  let state = await probe.fact();
  const onError = (error: unknown): void => {
    log.warn({ event: "operator.injection", reason: errorMessage(error) });
  };
  return {
    mechanism: () => state.mechanism,
    // Helm makes its configuration after the operator: what is not there yet may come.
    mayBeWebhook: setting === "webhook" || (setting === "auto" && state.mechanism !== "policy"),
    state: (): InjectionState => state,
    run: async (signal: AbortSignal) =>
      await every({ clock, ms: injectionRefreshMs, signal, onError }, async () => {
        state = await probe.fact();
      }),
  };
}

function addWebhook(
  { clock, log, registry }: OperatorDeps,
  manager: Manager,
  { namespace }: OperatorConfig,
): WebhookServer {
  const controller = createWebhookController({ clock, log, server: () => server }, { namespace });
  const metrics = createInjectionMetrics(registry);
  const server = createWebhookServer({ profiles: controller.profiles, log, metrics });
  manager.add("webhook", controller, { workers: 1 });
  return server;
}

async function watchSchemas(
  { clock, log }: OperatorDeps,
  parts: { manager: Manager; metrics: OperatorMetrics; warnings: Map<string, string> },
  signal: AbortSignal,
): Promise<void> {
  const onError = (error: unknown): void => {
    log.warn({ event: "operator.crds", reason: errorMessage(error) });
  };
  const check = async (): Promise<void> => {
    for (const finding of await checkSchemas(parts.manager.client)) {
      const warning = describeFinding(finding);
      parts.metrics.crdOutdated.set({ crd: finding.crd }, warning === undefined ? 0 : 1);
      const before = parts.warnings.get(finding.crd);
      if (warning === undefined) parts.warnings.delete(finding.crd);
      else parts.warnings.set(finding.crd, warning);
      if (warning !== before && warning !== undefined) log.warn({ event: "operator.crd", warning });
    }
  };
  await check().catch(onError);
  await every({ clock, ms: probeMs, signal, onError }, check);
}

async function watchClusterName(
  { clock, log }: OperatorDeps,
  { clusterName, troubles }: { clusterName: ClusterName; troubles: Set<string> },
  signal: AbortSignal,
): Promise<void> {
  const onError = (error: unknown): void => {
    log.warn({ event: "operator.cluster_name", reason: errorMessage(error) });
  };
  const check = async (): Promise<void> => {
    const problem = await clusterName.problem();
    const isNews = problem !== undefined && !troubles.has(problem);
    troubles.clear();
    if (problem === undefined) return;
    troubles.add(problem);
    if (isNews) log.error({ event: "operator.cluster_name", reason: problem });
  };
  await check().catch(onError);
  await every({ clock, ms: clusterNameMs, signal, onError }, check);
}

async function probeApis(
  { clock, log }: OperatorDeps,
  { manager, metrics }: { manager: Manager; metrics: OperatorMetrics },
  signal: AbortSignal,
): Promise<void> {
  const probes = createProbes(
    {
      transport: manager.transport,
      clock,
      log,
      onFound: ({ kind }, served) => metrics.apiServed.set({ kind }, served ? 1 : 0),
    },
    [mutatingAdmissionPolicies, resourceSlices],
  );
  await probes.run(signal);
}
