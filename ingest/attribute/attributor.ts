/**
 * Attribution as the decoder asks for it: the resolver over the followed view, and a list of the
 * resources whose spans got no device, for back-filling.
 */
import type { Attributor, DeviceQuestion, ResourceFacts } from "../decode/devices.ts";
import * as limits from "./limits.ts";
import type { AttributeMetrics } from "./metrics.ts";
import { resolve, type ResolveOptions } from "./resolve.ts";
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
}

export interface WaitingList {
  add(waiting: Omit<Waiting, "seenVersion" | "sinceMs">): void;
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
      if (before !== undefined) {
        before.fromMs = Math.min(before.fromMs, fresh.fromMs);
        before.toMs = Math.max(before.toMs, fresh.toMs);
        before.notedMs = Math.max(before.notedMs, fresh.notedMs);
        return;
      }
      if (all.size >= limits.waiting) {
        deps.metrics.dropped.inc({ kind: "waiting", reason: "full" });
        return;
      }
      all.set(key, { ...fresh, sinceMs: fresh.notedMs, seenVersion: 0 });
      deps.metrics.waiting.set(all.size);
    },
  };
}

export function createAttributor(
  deps: {
    view: IdentityView;
    waiting: WaitingList;
    metrics: AttributeMetrics;
    monotonicMs: () => number;
  },
  options: ResolveOptions,
): Attributor {
  const { view, waiting, metrics, monotonicMs } = deps;
  return {
    get version() {
      return view.version;
    },
    attribute: (question) => {
      const answer = resolve(view, question, options);
      metrics.answers.inc({ level: answer.level === "" ? "unknown" : answer.level });
      return answer;
    },
    missing: ({ tenantNum, resourceFp, facts, startMs }) => {
      if (!isNamed(facts)) return;
      waiting.add({
        tenantNum,
        resourceFp: fpText(resourceFp),
        facts,
        fromMs: startMs,
        toMs: startMs,
        notedMs: monotonicMs(),
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
