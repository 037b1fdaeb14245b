/**
 * Leader election over a Lease: the state machine, with neither thread nor process in it.
 *
 * Others' clocks are not trusted: a lease is over when its holder's record has not changed for its duration
 * as measured here. Ours counts from before the request that renewed it, so we stop believing in it before
 * anybody else may take it. `spec.leaseTransitions` is the epoch: it grows with every change of holder, and
 * what the holder writes elsewhere is fenced with it.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import { isAlreadyExists, isConflict, isNotFound } from "./api-error.ts";
import { microTimeOf } from "./conditions.ts";
import { apiVersionOf, collectionPath, leases, objectPath } from "./kinds.ts";
import { leaseRetryMs, renewDeadlineRatio } from "./limits.ts";
import type { Transport } from "./transport.ts";
import type { KubeObject } from "./types.ts";

export interface LeaseOptions {
  readonly namespace: string;
  readonly name: string;
  /** Unique to this process: host and a UUID. */
  readonly identity: string;
  readonly leaseMs: number;
}

interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}
type Lease = KubeObject & { readonly spec?: LeaseSpec };

export interface ElectorDeps {
  readonly transport: Transport;
  readonly clock: Clock;
  /** 0–1. */
  readonly random: () => number;
  /** Until when, on the monotonic clock, this process may act; -Infinity: not at all. */
  readonly validUntil: (ms: number) => void;
  readonly onAcquired: (epoch: number) => void;
  readonly onLost: (reason: string) => void;
  /** Another holder than before, ourselves included. */
  readonly onHolder: (identity: string | undefined) => void;
  readonly onSlowPath: () => void;
  readonly onTrouble: (reason: string) => void;
}

export interface Elector {
  /** Until the lease is lost or the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** Gives the lease back so that the next need not wait for its end. */
  release(signal: AbortSignal): Promise<void>;
}

interface State {
  /** As the server has it; what a renewal is a change of. */
  lease: Lease | undefined;
  /** When its record last changed, as seen here. */
  observedMs: number;
  /** Before the request of the last renewal that succeeded. */
  renewedMs: number | undefined;
  epoch: number | undefined;
  /** Largest number of transitions ever seen: a Lease that is made anew goes on from it. */
  seenEpoch: number;
  /** The Lease was made by us and not renewed yet. */
  isUnproven: boolean;
}

export function createElector(deps: ElectorDeps, options: LeaseOptions): Elector {
  const { clock } = deps;
  const renewMs = options.leaseMs * renewDeadlineRatio;
  const state: State = {
    lease: undefined,
    observedMs: clock.monotonic(),
    renewedMs: undefined,
    epoch: undefined,
    seenEpoch: 0,
    isUnproven: false,
  };
  const isLate = (): boolean =>
    state.renewedMs !== undefined && clock.monotonic() >= state.renewedMs + renewMs;
  return {
    async run(signal) {
      for (;;) {
        const wasLeader = state.epoch !== undefined;
        try {
          await attempt(deps, options, state, signal);
        } catch (error) {
          if (signal.aborted) return;
          deps.onTrouble(errorMessage(error));
        }
        if (wasLeader && isLate()) lose(deps, state, `not renewed in ${renewMs} ms`);
        if (wasLeader && state.epoch === undefined) return;
        const jitter = wasLeader ? 1 : 1 + deps.random() * 0.2;
        // Rejects only when the signal aborts.
        await clock.sleep(leaseRetryMs * jitter, signal).catch(() => undefined);
        if (signal.aborted) return;
      }
    },
    async release(signal) {
      const { lease } = state;
      const wasLeader = state.epoch !== undefined;
      state.epoch = undefined;
      deps.validUntil(-Infinity);
      if (!wasLeader || lease === undefined) return;
      try {
        await put(deps, options, given(deps, lease), signal);
      } catch (error) {
        if (!isConflict(error)) throw error;
        // Our last renewal arrived, and only its answer was lost.
        const latest = await get(deps, options, signal);
        if (latest?.spec?.holderIdentity !== options.identity) return;
        await put(deps, options, given(deps, latest), signal);
      }
    },
  };
}

function lose(deps: ElectorDeps, state: State, reason: string): void {
  deps.validUntil(-Infinity);
  if (state.epoch !== undefined) deps.onLost(reason);
  state.epoch = undefined;
  state.renewedMs = undefined;
}

/** One try; what it found out is in the state. */
async function attempt(
  deps: ElectorDeps,
  options: LeaseOptions,
  state: State,
  signal: AbortSignal,
): Promise<void> {
  const renewMs = options.leaseMs * renewDeadlineRatio;
  const startedMs = deps.clock.monotonic();
  const deadlineMs = (state.renewedMs ?? startedMs) + renewMs;
  // Half of the deadline leaves time for another try; what is left of it is all there is.
  // Whole milliseconds: AbortSignal.timeout refuses others.
  const limitMs = Math.ceil(Math.max(Math.min(renewMs / 2, deadlineMs - startedMs), 100));
  const limit = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
  const isHeld = await acquireOrRenew(deps, options, state, limit);
  if (!isHeld) {
    if (state.epoch !== undefined) lose(deps, state, "another process has taken the lease");
    return;
  }
  // The server took it, but by our own reckoning we had no right to act any more.
  if (deps.clock.monotonic() >= deadlineMs) {
    lose(deps, state, "the renewal came after its deadline");
    return;
  }
  const isProof = state.isUnproven && state.renewedMs !== undefined;
  state.renewedMs = startedMs;
  if (isProof) state.isUnproven = false;
  if (state.isUnproven) return;
  deps.validUntil(startedMs + renewMs);
  if (state.epoch === undefined) {
    state.epoch = state.lease?.spec?.leaseTransitions ?? 0;
    deps.onAcquired(state.epoch);
  }
}

/** true: the server has just said that the lease is ours. */
async function acquireOrRenew(
  deps: ElectorDeps,
  options: LeaseOptions,
  state: State,
  signal: AbortSignal,
): Promise<boolean> {
  const isOurs = state.lease?.spec?.holderIdentity === options.identity;
  if (isOurs && state.lease !== undefined) {
    try {
      // No reading first: the version says whether anybody wrote in between.
      observe(deps, state, await put(deps, options, renewed(deps, options, state.lease), signal));
      return true;
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) throw error;
      deps.onSlowPath();
    }
  }
  const lease = await get(deps, options, signal);
  if (lease === undefined) return await makeLease(deps, options, state, signal);
  observe(deps, state, lease);
  const holder = lease.spec?.holderIdentity ?? "";
  if (holder !== options.identity && holder !== "" && !isExpired(deps, state, lease)) return false;
  const next =
    holder === options.identity
      ? renewed(deps, options, lease)
      : taken(deps, options, lease, state.seenEpoch + 1);
  try {
    observe(deps, state, await put(deps, options, next, signal));
    return true;
  } catch (error) {
    // Another was faster.
    if (isConflict(error) || isNotFound(error)) return false;
    throw error;
  }
}

const firstEpochMs = Date.UTC(2020, 0, 1);

/**
 * The first of all, or after somebody deleted it. It counts once it is renewed: the holder of a deleted one
 * has found that out by then. Seconds grow faster than leases change hands, so that an epoch never comes
 * twice even where nobody remembers the last: minutes did not, where a release was upgraded, rolled back and
 * installed anew within three. From 2020 on they fit the API's 32 bits until 2088.
 */
async function makeLease(
  deps: ElectorDeps,
  options: LeaseOptions,
  state: State,
  signal: AbortSignal,
): Promise<boolean> {
  const transitions =
    state.epoch ??
    Math.max(state.seenEpoch + 1, Math.floor((deps.clock.now() - firstEpochMs) / 1000));
  const { name, namespace } = options;
  const lease: Lease = {
    apiVersion: apiVersionOf(leases),
    kind: leases.kind,
    metadata: { name, namespace },
  };
  try {
    const path = collectionPath(leases, namespace);
    const body = taken(deps, options, lease, transitions);
    observe(deps, state, await deps.transport.json<Lease>({ method: "POST", path, body, signal }));
  } catch (error) {
    if (isAlreadyExists(error)) return false;
    throw error;
  }
  if (state.epoch === undefined) state.isUnproven = true;
  state.renewedMs = undefined;
  return true;
}

function observe(deps: ElectorDeps, state: State, lease: Lease): void {
  const before = state.lease;
  if (before?.metadata.resourceVersion !== lease.metadata.resourceVersion) {
    state.observedMs = deps.clock.monotonic();
  }
  state.lease = lease;
  state.seenEpoch = Math.max(state.seenEpoch, lease.spec?.leaseTransitions ?? 0);
  const holder = lease.spec?.holderIdentity;
  if (before === undefined || holder !== before.spec?.holderIdentity) deps.onHolder(holder);
}

function isExpired({ clock }: ElectorDeps, state: State, lease: Lease): boolean {
  const seconds = lease.spec?.leaseDurationSeconds ?? 0;
  return clock.monotonic() >= state.observedMs + seconds * 1000;
}

const renewed = ({ clock }: ElectorDeps, options: LeaseOptions, lease: Lease): Lease => ({
  ...lease,
  spec: {
    ...lease.spec,
    leaseDurationSeconds: Math.ceil(options.leaseMs / 1000),
    renewTime: microTimeOf(clock.now()),
  },
});

const given = ({ clock }: ElectorDeps, lease: Lease): Lease => ({
  ...lease,
  spec: {
    ...lease.spec,
    holderIdentity: "",
    leaseDurationSeconds: 1,
    renewTime: microTimeOf(clock.now()),
  },
});

function taken(
  { clock }: ElectorDeps,
  options: LeaseOptions,
  lease: Lease,
  leaseTransitions: number,
): Lease {
  const now = microTimeOf(clock.now());
  return {
    ...lease,
    spec: {
      holderIdentity: options.identity,
      leaseDurationSeconds: Math.ceil(options.leaseMs / 1000),
      acquireTime: now,
      renewTime: now,
      leaseTransitions,
    },
  };
}

async function get(
  { transport }: ElectorDeps,
  { namespace, name }: LeaseOptions,
  signal: AbortSignal,
): Promise<Lease | undefined> {
  try {
    const path = objectPath({ kind: leases, namespace, name });
    return await transport.json<Lease>({ method: "GET", path, signal });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

async function put(
  { transport }: ElectorDeps,
  { namespace, name }: LeaseOptions,
  body: Lease,
  signal: AbortSignal,
): Promise<Lease> {
  const path = objectPath({ kind: leases, namespace, name });
  return await transport.json<Lease>({ method: "PUT", path, body, signal });
}
