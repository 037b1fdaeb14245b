/**
 * Counts pods that run without injection though they should have it, namespace by namespace.
 *
 * No pods are watched or kept: some namespaces at a time are listed, by metadata and in pages, all of them in
 * turn. What is remembered is a number and a few names where there is something to tell. A count that changed
 * asks for the tenant's reconcile, which writes it into the status.
 */
import { isApiError } from "../../kube/api-error.ts";
import { pods } from "../../kube/kinds.ts";
import { isUninjected, roundedCount } from "./uninjected.ts";
import { censusEveryMs, censusNames, censusPace } from "./limits.ts";
import type { ProfileObject, World } from "./types.ts";

/** No resource can have this name: asks for a look at the next namespaces. */
export const censusKey = "/pods";

export interface Uninjected {
  /** Rounded. */
  readonly count: number;
  /** A few of them. */
  readonly names: readonly string[];
}

export interface Census {
  /** undefined: none, or not looked at yet. */
  of(namespace: string): Uninjected | undefined;
  /** Looks at the namespaces whose turn it is; answers when the next one's is. */
  run(world: World): Promise<number>;
}

interface Seen {
  readonly profileUid: string;
  readonly atMs: number;
  readonly found: Uninjected | undefined;
}

export function createCensus(): Census {
  const seen = new Map<string, Seen>();
  return {
    of: (namespace) => seen.get(namespace)?.found,
    run: async (world) => {
      const now = world.clock.monotonic();
      const wanted = new Map<string, ProfileObject>();
      for (const profile of isInjecting(world) ? world.caches.profiles.list() : []) {
        wanted.set(profile.metadata.namespace ?? "", profile);
      }
      for (const namespace of seen.keys()) {
        if (!wanted.has(namespace)) remember(world, seen, { namespace, after: undefined });
      }
      const everyMs = Math.max(
        censusEveryMs,
        (wanted.size * censusPace.ms) / censusPace.namespaces,
      );
      const dueMs = ([namespace, { metadata }]: readonly [string, ProfileObject]): number => {
        const last = seen.get(namespace);
        return last === undefined || last.profileUid !== metadata.uid
          ? -Infinity
          : last.atMs + everyMs;
      };
      const inTurn = [...wanted].sort((a, b) => dueMs(a) - dueMs(b));
      for (const entry of inTurn.slice(0, censusPace.namespaces)) {
        if (dueMs(entry) > now) break;
        const [namespace, profile] = entry;
        const after = {
          profileUid: profile.metadata.uid ?? "",
          atMs: now,
          ...(await look(world, profile)),
        };
        remember(world, seen, { namespace, after });
      }
      const next = Math.min(...[...wanted].map(dueMs));
      return Math.min(censusEveryMs, Math.max(censusPace.ms, next - now));
    },
  };
}

/** What is not injected at all is told by `InjectionReady`. */
function isInjecting({ options }: World): boolean {
  const { reason } = options.injection();
  return reason === "PolicyActive" || reason === "WebhookActive";
}

function remember(
  { caches, enqueue, metrics }: World,
  seen: Map<string, Seen>,
  { namespace, after }: { namespace: string; after: Seen | undefined },
): void {
  const before = seen.get(namespace)?.found;
  if (after === undefined) seen.delete(namespace);
  else seen.set(namespace, after);
  const found = after?.found;
  if (before?.count === found?.count) return;
  if (found === undefined) metrics.uninjected.remove({ tenant_namespace: namespace });
  else metrics.uninjected.set({ tenant_namespace: namespace }, found.count);
  for (const { metadata } of caches.tenants.byIndex("namespace", namespace)) enqueue(metadata.name);
}

async function look(
  { client, log }: World,
  { metadata: { namespace = "" }, spec }: ProfileObject,
): Promise<{ found: Uninjected | undefined }> {
  const names: string[] = [];
  let count = 0;
  const list = client.pages(pods, {
    namespace,
    metadataOnly: true,
    fieldSelector: "status.phase!=Succeeded,status.phase!=Failed",
  });
  try {
    for await (const page of list) {
      for (const { metadata } of page) {
        if (!isUninjected(metadata, modeOf(spec))) continue;
        count += 1;
        if (names.length < censusNames) names.push(metadata.name);
      }
    }
  } catch (error) {
    // The namespace ends, or its right to be looked at has not arrived: it is looked at in its next turn.
    if (!isApiError(error, 403) && !isApiError(error, 404)) throw error;
    log.debug({ event: "tenant.census", namespace, reason: error.message });
  }
  return { found: count === 0 ? undefined : { count: roundedCount(count), names } };
}

const modeOf = (spec: unknown): string =>
  typeof spec === "object" && spec !== null && "mode" in spec ? String(spec.mode) : "";
