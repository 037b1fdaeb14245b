/**
 * AxonizeTenant: brings PostgreSQL and the tenant's namespaces to what the resource says, and says in its
 * status how far that has come. Level-based: each run looks at everything and does what is missing, so that
 * whatever was lost, edited or cut short before is made good.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import type { Registry } from "@axonize/core/runtime/metrics";
import type { Sql } from "@axonize/core/runtime/postgres";
import { createApplyStatus } from "../../kube/apply.ts";
import { setReady } from "../../kube/conditions.ts";
import { axonizeTenants } from "../../kube/kinds.ts";
import type {
  Condition,
  ControllerBuilder,
  ReconcileContext,
  Reconciler,
  ReconcileResult,
} from "../../kube/types.ts";
import { AxonizeTenantSpec, type AxonizeTenantStatus } from "../../resources/crds/tenant.ts";
import { centralSecretNameOf, secretNameOf } from "../../resources/tenant/objects.ts";
import { createNamedFence } from "../../store/clusters.ts";
import { createFence } from "../../store/fence.ts";
import { readUsage } from "../../store/usage.ts";
import { createCaches, reapKey } from "./caches.ts";
import { censusKey, createCensus } from "./census.ts";
import {
  centralUid,
  claimedNames,
  refusalOf,
  syncDatabase,
  tenantIdOf,
  type Synced,
} from "./database.ts";
import { addFinalizer, finalize, hasFinalizer } from "./finalize.ts";
import { runKey } from "./issue.ts";
import { clusterRetryMs, databaseRetryMs, namespacesAtOnce, reapMs, refreshMs } from "./limits.ts";
import { createTenantMetrics } from "./metrics.ts";
import { cleanUp, settleNamespace, type BoundPlace, type PlaceReport } from "./namespaces.ts";
import { reap } from "./reap.ts";
import { createSecretMemory } from "./secrets.ts";
import { statusOf, type Findings } from "./status.ts";
import { tellTransitions, tellUninjected } from "./transitions.ts";
import type { Run, TenantOptions, World } from "./types.ts";

export type { InjectionState, TenantOptions } from "./types.ts";

export interface TenantReconcilerDeps {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
}

export function createTenantReconciler(deps: TenantReconcilerDeps, options: TenantOptions) {
  return {
    wire: (builder: ControllerBuilder): Reconciler => {
      const { clock, log } = deps;
      const world: World = {
        clock,
        log,
        options,
        fence: createNamedFence(createFence(deps), options),
        metrics: createTenantMetrics(deps.registry),
        client: builder.client,
        recorder: builder.recorder,
        secrets: createSecretMemory(),
        census: createCensus(),
        caches: createCaches(builder, options),
        enqueue: (key, when) => builder.enqueue(key, when),
      };
      // When usage was last written: a restart may write it once more.
      const usageWritten = new Map<string, number>();
      builder.enqueue(reapKey);
      builder.enqueue(censusKey);
      return {
        name: "tenant",
        reconcile: async (key, context) => {
          if (key === reapKey) return await reconcileRows(world, context);
          if (key === censusKey) return { requeueAfterMs: await world.census.run(world) };
          return await reconcileTenant(world, { key, context, usageWritten });
        },
      };
    },
  };
}

async function reconcileRows(world: World, { epoch }: ReconcileContext): Promise<ReconcileResult> {
  const clusterUid = clusterUidOf(world);
  if (clusterUid === undefined) return { requeueAfterMs: clusterRetryMs };
  try {
    await reap(world, { clusterUid, epoch });
  } catch (error) {
    if (refusalOf(error) === undefined) throw error;
    // PostgreSQL is away; the tenants' conditions say so.
    return { requeueAfterMs: databaseRetryMs };
  }
  return { requeueAfterMs: reapMs };
}

/** The cluster's identity: the UID of its namespace kube-system. */
const clusterUidOf = ({ caches }: World): string | undefined =>
  caches.namespaces.get("kube-system")?.metadata.uid;

async function reconcileTenant(
  world: World,
  parts: { key: string; context: ReconcileContext; usageWritten: Map<string, number> },
): Promise<ReconcileResult> {
  const object = world.caches.tenants.get(parts.key);
  if (object === undefined) {
    countTenants(world);
    return undefined;
  }
  const clusterUid = clusterUidOf(world);
  if (clusterUid === undefined) return { requeueAfterMs: clusterRetryMs };
  const { name, uid = "" } = object.metadata;
  const run: Run = {
    object,
    clusterUid,
    epoch: parts.context.epoch,
    nowMs: world.clock.now(),
    owner: { name, uid, tenantId: tenantIdOf(object) },
  };
  const parsed = AxonizeTenantSpec.safeParse(object.spec ?? {});
  if (object.metadata.deletionTimestamp !== undefined) {
    const result = await finalize(world, run, parsed.data);
    if (result === undefined) {
      world.metrics.retiringInUse.remove({ tenant: run.owner.tenantId });
      parts.usageWritten.delete(uid);
      wakeRivals(world, run, claimedNames(object));
    }
    return result;
  }
  if (!parsed.success) return await tellUnreadable(world, run, parsed.error.issues[0]);
  if (!hasFinalizer(run)) await addFinalizer(world, run);
  return await settle(world, run, { spec: parsed.data, usageWritten: parts.usageWritten });
}

async function settle(
  world: World,
  run: Run,
  parts: { spec: AxonizeTenantSpec; usageWritten: Map<string, number> },
): Promise<ReconcileResult> {
  const { spec, usageWritten } = parts;
  const { uid } = run.owner;
  const database = await syncDatabase(world, run, spec);
  const common = { spec, database, injection: world.options.injection() };
  if (database.kind === "refused") {
    const nothing = {
      places: [],
      central: undefined,
      usage: undefined,
      usageWrittenMs: 0,
      uninjected: () => undefined,
    };
    await writeStatus(world, run, { ...common, ...nothing });
    const isOthers = database.reason.startsWith("OwnedBy") || database.reason === "QuotaRejected";
    return { requeueAfterMs: isOthers ? refreshMs : databaseRetryMs };
  }
  const places = await settlePlaces(world, run, { spec, database });
  const central = await settleCentral(world, run, { spec, database });
  await removeLeftovers(world, run, { spec, database });
  const findings: Findings = {
    ...common,
    places,
    central,
    usage: await world.fence.read(
      async (sql) => await readUsage(sql, run.owner.tenantId, run.nowMs),
    ),
    usageWrittenMs: usageWritten.get(uid) ?? 0,
    uninjected: (namespace) => world.census.of(namespace),
  };
  const status = await writeStatus(world, run, findings);
  if (status.usage !== run.object.status?.usage) usageWritten.set(uid, run.nowMs);
  countRetiring(world, run, [...places, central]);
  return { requeueAfterMs: nextMs(run, [...places, central]) };
}

/** A few namespaces at a time; the first error stops it, and the next run goes on. */
async function settlePlaces(
  world: World,
  run: Run,
  { spec, database }: { spec: AxonizeTenantSpec; database: Synced },
): Promise<PlaceReport[]> {
  const places = database.claims.flatMap((claim): BoundPlace[] => {
    if (claim.state !== "Bound" && claim.state !== "Terminating") return [];
    const said = spec.namespaces?.find(({ name }) => name === claim.name);
    return [
      {
        name: claim.name,
        uid: claim.uid,
        isTerminating: claim.state === "Terminating",
        injection: said?.injection,
        environment: said?.environment,
      },
    ];
  });
  const reports: PlaceReport[] = [];
  for (let at = 0; at < places.length; at += namespacesAtOnce) {
    const some = places.slice(at, at + namespacesAtOnce);
    const done = some.map(
      async (place) => await settleNamespace(world, run, { spec, place, rows: database.keys }),
    );
    reports.push(...(await Promise.all(done)));
  }
  return reports;
}

/** Keys that no workload gets. */
async function settleCentral(
  world: World,
  run: Run,
  { spec, database }: { spec: AxonizeTenantSpec; database: Synced },
): Promise<PlaceReport | undefined> {
  const keys = spec.apiKeys.filter(({ distribution }) => distribution === "OperatorNamespace");
  if (keys.length === 0) return undefined;
  const { operatorNamespace: namespace } = world.options;
  const reports = [];
  for (const key of keys) {
    reports.push(
      await runKey(world, run, {
        key,
        namespace,
        namespaceUid: centralUid(run.clusterUid),
        secretName: centralSecretNameOf(key, run.owner.tenantId),
        endpoint: spec.injection.endpoint ?? world.options.injectionEndpoint,
        isTerminating: false,
        rows: database.keys,
      }),
    );
  }
  return { name: namespace, keys: reports, trouble: undefined, retryMs: undefined };
}

async function removeLeftovers(
  world: World,
  run: Run,
  { spec, database }: { spec: AxonizeTenantSpec; database: Synced },
): Promise<void> {
  const bound = database.claims.flatMap(({ state, name }) =>
    state === "Bound" || state === "Terminating" ? [name] : [],
  );
  const secrets = spec.apiKeys.flatMap((key) =>
    key.distribution === "AllNamespaces"
      ? bound.map((namespace) => `${namespace}/${secretNameOf(key)}`)
      : [`${world.options.operatorNamespace}/${centralSecretNameOf(key, run.owner.tenantId)}`],
  );
  await cleanUp(world, run.owner, {
    secrets: new Set(secrets),
    namespaces: new Set(bound),
    left: database.left,
    secretNames: spec.apiKeys.map(secretNameOf),
  });
  if (database.left.length > 0) wakeRivals(world, run, database.left);
}

/** Who else claims what has become free. */
function wakeRivals(world: World, { owner }: Run, names: readonly string[]): void {
  const { tenants } = world.caches;
  const rivals = [
    ...names.flatMap((name) => tenants.byIndex("namespace", name)),
    ...tenants.byIndex("tenantId", owner.tenantId),
  ];
  for (const { metadata } of rivals) if (metadata.uid !== owner.uid) world.enqueue(metadata.name);
}

async function writeStatus(
  world: World,
  run: Run,
  findings: Findings,
): Promise<AxonizeTenantStatus> {
  const status = statusOf(run, findings);
  const applyStatus = createApplyStatus({ client: world.client }, { controller: "tenant" });
  if (await applyStatus(run.object, axonizeTenants, status)) {
    tellTransitions(world.recorder, run.object, status);
    tellUninjected(world.recorder, run.object, { status, of: findings.uninjected });
    countTenants(world, { uid: run.owner.uid, status });
  }
  return status;
}

/** The CRD lets only readable specs through; one of another version may be another matter. */
async function tellUnreadable(
  world: World,
  run: Run,
  issue: { path: PropertyKey[]; message: string } | undefined,
): Promise<ReconcileResult> {
  const { object } = run;
  const message = `spec.${issue?.path.map(String).join(".") ?? ""}: ${issue?.message ?? "it cannot be read"}. Are the custom resource definitions those of this operator?`;
  const conditions = setReady(
    // The schema says `| undefined` where JSON has nothing.
    (object.status?.conditions ?? []) as readonly Condition[],
    {
      generation: object.metadata.generation,
      ready: "False",
      reason: "InvalidReference",
      message,
      stalled: true,
    },
    new Date(run.nowMs),
  );
  const status = { ...object.status, conditions: [...conditions] };
  const applyStatus = createApplyStatus({ client: world.client }, { controller: "tenant" });
  await applyStatus(object, axonizeTenants, status);
  return undefined;
}

/** By what `Ready` says; of this one by what it says from now on. */
function countTenants(
  { caches, metrics }: World,
  own?: { uid: string; status: AxonizeTenantStatus },
): void {
  const counts = new Map<string, number>();
  for (const { metadata, status: cached } of caches.tenants.list()) {
    const { conditions } = (metadata.uid === own?.uid ? own?.status : cached) ?? {};
    const reason = conditions?.find(({ type }) => type === "Ready")?.reason ?? "Unknown";
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  metrics.tenants.reset();
  for (const [reason, count] of counts) metrics.tenants.set({ reason }, count);
}

function countRetiring(
  { metrics }: World,
  { owner, nowMs }: Run,
  places: readonly (PlaceReport | undefined)[],
): void {
  const rows = places.flatMap((place) => (place?.keys ?? []).flatMap((report) => report.rows));
  const inUse = rows.filter(
    ({ state, lastUsedMs }) => state === "retiring" && nowMs - (lastUsedMs ?? 0) < 86_400_000,
  );
  metrics.retiringInUse.set({ tenant: owner.tenantId }, inUse.length);
}

/** When something is due by itself, and in any case when usage is. */
function nextMs({ nowMs }: Run, places: readonly (PlaceReport | undefined)[]): number {
  const due = places.flatMap((place) => [
    ...(place?.retryMs === undefined ? [] : [place.retryMs]),
    ...(place?.keys ?? []).flatMap(({ rest }) => {
      if (rest.kind === "blocked") return [clusterRetryMs];
      return rest.untilMs === undefined ? [] : [Math.max(1_000, rest.untilMs - nowMs)];
    }),
  ]);
  return Math.min(refreshMs, ...due);
}
