/**
 * The tenant in PostgreSQL: its row, whose it is, the namespaces bound to it, the keys that may live.
 *
 * Whatever PostgreSQL refuses comes back as a reason for the condition `DatabaseSynced`.
 */
import { errorMessage } from "@axonize/core/runtime/error";
import { isApiError, TerminalError } from "../../kube/api-error.ts";
import { isUnavailable } from "../../kube/controller.ts";
import type { AxonizeTenantSpec } from "../../resources/crds/tenant.ts";
import {
  resolveClaims,
  type Binding,
  type Claim,
  type Claimant,
} from "../../resources/tenant/claims.ts";
import { decideOwnership } from "../../resources/tenant/ownership.ts";
import { bytesOfQuantity } from "../../resources/tenant/quantity.ts";
import { isClusterNameTaken } from "../../store/clusters.ts";
import { isRefusedValue, isSchemaOutdated } from "../../store/fence.ts";
import {
  alignKeys,
  readKeys,
  revokeOthers,
  type KeyPlace,
  type PlacedKeyRow,
} from "../../store/keys.ts";
import {
  putBindings,
  putTenant,
  readBindings,
  readTenant,
  type TenantRow,
  type TenantValues,
} from "../../store/tenants.ts";
import { endOfKey } from "./secrets.ts";
import type { Run, TenantObject, World } from "./types.ts";

export type DatabaseRefusal = {
  readonly kind: "refused";
  readonly status: "False" | "Unknown";
  readonly reason:
    | "DatabaseUnavailable"
    | "OwnedByOtherCluster"
    | "OwnedByOtherTenant"
    | "ClusterNameTaken"
    | "SchemaOutdated"
    | "QuotaRejected"
    | "Pending";
  readonly message: string;
};

export interface Synced {
  readonly kind: "synced";
  readonly row: TenantRow;
  readonly claims: readonly Claim[];
  readonly boundMs: ReadonlyMap<string, number>;
  readonly keys: readonly PlacedKeyRow[];
  /** Names of namespaces that were bound until now. */
  readonly left: readonly string[];
}

export async function syncDatabase(
  world: World,
  run: Run,
  spec: AxonizeTenantSpec,
): Promise<Synced | DatabaseRefusal> {
  try {
    const row = await own(world, run, spec);
    return "kind" in row ? row : await bind(world, run, { spec, row });
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === undefined) throw error;
    world.log.warn({
      event: "tenant.database",
      tenant: run.owner.tenantId,
      reason: errorMessage(error),
    });
    return refusal;
  }
}

/** undefined: it is something else. */
export function refusalOf(error: unknown): DatabaseRefusal | undefined {
  if (isApiError(error) || error instanceof TerminalError) return undefined;
  const refused = { kind: "refused", status: "False" } as const;
  if (isClusterNameTaken(error)) {
    return { ...refused, reason: "ClusterNameTaken", message: error.message };
  }
  if (isSchemaOutdated(error)) {
    const message =
      "PostgreSQL has not been migrated to this version yet. Ingest and dashboard do that at their start.";
    return { ...refused, reason: "SchemaOutdated", message };
  }
  if (isRefusedValue(error)) {
    const message = `PostgreSQL does not take what the spec says: ${errorMessage(error)}.`;
    return { ...refused, reason: "QuotaRejected", message };
  }
  if (!isUnavailable(error) && !isStatementTimeout(error)) return undefined;
  const message =
    "PostgreSQL does not answer. What was issued goes on working; it is tried again every ten seconds.";
  return { ...refused, reason: "DatabaseUnavailable", message };
}

/** 57014 query_canceled, 55P03 lock_not_available. */
const isStatementTimeout = (error: unknown): boolean =>
  error instanceof Error && "code" in error && /^(57014|55P03)$/.test(String(error.code));

async function own(
  world: World,
  run: Run,
  spec: AxonizeTenantSpec,
): Promise<TenantRow | DatabaseRefusal> {
  const { fence, caches, options } = world;
  const { tenantId: id, uid } = run.owner;
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const before = await fence.read(async (sql) => await readTenant(sql, id));
    const decision = decideOwnership({
      row: before,
      self: { clusterUid: run.clusterUid, uid, tenantId: id },
      living: new Set(
        caches.tenants
          .list()
          .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
          .map(({ metadata }) => metadata.uid ?? ""),
      ),
      adoption: spec.adoptionPolicy,
      isForceAllowed: options.allowForcedAdoption,
      nowMs: run.nowMs,
    });
    if (decision.kind === "refuse") {
      const { reason, message } = decision;
      return { kind: "refused", status: "False", reason, message };
    }
    if (decision.kind === "wait") {
      const message = `The data of the tenant "${id}" that was deleted before is still being removed; this one begins when that is done.`;
      return { kind: "refused", status: "Unknown", reason: "Pending", message };
    }
    const tenant = { id, uid, clusterUid: run.clusterUid, values: valuesOf(spec, id) };
    const done = await fence.write(
      { clusterUid: run.clusterUid, epoch: run.epoch },
      async (tx) => await putTenant(tx, tenant, before),
    );
    if (done && decision.kind === "adopt") tellAdopted(world, run, before);
    const row = done ? await fence.read(async (sql) => await readTenant(sql, id)) : undefined;
    if (row !== undefined) return row;
  }
  throw new Error(`the row of tenant ${id} changes under our hands`);
}

function tellAdopted(
  { recorder }: World,
  { object, owner }: Run,
  before: TenantRow | undefined,
): void {
  recorder.event(object, {
    type: "Normal",
    reason: "Adopted",
    action: "AdoptTenant",
    note: `The tenant "${owner.tenantId}" was there already (${before?.uid === undefined ? "without an owner" : `of ${before.uid}`}) and is this resource's from now on, with its data.`,
  });
}

export function valuesOf(spec: AxonizeTenantSpec, id: string): TenantValues {
  const { quotas, retention } = spec;
  const bytes =
    quotas.ingestBytesPerDay === undefined ? undefined : bytesOfQuantity(quotas.ingestBytesPerDay);
  const orNone = (value: number | undefined): number | null =>
    value === undefined || value === 0 ? null : value;
  return {
    name: spec.displayName ?? id,
    capture: spec.privacy.capturePayloads,
    spans_per_second: orNone(quotas.spansPerSecond),
    burst_spans: orNone(quotas.burstSpans),
    bytes_per_day: orNone(bytes),
    on_exceeded: quotas.onExceeded,
    retention_days: retention.traceDays,
    payload_days: retention.payloadDays,
    traces_per_million: spec.sampling.tracesPerMillion,
    admin_state: spec.adminState,
  };
}

async function bind(
  world: World,
  run: Run,
  parts: { spec: AxonizeTenantSpec; row: TenantRow },
): Promise<Synced> {
  const { fence, options } = world;
  const { spec, row } = parts;
  const { tenantId } = run.owner;
  const own = claimantOf(run.object, spec);
  const uids = own.namespaces.flatMap(
    (name) => world.caches.namespaces.get(name)?.metadata.uid ?? [],
  );
  const { cluster } = options;
  const bindings = await fence.read(
    async (sql) => await readBindings(sql, { cluster, uids, tenantId }),
  );
  const claims = claimsOf(world, own, bindings);
  const wanted = claims.flatMap((claim) =>
    claim.state === "Bound" || claim.state === "Terminating"
      ? [{ name: claim.name, uid: claim.uid, environment: environmentOf(spec, claim.name) }]
      : [],
  );
  const mine = bindings.filter((binding) => binding.tenantId === tenantId);
  const places = placesOf(world, run, { spec, bound: wanted });
  const isChanged = !isSameBinding(mine, wanted);
  const known = await fence.read(async (sql) => await readKeys(sql, { tenantId, cluster }));
  const isAligned = areAligned(known, { spec, places });
  const lost = new Set<string>();
  // A statement that changes nothing would wake every ingest process, too.
  if (isChanged || !isAligned) {
    await fence.write({ clusterUid: run.clusterUid, epoch: run.epoch }, async (tx) => {
      if (isChanged) {
        const taken = await putBindings(tx, { cluster, tenantId, namespaces: wanted });
        for (const uid of taken) lost.add(uid);
      }
      await alignKeys(tx, { tenantId, cluster, keys: spec.apiKeys.map(alignmentOf) });
      const kept = places.filter(({ namespaceUid }) => !lost.has(namespaceUid));
      const count = await revokeOthers(tx, { tenantId, cluster, places: kept });
      if (count > 0) world.metrics.revoked.inc({ reason: "Unbound" }, count);
    });
  }
  return {
    kind: "synced",
    row,
    claims: claims.map((claim) =>
      "uid" in claim && lost.has(claim.uid)
        ? { state: "Conflict", name: claim.name, with: "another tenant" }
        : claim,
    ),
    boundMs: await boundTimes(world, run, { mine, isChanged }),
    keys: isAligned
      ? known
      : await fence.read(async (sql) => await readKeys(sql, { tenantId, cluster })),
    left: mine
      .filter(({ namespaceUid }) => !wanted.some(({ uid }) => uid === namespaceUid))
      .map(({ namespace }) => namespace),
  };
}

async function boundTimes(
  { fence, options }: World,
  { owner }: Run,
  parts: {
    mine: readonly { namespaceUid: string; boundMs: number }[];
    isChanged: boolean;
  },
): Promise<ReadonlyMap<string, number>> {
  const { tenantId } = owner;
  const mine = parts.isChanged
    ? await fence.read(
        async (sql) => await readBindings(sql, { cluster: options.cluster, uids: [], tenantId }),
      )
    : parts.mine;
  return new Map(mine.map(({ namespaceUid, boundMs }) => [namespaceUid, boundMs]));
}

/** Every key that lives has its place, and says what the spec says of it. */
function areAligned(
  keys: readonly PlacedKeyRow[],
  { spec, places }: { spec: AxonizeTenantSpec; places: readonly KeyPlace[] },
): boolean {
  const there = new Set(places.map(({ name, namespaceUid }) => `${name}/${namespaceUid}`));
  const wanted = new Map(spec.apiKeys.map((key) => [key.name, alignmentOf(key)]));
  return keys
    .filter(({ state }) => state !== "revoked")
    .every((row) => {
      const wish = wanted.get(row.name);
      return (
        wish !== undefined &&
        there.has(`${row.name}/${row.namespaceUid}`) &&
        wish.overlapSeconds === row.overlapSeconds &&
        wish.endsWithOverlap === row.endsWithOverlap &&
        wish.scopes.join() === row.scopes.join()
      );
    });
}

const alignmentOf = (key: AxonizeTenantSpec["apiKeys"][number]) => ({
  name: key.name,
  scopes: key.scopes,
  ...endOfKey(key),
});

const environmentOf = (spec: AxonizeTenantSpec, name: string): string | undefined =>
  spec.namespaces?.find((namespace) => namespace.name === name)?.environment;

function isSameBinding(
  mine: readonly { namespaceUid: string; environment: string | undefined }[],
  wanted: readonly { uid: string; environment: string | undefined }[],
): boolean {
  if (mine.length !== wanted.length) return false;
  const there = new Map(mine.map((each) => [each.namespaceUid, each.environment]));
  return wanted.every(({ uid, environment }) => there.has(uid) && there.get(uid) === environment);
}

/** Where keys live: every bound namespace, and the operator's own. */
function placesOf(
  { options }: World,
  run: Run,
  parts: { spec: AxonizeTenantSpec; bound: readonly { name: string; uid: string }[] },
) {
  const common = { tenantId: run.owner.tenantId, cluster: options.cluster };
  return parts.spec.apiKeys.flatMap((key) =>
    key.distribution === "AllNamespaces"
      ? parts.bound.map(({ name, uid }) => ({
          ...common,
          name: key.name,
          namespace: name,
          namespaceUid: uid,
        }))
      : [
          {
            ...common,
            name: key.name,
            namespace: options.operatorNamespace,
            namespaceUid: centralUid(run.clusterUid),
          },
        ],
  );
}

/** Of keys that belong to no workload's namespace: one group per cluster. */
export const centralUid = (clusterUid: string): string => `cluster:${clusterUid}`;

function claimsOf(world: World, own: Claimant, bindings: readonly Binding[]): Claim[] {
  const { caches, options } = world;
  const others = new Map<string, Claimant>();
  for (const name of own.namespaces) {
    for (const object of caches.tenants.byIndex("namespace", name)) {
      if (object.metadata.uid !== own.uid) others.set(object.metadata.name, claimantOf(object));
    }
  }
  for (const { tenantId } of bindings) {
    for (const object of caches.tenants.byIndex("tenantId", tenantId)) {
      if (object.metadata.uid !== own.uid) others.set(object.metadata.name, claimantOf(object));
    }
  }
  const namespaces = own.namespaces.flatMap((name) => {
    const metadata = caches.namespaces.get(name)?.metadata;
    if (metadata?.uid === undefined) return [];
    const isTerminating = metadata.deletionTimestamp !== undefined;
    return [[name, { name, uid: metadata.uid, isTerminating }] as const];
  });
  return resolveClaims({
    own,
    others: [...others.values()],
    namespaces: new Map(namespaces),
    bindings,
    denied: new Set([options.operatorNamespace, ...options.deniedNamespaces]),
  });
}

export const tenantIdOf = (object: TenantObject): string => {
  const { spec } = object;
  const given =
    typeof spec === "object" && spec !== null && "tenantID" in spec ? spec.tenantID : undefined;
  return typeof given === "string" ? given : object.metadata.name;
};

/** Names that the spec claims, as far as it can be read. */
export function claimedNames({ spec }: TenantObject): string[] {
  if (typeof spec !== "object" || spec === null || !("namespaces" in spec)) return [];
  const { namespaces } = spec;
  if (!Array.isArray(namespaces)) return [];
  return namespaces.flatMap((each: unknown) =>
    typeof each === "object" && each !== null && "name" in each && typeof each.name === "string"
      ? [each.name]
      : [],
  );
}

function claimantOf(object: TenantObject, spec?: AxonizeTenantSpec): Claimant {
  const { name, uid = "", creationTimestamp, deletionTimestamp } = object.metadata;
  const synced = object.status?.conditions?.find(({ type }) => type === "DatabaseSynced");
  return {
    name,
    uid,
    createdMs: Date.parse(creationTimestamp ?? ""),
    namespaces: spec?.namespaces?.map((each) => each.name) ?? claimedNames(object),
    isVoid: deletionTimestamp !== undefined || (synced?.reason.startsWith("OwnedBy") ?? false),
    tenantId: tenantIdOf(object),
  };
}
