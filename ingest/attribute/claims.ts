/**
 * Which one ordinal a process ever reported, as far as its spans tell: `exact.runtime` for a span that
 * names an ordinal stands on it. ClickHouse has the spans of all replicas and is asked before a claim is
 * made and again every minute; a span of another ordinal that comes here takes it back at once.
 *
 * A span that may be of the process counts against it: one of its container or host that tells no pid.
 */
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import * as limits from "./limits.ts";
import type { AttributeMetrics } from "./metrics.ts";
import { onlyOrdinal, processKey, type SoleOrdinal } from "./resolve.ts";
import type { Interval } from "./view.ts";

/** undefined as ordinal: it reported several, and no other answer will come. */
interface Claim {
  readonly tenantNum: number;
  readonly binding: Interval;
  readonly ordinal: number | undefined;
  checkedMs: number;
  usedMs: number;
}

export interface Claims {
  /** Grows when a claim is made or taken back: answers of before may be others now. */
  readonly version: number;
  readonly soleOrdinal: SoleOrdinal;
  /** Whether asking ClickHouse about the process may say something new. */
  isOpen(binding: Interval): boolean;
  /** Asks, and claims where one ordinal is all. Answers false while no span of it is stored. */
  learn(tenantNum: number, binding: Interval): Promise<boolean>;
  /** Spans that may be of these processes name these ordinals. Asked only where a claim is made. */
  note(processes: () => readonly string[], ordinals: readonly number[]): void;
  /** Asks again about what is due; answers with what no longer holds, to be told with `takeBack`. */
  recheck(): Promise<TakenBack[]>;
  /** Writes again what stood on a claim that was wrong; answers how many spans, and their times. */
  takeBack(taken: TakenBack): Promise<{ spans: number; fromMs: number; toMs: number }>;
}

export type TakenBack = Pick<Claim, "tenantNum" | "binding">;

interface Deps {
  readonly clickhouse: ClickHouseClient;
  readonly metrics: AttributeMetrics;
  readonly monotonicMs: () => number;
}

export function createClaims(deps: Deps): Claims {
  const { monotonicMs, metrics } = deps;
  const all = new Map<string, Claim>();
  let version = 0;
  let wrong: TakenBack[] = [];
  const set = (process: string, claim: Claim): void => {
    all.set(process, claim);
    version += 1;
  };
  const revoke = (process: string, claim: Claim): void => {
    set(process, { ...claim, ordinal: undefined, checkedMs: monotonicMs() });
    wrong.push(claim);
  };
  return {
    get version() {
      return version;
    },
    soleOrdinal: (process) => {
      const claim = all.get(process);
      if (claim !== undefined) claim.usedMs = monotonicMs();
      return claim?.ordinal;
    },
    isOpen: (binding) => !all.has(processKey(binding)),
    learn: async (tenantNum, binding) => {
      const ordinals = await reported(deps, { tenantNum, binding });
      if (ordinals.length === 0) return false;
      if (all.size >= limits.claims) {
        metrics.dropped.inc({ kind: "claims", reason: "full" });
        return true;
      }
      const now = monotonicMs();
      const [only] = ordinals;
      const ordinal = ordinals.length === 1 ? only : undefined;
      set(processKey(binding), { tenantNum, binding, ordinal, checkedMs: now, usedMs: now });
      return true;
    },
    note: (processes, ordinals) => {
      if (all.size === 0) return;
      for (const process of processes()) {
        const claim = all.get(process);
        if (claim?.ordinal === undefined) continue;
        if (ordinals.some((each) => each !== claim.ordinal)) revoke(process, claim);
      }
    },
    recheck: async () => {
      const now = monotonicMs();
      let asked = 0;
      for (const [process, claim] of all) {
        if (now - claim.usedMs > limits.claimKeptMs) {
          all.delete(process);
          continue;
        }
        const isDue = claim.ordinal !== undefined && now - claim.checkedMs > limits.claimCheckMs;
        if (!isDue || asked >= limits.claimChecks) continue;
        asked += 1;
        claim.checkedMs = now;
        const ordinals = await reported(deps, claim);
        if (all.get(process) === claim && ordinals.some((each) => each !== claim.ordinal)) {
          revoke(process, claim);
        }
      }
      const taken = wrong;
      wrong = [];
      return taken;
    },
    takeBack: async (taken) => await writeAgain(deps, taken),
  };
}

/** Spans of this process, and of others that cannot be told from it. */
const ofProcess = `tenant_id = {tenant:UInt32}
  AND start >= fromUnixTimestamp64Milli({fromMs:Int64}, 'UTC') AND notEmpty(gpu_ordinals)
  AND resource_fp IN (
    SELECT fp FROM resources WHERE tenant_id = {tenant:UInt32}
      AND JSONExtractInt(attrs, 'process.pid') IN (0, {pid:UInt32})
      AND if({isHost:Bool},
        JSONExtractString(attrs, 'k8s.pod.uid') = '' AND JSONExtractString(attrs, 'k8s.pod.name') = ''
          AND JSONExtractString(attrs, 'container.id') = ''
          AND (JSONExtractString(attrs, 'host.name') IN ('', {node:String})
            OR JSONExtractString(attrs, 'k8s.node.name') = {node:String}),
        ({podUid:String} != '' AND JSONExtractString(attrs, 'k8s.pod.uid') = {podUid:String})
          OR ({pod:String} != '' AND JSONExtractString(attrs, 'k8s.pod.name') = {pod:String})
          OR ({containerId:String} != '' AND JSONExtractString(attrs, 'container.id') = {containerId:String})))`;

function paramsOf({ tenantNum, binding }: TakenBack) {
  const { podUid, pod, containerId, node, fromMs, ownPid } = binding;
  return {
    tenant: tenantNum,
    // Longer than the agent has seen it: it may have reported before.
    fromMs: Math.floor(fromMs - limits.keptMs),
    pid: ownPid ?? 0,
    isHost: podUid === "" && pod === "" && containerId === "",
    podUid,
    pod,
    containerId,
    node,
  };
}

async function reported({ clickhouse }: Deps, of: TakenBack): Promise<number[]> {
  const answer = await clickhouse.query({
    query: `SELECT DISTINCT arrayJoin(gpu_ordinals) AS ordinal FROM spans WHERE ${ofProcess} LIMIT 2`,
    query_params: paramsOf(of),
    format: "JSONEachRow",
  });
  return (await answer.json<{ ordinal: number }>()).map(({ ordinal }) => ordinal);
}

async function writeAgain(
  { clickhouse }: Deps,
  taken: TakenBack,
): Promise<{ spans: number; fromMs: number; toMs: number }> {
  const stood = `${ofProcess} AND gpu_level = 'exact.runtime' AND has(gpu_evidence, {onlyOrdinal:String})`;
  const query_params = { ...paramsOf(taken), onlyOrdinal };
  const answer = await clickhouse.query({
    query: `SELECT count() AS spans, min(toUnixTimestamp64Milli(start)) AS fromMs,
      max(toUnixTimestamp64Milli(start)) AS toMs FROM spans FINAL WHERE ${stood}`,
    query_params,
    format: "JSONEachRow",
  });
  const [found] = await answer.json<Record<"spans" | "fromMs" | "toMs", number | string>>();
  const spans = Number(found?.spans ?? 0);
  const times = { fromMs: Number(found?.fromMs ?? 0), toMs: Number(found?.toMs ?? 0) };
  if (spans === 0) return { spans, ...times };
  await clickhouse.command({
    query: `
      INSERT INTO spans SELECT * REPLACE (
        CAST([], 'Array(LowCardinality(String))') AS gpu_devices, 'ambiguous' AS gpu_level,
        held AS gpu_candidates, {reason:String} AS gpu_reason,
        {evidence:Array(String)} AS gpu_evidence, now64(3, 'UTC') AS received) EXCEPT held
      FROM (
        -- Apart, because names in WHERE would mean the new values.
        SELECT *, gpu_devices AS held FROM spans FINAL WHERE ${stood}
      )`,
    query_params: { ...query_params, reason: taken.binding.reason, evidence: [another] },
  });
  return { spans, ...times };
}

const another = "its process reported another ordinal, too";
