/**
 * `axonize-operator cleanup`: what the chart runs before it is uninstalled, while the rights are still there.
 *
 * Takes away what would outlive the operator and be in the way: finalizers of tenants and pools (nobody
 * would ever remove them), our labels on namespaces and nodes, Secrets, profiles, DaemonSets and ConfigMaps
 * of agents. It retains: custom resources stay, saying that nobody looks after them, and so does every row of
 * every store. It needs neither the lease nor PostgreSQL, may be run again, and goes on where something
 * fails; the first failure is told last.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { CleanupEnv } from "./config.ts";
import type { ClusterAccess } from "./kube/access.ts";
import { createKubeClient, openGate } from "./kube/client.ts";
import { createTransport } from "./kube/transport.ts";
import { isApiError, isConflict, isNotFound } from "./kube/api-error.ts";
import { createApplyStatus } from "./kube/apply.ts";
import { removeCondition, setCondition } from "./kube/conditions.ts";
import * as kinds from "./kube/kinds.ts";
import type {
  Condition,
  KubeClient,
  KubeObject,
  ListOptions,
  ObjectRef,
  ResourceKind,
} from "./kube/types.ts";
import { finalizers, labels } from "./resources/crds/names.ts";
import { agentApp, appLabel } from "./resources/gpupool/names.ts";
import { roleBindingName } from "./resources/tenant/objects.ts";

export interface CleanupOptions {
  /** The release's, where Secrets of keys that no workload gets are. */
  readonly namespace: string | undefined;
  readonly agentNamespace: string;
  /** Whether Secrets may be listed everywhere. */
  readonly secretAccess: "Cluster" | "PerNamespace";
}

export interface CleanupResult {
  readonly done: number;
  readonly failures: readonly string[];
}

interface Deps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
}

/** The command: its exit code. */
export async function runCleanup(
  deps: { access: ClusterAccess; clock: Clock; log: Log },
  env: CleanupEnv,
  version: string,
): Promise<number> {
  const transport = createTransport(deps, { userAgent: `axonize-operator/${version}` });
  try {
    const client = createKubeClient({ transport, gate: openGate });
    const { failures } = await cleanUp(
      { client, clock: deps.clock, log: deps.log },
      {
        namespace: env.AXONIZE_OPERATOR_NAMESPACE ?? deps.access.namespace,
        agentNamespace: env.AXONIZE_AGENT_NAMESPACE,
        secretAccess: env.AXONIZE_SECRET_ACCESS,
      },
    );
    return failures.length === 0 ? 0 : 1;
  } finally {
    await transport.close();
  }
}

export async function cleanUp(deps: Deps, options: CleanupOptions): Promise<CleanupResult> {
  const tally = { done: 0, failures: [] as string[] };
  const step = createStep(deps, tally);
  const bound = await listOrNone(deps, tally, kinds.namespaces, {
    labelSelector: labels.tenant,
    metadataOnly: true,
  });
  // Profiles first: from here on no new pod gets variables that lead nowhere.
  await deleteAll(deps, tally, kinds.injectionProfiles, [{}]);
  for (const [kind, finalizer] of [
    [kinds.axonizeTenants, finalizers.tenant],
    [kinds.gpuPools, finalizers.gpuPool],
  ] as const) {
    for (const object of await listOrNone<StatusObject>(deps, tally, kind, {})) {
      const { name } = object.metadata;
      await step(`${kind.kind} ${name}`, async () => {
        return await stripFinalizer(deps.client, { kind, name }, finalizer);
      });
      await step(`status of ${kind.kind} ${name}`, async () => {
        return await tellUninstalled(deps, object, kind);
      });
    }
  }
  const everywhere = { labelSelector: labels.tenantUid, metadataOnly: true };
  await deleteAll(
    deps,
    tally,
    kinds.secrets,
    options.secretAccess === "Cluster"
      ? [everywhere]
      : (await placesOfSecrets(deps, tally, bound, options)).map((namespace) => ({
          ...everywhere,
          namespace,
        })),
  );
  if (options.secretAccess === "PerNamespace") {
    // After the Secrets, which it lets us see.
    for (const { metadata } of bound) {
      const ref = { kind: kinds.roleBindings, name: roleBindingName, namespace: metadata.name };
      await step(`RoleBinding of ${metadata.name}`, async () => await deps.client.delete(ref));
    }
  }
  const agents = { namespace: options.agentNamespace, labelSelector: `${appLabel}=${agentApp}` };
  await deleteAll(deps, tally, kinds.daemonSets, [agents]);
  await deleteAll(deps, tally, kinds.configMaps, [agents]);
  for (const { metadata } of bound) {
    const ref = { kind: kinds.namespaces, name: metadata.name };
    await step(`labels of namespace ${metadata.name}`, async () => {
      return await removeLabels(deps.client, ref, metadata.labels, [
        labels.tenant,
        labels.injection,
      ]);
    });
  }
  const pooled = { labelSelector: labels.gpuPool, metadataOnly: true };
  for (const { metadata } of await listOrNone(deps, tally, kinds.nodes, pooled)) {
    await step(`labels of node ${metadata.name}`, async () => {
      const ref = { kind: kinds.nodes, name: metadata.name };
      return await removeLabels(deps.client, ref, metadata.labels, [labels.gpuPool]);
    });
  }
  deps.log.info({ event: "cleanup.done", done: tally.done, failures: tally.failures.length });
  return tally;
}

/**
 * With `PerNamespace`: where Secrets may be seen. A bound namespace without our RoleBinding lost it to a run
 * before this one that was ended midway, and its Secrets before that.
 */
async function placesOfSecrets(
  deps: Deps,
  tally: Tally,
  bound: readonly KubeObject[],
  { namespace }: CleanupOptions,
): Promise<readonly string[]> {
  const places = namespace === undefined ? [] : [namespace];
  for (const { metadata } of bound) {
    const ref = { kind: kinds.roleBindings, name: roleBindingName, namespace: metadata.name };
    await createStep(deps, tally)(`right to Secrets of ${metadata.name}`, async () => {
      if ((await deps.client.get(ref)) !== undefined) places.push(metadata.name);
      return false;
    });
  }
  return places;
}

interface Tally {
  done: number;
  readonly failures: string[];
}

/** true: something was changed. */
type Step = (what: string, run: () => Promise<boolean>) => Promise<void>;

function createStep({ log }: Deps, tally: Tally): Step {
  return async (what, run) => {
    try {
      if (!(await run())) return;
      tally.done += 1;
      log.info({ event: "cleanup.step", what });
    } catch (error) {
      // The rest is worth doing all the same; the command fails at its end and is run again.
      tally.failures.push(`${what}: ${errorMessage(error)}`);
      log.error({ event: "cleanup.failed", what, reason: errorMessage(error) });
    }
  };
}

async function listOrNone<T extends KubeObject>(
  { client, log }: Deps,
  tally: Tally,
  kind: ResourceKind,
  options: ListOptions,
): Promise<readonly T[]> {
  try {
    return (await client.list<T>(kind, options)).items;
  } catch (error) {
    // Its definition is gone already, and its objects with it.
    if (isNotFound(error)) return [];
    tally.failures.push(`list of ${kind.plural}: ${errorMessage(error)}`);
    log.error({ event: "cleanup.failed", what: kind.plural, reason: errorMessage(error) });
    return [];
  }
}

async function deleteAll(
  deps: Deps,
  tally: Tally,
  kind: ResourceKind,
  lists: readonly ListOptions[],
): Promise<void> {
  const step = createStep(deps, tally);
  for (const options of lists) {
    for (const { metadata } of await listOrNone(deps, tally, kind, options)) {
      const { name, namespace, uid } = metadata;
      const ref = { kind, name, ...(namespace === undefined ? {} : { namespace }) };
      await step(`${kind.kind} ${namespace ?? ""}/${name}`, async () => {
        return await deps.client.delete(ref, uid === undefined ? {} : { uid });
      });
    }
  }
}

interface StatusObject extends KubeObject {
  readonly status?: { readonly conditions?: readonly Condition[] };
}

const uninstalled =
  "The operator was uninstalled: nobody looks after this resource until it is installed again. Its data is kept.";

/** What the operator knew last would be read as what holds now. */
async function tellUninstalled(
  { client, clock }: Deps,
  object: StatusObject,
  kind: ResourceKind,
): Promise<boolean> {
  const { status: before } = object;
  // Nothing was ever said of it.
  if (before?.conditions === undefined) return false;
  let conditions = before.conditions;
  for (const { type, observedGeneration } of before.conditions) {
    // Whether it goes on by itself, or a change would help, only an operator knows.
    if (type === "Reconciling" || type === "Stalled") {
      conditions = removeCondition(conditions, type);
      continue;
    }
    const update = {
      type,
      status: "Unknown",
      reason: "Uninstalled",
      message: uninstalled,
    } as const;
    const observed = observedGeneration === undefined ? {} : { observedGeneration };
    conditions = setCondition(conditions, { ...update, ...observed }, new Date(clock.now()));
  }
  const controller = kind === kinds.axonizeTenants ? "tenant" : "gpupool";
  const applyStatus = createApplyStatus({ client }, { controller });
  try {
    return await applyStatus(object, kind, { ...before, conditions });
  } catch (error) {
    // It was on its way out, and its finalizer was all that held it.
    if (isNotFound(error) || isConflict(error)) return false;
    throw error;
  }
}

/** Each conflict means that somebody else wrote, and nobody does so for ever. */
const mostTries = 10;

async function stripFinalizer(
  client: KubeClient,
  ref: ObjectRef,
  finalizer: string,
): Promise<boolean> {
  for (let tries = 1; ; tries += 1) {
    const object = await client.get(ref);
    const at = object?.metadata.finalizers?.indexOf(finalizer) ?? -1;
    if (at < 0) return false;
    try {
      const path = `/metadata/finalizers/${at}`;
      await client.jsonPatch(ref, [
        { op: "test", path, value: finalizer },
        { op: "remove", path },
      ]);
      return true;
    } catch (error) {
      if (isNotFound(error)) return true;
      // 422: the test failed, the list was changed meanwhile.
      const isLost = isConflict(error) || isApiError(error, 422);
      if (!isLost || tries === mostTries) throw error;
    }
  }
}

/** By patch and not by release: a label goes whoever owns the field by now. */
async function removeLabels(
  client: KubeClient,
  ref: ObjectRef,
  there: Readonly<Record<string, string>> | undefined,
  names: readonly string[],
): Promise<boolean> {
  const ours = names.filter((name) => there?.[name] !== undefined);
  if (ours.length === 0) return false;
  try {
    await client.jsonPatch(
      ref,
      ours.map((name) => ({
        op: "remove" as const,
        path: `/metadata/labels/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`,
      })),
    );
  } catch (error) {
    // Gone with its object, or taken away by somebody else.
    if (!isNotFound(error) && !isApiError(error, 422)) throw error;
  }
  return true;
}
