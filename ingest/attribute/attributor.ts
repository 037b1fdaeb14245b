/**
 * Attribution as the decoder asks for it: the resolver over the followed view, and a list of the
 * resources whose spans got no device, for back-filling.
 */
import type { Attributor, DeviceQuestion, Missing } from "../decode/devices.ts";
import type { ResourceFacts } from "../decode/facts.ts";
import type { Claims } from "./claims.ts";
import * as limits from "./limits.ts";
import type { AttributeMetrics } from "./metrics.ts";
import { possibleProcesses, resolve, type ResolveOptions } from "./resolve.ts";
import type { IdentityView } from "./view.ts";

/** Spans of one resource that began in from…to and have no device yet. */
export interface Waiting {
  readonly tenantNum: number;
  /** As in `spans.resource_fp`. */
  readonly resourceFp: string;
  readonly facts: ResourceFacts;
  fromMs: number;
  toMs: number;
  /** When the latest of them came, and the first one did, by the monotonic clock. */
  notedMs: number;
  readonly sinceMs: number;
  /** The view's version at which it was last looked at. */
  seenVersion: number;
  /** Some are of a process that nobody knew. */
  isUnknown: boolean;
  /** What the ambiguous ones name, by ordinals. */
  readonly ambiguous: Map<string, readonly number[]>;
  /** Looked at again by then, monotonic, whatever changed. */
  retryMs: number;
}

/** A span, or several, that wait. */
export interface Fresh extends Pick<
  Waiting,
  "tenantNum" | "resourceFp" | "facts" | "fromMs" | "toMs" | "notedMs"
> {
  readonly was: Missing;
  readonly ordinals: readonly number[];
}

export interface WaitingList {
  add(fresh: Fresh): void;
  readonly all: ReadonlyMap<string, Waiting>;
  remove(key: string): void;
}

export const waitingKey = (tenantNum: number, resourceFp: string): string =>
  `${tenantNum}:${resourceFp}`;

export function createWaitingList(deps: { metrics: AttributeMetrics }): WaitingList {
  // In order of arrival, which is the order of age.
  const all = new Map<string, Waiting>();
  return {
    all,
    remove: (key) => {
      all.delete(key);
      deps.metrics.waiting.set(all.size);
    },
    add: (fresh) => {
      const key = waitingKey(fresh.tenantNum, fresh.resourceFp);
      const before = all.get(key);
      if (before === undefined && all.size >= limits.waiting) {
        deps.metrics.dropped.inc({ kind: "waiting", reason: "full" });
        return;
      }
      const entry = before ?? entryOf(fresh);
      entry.fromMs = Math.min(entry.fromMs, fresh.fromMs);
      entry.toMs = Math.max(entry.toMs, fresh.toMs);
      entry.notedMs = Math.max(entry.notedMs, fresh.notedMs);
      if (fresh.was === "unknown") entry.isUnknown = true;
      else if (entry.ambiguous.size < limits.answersPerResource) {
        entry.ambiguous.set(fresh.ordinals.join(), fresh.ordinals);
      }
      all.set(key, entry);
      deps.metrics.waiting.set(all.size);
    },
  };
}

const entryOf = ({ tenantNum, resourceFp, facts, fromMs, toMs, notedMs }: Fresh): Waiting => ({
  tenantNum,
  resourceFp,
  facts,
  fromMs,
  toMs,
  notedMs,
  sinceMs: notedMs,
  seenVersion: 0,
  isUnknown: false,
  ambiguous: new Map(),
  retryMs: Infinity,
});

export function createAttributor(
  deps: {
    view: IdentityView;
    waiting: WaitingList;
    claims: Claims;
    metrics: AttributeMetrics;
    monotonicMs: () => number;
  },
  options: ResolveOptions,
): Attributor {
  const { view, waiting, claims, metrics, monotonicMs } = deps;
  return {
    get version() {
      return view.version + claims.version;
    },
    attribute: (question) => {
      const { facts, ordinals } = question;
      if (ordinals.length > 0) claims.note(() => possibleProcesses(view, facts), ordinals);
      const answer = resolve(view, question, options, claims.soleOrdinal);
      metrics.answers.inc({ level: answer.level === "" ? "unknown" : answer.level });
      return answer;
    },
    missing: ({ tenantNum, resourceFp, facts, ordinals, startMs }, was) => {
      if (!isNamed(facts)) return;
      waiting.add({
        tenantNum,
        resourceFp: fpText(resourceFp),
        facts,
        fromMs: startMs,
        toMs: startMs,
        notedMs: monotonicMs(),
        was,
        ordinals,
      });
    },
  };
}

/**
 * Whether anything an agent reports could ever be joined to it, and to nothing else: two processes that
 * are told apart only by their connections may share a resource.
 */
const isNamed = (facts: ResourceFacts): boolean =>
  facts.podUid !== "" ||
  facts.pod !== "" ||
  facts.containerId !== "" ||
  (facts.pid !== undefined && (facts.node !== "" || facts.peer !== undefined));

/** Memoised for the last one: spans of a resource come together. */
const fpText = (fp: DeviceQuestion["resourceFp"]): string =>
  String(BigInt(fp.hi >>> 0) * 2n ** 32n + BigInt(fp.lo >>> 0));
