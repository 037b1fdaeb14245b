/**
 * Who may do what: turns a credential into a tenant and scopes, from a snapshot in memory.
 *
 * PostgreSQL owns tenants and keys. The snapshot is read again when a trigger notifies
 * (`axonize_access`) and every 3 s besides, so that a revoked key is refused everywhere within 5 s
 * even where notifications are lost. While PostgreSQL is away the last snapshot goes on serving;
 * expiry is checked on every call. It does not create tenants or keys, except the loopback tenant.
 */
import { timingSafeEqual } from "node:crypto";
import { retentionClasses } from "../contract/attributes.ts";
import type { adminStates, captureModes, excessActions, scopes } from "../contract/tenant.ts";
import { generateKey, parseKey, sha256 } from "./api-key.ts";
import { every, type Clock } from "./clock.ts";
import { errorMessage } from "./error.ts";
import type { Log } from "./log.ts";
import type { Sql } from "./postgres.ts";

export { generateKey };

export type CaptureMode = (typeof captureModes)[number];
export type Scope = (typeof scopes)[number];

export interface TenantAccess {
  id: string;
  num: number;
  name: string;
  capture: CaptureMode;
  spansPerSecond: number | undefined;
  bytesPerDay: number | undefined;
  /** Spans above the rate that may come at once; undefined: two seconds' worth. */
  burstSpans: number | undefined;
  onExceeded: (typeof excessActions)[number];
  /** Of a million traces so many are kept, chosen by their ids. */
  tracesPerMillion: number;
  adminState: (typeof adminStates)[number];
  lifecycle: "active" | "terminating" | "orphaned";
  retentionDays: number;
  /** The smallest retention class (days) that is at least `retentionDays`. */
  retentionClass: number;
  /** Of attributes, events and content: for so long they are shown, and in this class they are stored. */
  payloadDays: number;
  payloadRetentionClass: number;
}

/** The namespace that a key was made for. */
export interface KeyBinding {
  /** Differs for every namespace and environment. */
  id: string;
  namespace: string;
  /** Of spans that name none; empty: it is not known. */
  environment: string;
}

export interface Grant {
  /** Undefined for the admin key that acts for no tenant. */
  tenant: TenantAccess | undefined;
  scopes: ReadonlySet<Scope>;
  keyId: string | undefined;
  /** May use the admin routes. */
  admin: boolean;
  binding?: KeyBinding;
}

export interface Refusal {
  code: "unauthenticated" | "forbidden";
  message: string;
}

export interface Access extends AsyncDisposable {
  /**
   * Synchronous. `credential`: the header's value without "Bearer ". `peerLoopback`: the peer is
   * loopback and keyless loopback access is on. `tenantHint`: whom the admin key acts for.
   */
  authenticate(
    credential: string | undefined,
    options: { peerLoopback: boolean; tenantHint?: string },
  ): Grant | Refusal;
  tenants(): readonly TenantAccess[];
  /** Reads the snapshot anew; resolves when what was committed before the call is in it. */
  refresh(): Promise<void>;
}

export const isRefusal = (outcome: Grant | Refusal): outcome is Refusal => "code" in outcome;

const limits = {
  /** Below the promised 5 s with a slow read. */
  pollMs: 3000,
  /** Of a statement: 100,000 keys are read in one, and a peer that is gone is found out by it. */
  statementMs: 10_000,
  /** How often `last_used_at` is written, if a key was used: one statement per process. */
  usedFlushMs: 5_000,
  /** 100,000 keys × ~400 bytes of snapshot = 40 MB. */
  keys: 100_000,
  /** 10,000 tenants × ~300 bytes = 3 MB. */
  tenants: 10_000,
};

interface Snapshot {
  tenants: ReadonlyMap<string, TenantAccess>;
  keys: ReadonlyMap<string, KeyRecord>;
}

interface KeyRecord {
  secretSha256: Uint8Array;
  expiresMs: number | undefined;
  grant: Grant;
}

export async function createAccess(
  deps: { sql: Sql; clock: Clock; log: Log },
  options: { adminKey: string | undefined; loopbackTenant: string | undefined },
): Promise<Access> {
  const { clock, log } = deps;
  const sql = deps.sql.within(limits.statementMs);
  const abort = new AbortController();
  const used = new Set<string>();
  if (options.loopbackTenant !== undefined) await ensureTenant(sql, options.loopbackTenant);
  let snapshot = await readSnapshot(sql, log);
  const refresh = coalesce(async () => {
    snapshot = await readSnapshot(sql, log);
  });
  const onError = (error: unknown): void => {
    // The poll tries again within 3 s.
    log.warn({ event: "access.stale", reason: errorMessage(error) });
  };
  const listening = sql.listen("axonize_access", () => {
    refresh().catch(onError);
  });
  let flushedAt = clock.monotonic();
  const poll = every({ clock, ms: limits.pollMs, signal: abort.signal, onError }, async () => {
    await refresh();
    if (clock.monotonic() - flushedAt < limits.usedFlushMs) return;
    flushedAt = clock.monotonic();
    await writeUsed(sql, used);
  });
  const authenticate = createAuthenticate({ clock, used, snapshot: () => snapshot }, options);
  return {
    authenticate,
    tenants: () => [...snapshot.tenants.values()],
    refresh,
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      listening[Symbol.dispose]();
      await poll;
      try {
        await writeUsed(sql, used);
      } catch (error) {
        // `last_used_at` is a hint for people; a store that is away must not keep us from stopping.
        log.debug({ event: "access.usedLost", reason: errorMessage(error) });
      }
    },
  };
}

function createAuthenticate(
  deps: { clock: Clock; used: Set<string>; snapshot: () => Snapshot },
  options: { adminKey: string | undefined; loopbackTenant: string | undefined },
): Access["authenticate"] {
  const adminSha256 = options.adminKey === undefined ? undefined : sha256(options.adminKey);
  /** Compared with when the id is unknown, so that both refusals take the same time. */
  const nobody = generateKey().secretSha256;

  const asAdmin = (tenantHint: string | undefined): Grant | Refusal => {
    if (tenantHint === undefined || tenantHint === "") return adminGrant;
    const tenant = deps.snapshot().tenants.get(tenantHint);
    if (tenant) return { tenant, scopes: allScopes, keyId: undefined, admin: true };
    return refuse("forbidden", `There is no tenant "${tenantHint.slice(0, 63)}" to act for.`);
  };
  const asKey = (credential: string): Grant | Refusal => {
    const parsed = parseKey(credential);
    if (!parsed) {
      return refuse("unauthenticated", "This is not a whole key: it is cut off or mistyped.");
    }
    const record = deps.snapshot().keys.get(parsed.id);
    const same = timingSafeEqual(sha256(parsed.secret), record?.secretSha256 ?? nobody);
    if (!record || !same) {
      return refuse("unauthenticated", "This key is not known, or it was revoked.");
    }
    if (record.expiresMs !== undefined && record.expiresMs <= deps.clock.now()) {
      return refuse("unauthenticated", "This key has expired.");
    }
    deps.used.add(parsed.id);
    return record.grant;
  };

  return (credential, { peerLoopback, tenantHint }) => {
    if (credential === undefined || credential === "") {
      const { loopbackTenant } = options;
      const tenant =
        loopbackTenant === undefined ? undefined : deps.snapshot().tenants.get(loopbackTenant);
      if (peerLoopback && tenant) {
        return { tenant, scopes: tenantScopes, keyId: undefined, admin: false };
      }
      return refuse(
        "unauthenticated",
        "A key is needed: send `authorization: Bearer axk_…` or `x-axonize-key: axk_…`.",
      );
    }
    if (adminSha256 && timingSafeEqual(sha256(credential), adminSha256)) return asAdmin(tenantHint);
    return asKey(credential);
  };
}

const tenantScopes: ReadonlySet<Scope> = new Set<Scope>(["Ingest", "Query"]);
const allScopes: ReadonlySet<Scope> = new Set<Scope>(["Ingest", "Query", "Admin"]);
const adminGrant: Grant = {
  tenant: undefined,
  scopes: new Set<Scope>(["Admin"]),
  keyId: undefined,
  admin: true,
};

const refuse = (code: Refusal["code"], message: string): Refusal => ({ code, message });

/** The tenant that keyless loopback access stands for; its owner's own content is captured. */
async function ensureTenant(sql: Sql, id: string): Promise<void> {
  await sql`
    INSERT INTO tenants (id, name, capture, owner) VALUES (${id}, ${id}, 'Full', 'standalone')
    ON CONFLICT (id) DO NOTHING`;
}

interface TenantRecord {
  id: string;
  num: number;
  name: string;
  capture: CaptureMode;
  spans_per_second: number | null;
  bytes_per_day: number | null;
  retention_days: number;
  burst_spans: number | null;
  on_exceeded: TenantAccess["onExceeded"];
  traces_per_million: number;
  admin_state: TenantAccess["adminState"];
  lifecycle: TenantAccess["lifecycle"];
  payload_days: number | null;
}

interface KeyRow {
  id: string;
  tenant_id: string;
  secret_sha256: Uint8Array;
  scopes: Scope[];
  expires_at: Date | null;
  namespace: string | null;
  namespace_uid: string | null;
  environment: string | null;
}

/** Keys whose Secret is still being written are taken, too: a pod may have read it already. */
async function readSnapshot(sql: Sql, log: Log): Promise<Snapshot> {
  const [tenantRows, keyRows] = await Promise.all([
    sql<TenantRecord[]>`
      SELECT id, num, name, capture, spans_per_second, bytes_per_day, retention_days, burst_spans,
        on_exceeded, traces_per_million, admin_state, lifecycle, payload_days
      FROM tenants ORDER BY num LIMIT ${limits.tenants + 1}`,
    sql<KeyRow[]>`
      SELECT k.id, k.tenant_id, secret_sha256, scopes, expires_at, k.namespace, k.namespace_uid,
        n.environment
      FROM api_keys k LEFT JOIN tenant_namespaces n
        ON n.cluster = k.cluster AND n.namespace_uid = k.namespace_uid
      WHERE revoked_at IS NULL ORDER BY created_at, k.id LIMIT ${limits.keys + 1}`,
  ]);
  if (tenantRows.length > limits.tenants || keyRows.length > limits.keys) {
    log.error({ event: "access.full", tenants: tenantRows.length, keys: keyRows.length });
  }
  const tenants = new Map(
    tenantRows.slice(0, limits.tenants).map((row) => [row.id, tenantFromRecord(row)]),
  );
  const keys = new Map<string, KeyRecord>();
  for (const row of keyRows.slice(0, limits.keys)) {
    const tenant = tenants.get(row.tenant_id);
    if (!tenant) continue; // deleted between the two reads
    const scopes = new Set(row.scopes);
    keys.set(row.id, {
      secretSha256: row.secret_sha256,
      expiresMs: row.expires_at?.getTime(),
      grant: {
        tenant,
        scopes,
        keyId: row.id,
        admin: scopes.has("Admin"),
        ...(row.namespace === null ? {} : { binding: bindingOf(row, row.namespace) }),
      },
    });
  }
  return { tenants, keys };
}

function bindingOf(row: KeyRow, namespace: string): KeyBinding {
  const environment = row.environment ?? "";
  return { id: `${row.namespace_uid ?? ""}/${namespace}/${environment}`, namespace, environment };
}

function tenantFromRecord(row: TenantRecord): TenantAccess {
  const payloadDays = row.payload_days ?? row.retention_days;
  return {
    id: row.id,
    num: row.num,
    name: row.name,
    capture: row.capture,
    spansPerSecond: row.spans_per_second ?? undefined,
    bytesPerDay: row.bytes_per_day ?? undefined,
    burstSpans: row.burst_spans ?? undefined,
    onExceeded: row.on_exceeded,
    tracesPerMillion: row.traces_per_million,
    adminState: row.admin_state,
    lifecycle: row.lifecycle,
    retentionDays: row.retention_days,
    retentionClass: retentionClassFor(row.retention_days),
    payloadDays,
    payloadRetentionClass: retentionClassFor(payloadDays),
  };
}

export function retentionClassFor(days: number): number {
  return retentionClasses.find((candidate) => candidate >= days) ?? retentionClasses[4];
}

/** Concurrent calls share a run, but never one that began before the call. */
function coalesce(task: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let waiting: Promise<void> | undefined;
  const start = (): Promise<void> => {
    const run = task().finally(() => {
      if (running === run) running = undefined;
    });
    running = run;
    return run;
  };
  return () => {
    if (!running) return start();
    waiting ??= running
      .catch(() => undefined) // told to those who wait for that run
      .then(() => {
        waiting = undefined;
        return start();
      });
    return waiting;
  };
}

async function writeUsed(sql: Sql, used: Set<string>): Promise<void> {
  if (used.size === 0) return;
  const ids = [...used];
  used.clear();
  const rows = await sql<{ id: string; state: string }[]>`
    UPDATE api_keys SET last_used_at = now() WHERE id = ANY(${ids}) RETURNING id, state`;
  // Whoever has it read it in its Secret: the step that the operator did not get to.
  for (const { id } of rows.filter(({ state }) => state === "pending")) {
    await sql`SELECT promote_api_key(${id})`;
  }
}
