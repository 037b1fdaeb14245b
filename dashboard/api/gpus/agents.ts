/**
 * Agents as the System page shows them, from the status that each sent last. Pure.
 *
 * The status is JSON of whatever version the agent is: what is missing or odd in it is left out, not
 * an error.
 */
import type { System } from "@axonize/core/contract/system";
import type { AgentRecord } from "../queries/identity.sql.ts";
import { rfc3339FromMs } from "../time-text.ts";

/** Status comes every few seconds; a minute without one is no coincidence. */
const staleMs = 60_000;

export function agentFrom(record: AgentRecord, nowMs: number): System["agents"][number] {
  const { status } = record;
  return {
    node: record.node,
    version: record.version,
    lastReport: rfc3339FromMs(record.lastMs),
    stale: nowMs - record.lastMs > staleMs,
    driverVersion: textFrom(status["driverVersion"]),
    trouble: textFrom(status["trouble"]),
    periodMs: numberFrom(status["periodMs"]),
    wantedPeriodMs: numberFrom(status["wantedPeriodMs"]),
    cpuRatio: numberFrom(status["cpuRatio"]),
    offsetMs: record.offsetMs,
    offsetErrorMs: record.offsetErrorMs,
    drops: countsFrom(status["drops"]).map(([reason, count]) => ({ reason, count })),
    findings: findingsFrom(status["doctor"]),
  };
}

/** Join health over all nodes, worst first. */
export function unjoinedFrom(records: readonly AgentRecord[]): System["unjoined"] {
  const sums = new Map<string, number>();
  for (const { status } of records) {
    for (const [reason, seconds] of countsFrom(status["unjoinedSeconds"])) {
      sums.set(reason, (sums.get(reason) ?? 0) + seconds);
    }
  }
  return [...sums]
    .map(([reason, seconds]) => ({ reason, seconds }))
    .sort((a, b) => b.seconds - a.seconds);
}

/** What an agent's doctor found wrong; what is well needs no line. */
function findingsFrom(value: unknown): System["agents"][number]["findings"] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item: unknown) =>
    isRecord(item) && item["ok"] === false
      ? [
          {
            check: textFrom(item["check"]),
            message: textFrom(item["message"]),
            mend: textFrom(item["mend"]),
          },
        ]
      : [],
  );
}

const countsFrom = (value: unknown): [string, number][] =>
  isRecord(value)
    ? Object.entries(value).flatMap(([name, count]): [string, number][] =>
        typeof count === "number" && Number.isFinite(count) && count > 0 ? [[name, count]] : [],
      )
    : [];
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const textFrom = (value: unknown): string => (typeof value === "string" ? value : "");
const numberFrom = (value: unknown): number | null =>
  typeof value === "number" && Number.isFinite(value) ? value : null;
