/**
 * What stands before every body, whatever the transport: who sends, may they, is there room.
 *
 * The answer is a ticket that accounts the body's bytes while it is read and hands it to the
 * pipeline. Nothing of a body is read for a sender who is refused here.
 */
import {
  isRefusal,
  type Access,
  type Grant,
  type TenantAccess,
} from "@axonize/core/runtime/access";
import type { Peer } from "../decode/facts.ts";
import type { IngestMetrics } from "../metrics.ts";
import type { Pipeline } from "../pipeline.ts";
import type { Tally } from "../usage/heartbeat.ts";
import type { Budget } from "../write/budget.ts";
import * as limits from "../limits.ts";
import { createInflate, tooLarge } from "./inflate.ts";
import {
  refused,
  withJitter,
  type Encoding,
  type Outcome,
  type Refused,
  type Signal,
} from "./outcome.ts";

export type Transport = "grpc" | "http";

export interface Visit {
  transport: Transport;
  signal: Signal;
  encoding: Encoding;
  /** The header's value without "Bearer ". */
  credential: string | undefined;
  tenantHint: string | undefined;
  /** A loopback peer that may come without a key. */
  peerLoopback: boolean;
  /** The process that sends, where the kernel tells. */
  peer: Peer | undefined;
  /** Length of the body as declared. */
  length: number | undefined;
}

export interface Ticket {
  kind: "ticket";
  /** Accounts `bytes` more of the body; the refusal when there is no room or it is too large. */
  take(bytes: number): Refused | undefined;
  /** The whole body as it was sent. Ends the ticket. */
  submit(body: Buffer, options: { gzip: boolean }): Promise<Outcome>;
  /** The body will not be complete. */
  cancel(): void;
}

export interface Door {
  enter(visit: Visit): Promise<Ticket | Refused>;
  /** Counts how a request ended; its signal is undefined where the path is no endpoint of ours. */
  count(
    visit: { signal: Signal | "logs" | undefined; transport: Transport },
    outcome: Outcome,
  ): void;
}

export interface Sender {
  grant: Grant;
  /** Undefined for the admin key that acts for no tenant: GPU metrics only. */
  tenant: TenantAccess | undefined;
  peer: Peer | undefined;
}

export function createDoor(deps: {
  access: Access;
  budget: Budget;
  pipeline: Pipeline;
  metrics: IngestMetrics;
  tally: Tally;
  /** Most bytes that one tenant's bodies may take while they are read. */
  shareBytes: number;
}): Door {
  const inflate = createInflate();
  // One per tenant that ever sent: bounded by the number of tenants.
  const shares = new Map<number | undefined, Share>();
  const shareOf = ({ tenant }: Sender): Share => {
    const share = shares.get(tenant?.num) ?? { bytes: 0 };
    shares.set(tenant?.num, share);
    return share;
  };
  const count: Door["count"] = ({ signal, transport }, outcome) => {
    const label = outcome.kind === "accepted" ? "accepted" : outcome.code;
    deps.metrics.requests.inc({ signal: signal ?? "unknown", transport, outcome: label });
    if (outcome.kind === "accepted") return;
    // A probe or a scanner at a path that is no endpoint sent no telemetry, and has no reason.
    const reason = outcome.reason ?? (signal === undefined ? undefined : outcome.code);
    if (reason !== undefined) deps.tally.rejected(reason, 1);
  };
  return {
    count,
    enter: async (visit) => {
      const sender = authenticate(deps.access, visit);
      if (sender.kind === "refused") return sender;
      const closed = deps.pipeline.closed(sender, visit.signal);
      if (closed !== undefined) return closed;
      if ((visit.length ?? 0) > mostBytes(visit)) return tooLarge(mostBytes(visit));
      const bytes = Math.min(visit.length ?? limits.bodyGuessBytes, limits.bodyStartBytes);
      const share = shareOf(sender);
      if (share.bytes + bytes > deps.shareBytes) return overShare();
      share.bytes += bytes;
      if (!(await deps.budget.admit(bytes))) {
        share.bytes -= bytes;
        return full();
      }
      return createTicket(deps, { visit, sender, inflate, share, admitted: bytes });
    },
  };
}

/** What one tenant's bodies take while they are read. */
interface Share {
  bytes: number;
}

function createTicket(
  deps: { budget: Budget; pipeline: Pipeline; shareBytes: number },
  options: {
    visit: Visit;
    sender: Sender;
    inflate: ReturnType<typeof createInflate>;
    share: Share;
    /** Bytes that the budget and the share hold for this body already. */
    admitted: number;
  },
): Ticket {
  const { visit, sender, share } = options;
  let { admitted: taken } = options;
  let read = 0;
  const grow = (bytes: number): Refused | undefined => {
    // One body alone always may: the largest and what it inflates to are within the share.
    const others = share.bytes - taken;
    if (others > 0 && share.bytes + bytes > deps.shareBytes) return overShare();
    if (!deps.budget.reserve(bytes)) return full();
    taken += bytes;
    share.bytes += bytes;
    return undefined;
  };
  const release = (): void => {
    deps.budget.release(taken);
    share.bytes -= taken;
    taken = 0;
  };
  const take = (bytes: number): Refused | undefined => {
    read += bytes;
    if (read > mostBytes(visit)) return tooLarge(mostBytes(visit));
    return read <= taken ? undefined : grow(read - taken);
  };
  return {
    kind: "ticket",
    take,
    cancel: release,
    submit: async (sent, { gzip }) => {
      try {
        const inflated = gzip
          ? await options.inflate(sent)
          : { kind: "inflated" as const, body: sent };
        if (inflated.kind === "refused") return inflated;
        if (inflated.body.length > mostBytes(visit)) return tooLarge(mostBytes(visit));
        const overfull = gzip ? grow(inflated.body.length) : undefined;
        if (overfull !== undefined) return overfull;
        // Decoding is synchronous: afterwards the builders hold the request, not the body.
        const outcome = deps.pipeline.submit({
          sender,
          signal: visit.signal,
          encoding: visit.encoding,
          sent,
          body: inflated.body,
        });
        release();
        return await outcome;
      } finally {
        release();
      }
    },
  };
}

const mostBytes = ({ encoding }: Visit): number =>
  encoding === "json" ? limits.jsonBodyBytes : limits.bodyBytes;

const full = (): Refused =>
  refused(
    "overloaded",
    "Too much telemetry is waiting to be stored; try again shortly.",
    withJitter(limits.overloadRetryMs),
  );

const overShare = (): Refused =>
  refused(
    "overloaded",
    "This tenant sends more at once than is its share; try again shortly.",
    withJitter(limits.overloadRetryMs),
  );

/** What kubelet leaves of a variable that does not exist: the pod's Secret came after the pod. */
const unexpanded = /^\$\(\w+\)$/;

function authenticate(access: Access, visit: Visit): ({ kind: "sender" } & Sender) | Refused {
  if (visit.credential?.startsWith("$(") === true && unexpanded.test(visit.credential)) {
    return refused(
      "key-not-injected",
      `The key is still the name of a variable, ${visit.credential}: its Secret did not exist when this pod started. Restart the pod once its namespace has the Secret.`,
    );
  }
  const grant = access.authenticate(visit.credential, {
    peerLoopback: visit.peerLoopback,
    ...(visit.tenantHint === undefined ? {} : { tenantHint: visit.tenantHint }),
  });
  if (isRefusal(grant)) return refused(grant.code, grant.message);
  if (grant.tenant === undefined) {
    if (visit.signal === "metrics")
      return { kind: "sender", grant, tenant: undefined, peer: visit.peer };
    return refused(
      "forbidden",
      "The admin key has no tenant: name one in `x-axonize-tenant`, or send with a tenant's key.",
    );
  }
  if (!grant.scopes.has("Ingest")) {
    return refused("forbidden", "This key may not send telemetry: it lacks the scope Ingest.");
  }
  return { kind: "sender", grant, tenant: grant.tenant, peer: visit.peer };
}

/** The credential of a request, from `authorization: Bearer …` or `x-axonize-key`. */
export function credentialOf(
  authorization: string | undefined,
  key: string | undefined,
): string | undefined {
  if (key !== undefined && key !== "") return key.trim();
  if (authorization === undefined) return undefined;
  return authorization.replace(/^bearer\s+/i, "").trim();
}

export function isLoopbackAddress(address: string | undefined): boolean {
  if (address === undefined) return false;
  return address === "::1" || /^(::ffff:)?127\./.test(address);
}
