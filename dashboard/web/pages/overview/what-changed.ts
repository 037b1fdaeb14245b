/**
 * What changed against the period before, ranked: per model and service, the measure that moved most,
 * weighted by how many calls it touches. Pure; computed from one overview answer.
 */
import type { Overview } from "@axonize/core/contract/analytics";

type Totals = Overview["totals"];
type Group = Overview["byModel"][number];

export type Measure = "ttftP95" | "durationP95" | "perTokenP95" | "errorRatio" | "calls";
export type ChangeKind = "measure" | "appeared" | "gone";

export interface Finding {
  readonly kind: ChangeKind;
  readonly by: "model" | "service";
  readonly value: string;
  readonly measure: Measure;
  readonly now: number;
  readonly before: number;
  /** Higher is more worth a look. */
  readonly score: number;
  readonly worse: boolean;
}

/** Fewer calls than this in either period prove nothing. */
const minimumCalls = 20;
/** People look for what got worse. */
const worseWeight = 1.5;
/** A smaller relative change is noise: e^0.16 ≈ 1.17. */
const smallestLog = 0.16;

const reads: readonly {
  readonly measure: Measure;
  readonly read: (t: Totals) => number | null;
  readonly weight: number;
}[] = [
  { measure: "ttftP95", read: (t) => t.ttftP95Ms, weight: 1 },
  { measure: "durationP95", read: (t) => t.durationP95Ms, weight: 0.9 },
  { measure: "perTokenP95", read: (t) => t.perTokenP95Ms, weight: 0.8 },
];

/** What moves with the whole traffic is one fact, not one per group. */
const callsWeight = 0.5;

export function whatChanged(overview: Overview, most: number): readonly Finding[] {
  const whole: Whole = {
    calls: overview.totals.calls,
    growth: growthOf(overview.totals.calls, overview.previous?.calls),
  };
  const found = [
    ...overview.byModel.flatMap((group) => findingsOf(group, "model", whole)),
    ...overview.byService.flatMap((group) => findingsOf(group, "service", whole)),
  ].sort((a, b) => b.score - a.score);
  return withoutEchoes(found).slice(0, most);
}

interface Whole {
  readonly calls: number;
  /** Calls now ÷ calls before, 1 when there is nothing to compare. */
  readonly growth: number;
}

function growthOf(now: number, before: number | undefined): number {
  return before && now > 0 ? now / before : 1;
}

function findingsOf(group: Group, by: Finding["by"], whole: Whole): readonly Finding[] {
  const share = Math.sqrt(group.totals.calls / Math.max(1, whole.calls));
  const { totals, previous } = group;
  if (!previous || previous.calls === 0) {
    if (totals.calls < minimumCalls) return [];
    return [
      {
        kind: "appeared",
        by,
        value: group.value,
        measure: "calls",
        now: totals.calls,
        before: 0,
        score: 0.5 + share,
        worse: false,
      },
    ];
  }
  if (totals.calls === 0 && previous.calls >= minimumCalls) {
    return [
      {
        kind: "gone",
        by,
        value: group.value,
        measure: "calls",
        now: 0,
        before: previous.calls,
        score: 0.8,
        worse: true,
      },
    ];
  }
  if (totals.calls < minimumCalls || previous.calls < minimumCalls) return [];
  const out: Finding[] = [];
  for (const { measure, read, weight } of reads) {
    const [now, before] = [read(totals), read(previous)];
    if (now === null || before === null || now <= 0 || before <= 0) continue;
    const log = Math.abs(Math.log(now / before));
    if (log < smallestLog) continue;
    out.push({
      kind: "measure",
      by,
      value: group.value,
      measure,
      now,
      before,
      score: log * share * weight * (now > before ? worseWeight : 1),
      worse: now > before,
    });
  }
  const errors = errorFinding(group, previous, by, share);
  const calls = callsFinding(group, previous, by, share, whole);
  return [...out, ...(errors ? [errors] : []), ...(calls ? [calls] : [])];
}

/** Only what grew or shrank against the rest of the traffic. */
function callsFinding(
  group: Group,
  previous: Totals,
  by: Finding["by"],
  share: number,
  whole: Whole,
): Finding | undefined {
  const [now, before] = [group.totals.calls, previous.calls];
  const log = Math.abs(Math.log(now / before / whole.growth));
  if (log < smallestLog * 2) return undefined;
  return {
    kind: "measure",
    by,
    value: group.value,
    measure: "calls",
    now,
    before,
    score: log * share * callsWeight,
    worse: false,
  };
}

/** Errors compare in points, and only when more than chance: three standard deviations of the old rate. */
function errorFinding(
  group: Group,
  previous: Totals,
  by: Finding["by"],
  share: number,
): Finding | undefined {
  const now = group.totals.errorRatio ?? 0;
  const before = previous.errorRatio ?? 0;
  const deviation = Math.sqrt(Math.max(before, 0.001) / group.totals.calls);
  const points = Math.abs(now - before);
  if (points < 3 * deviation) return undefined;
  return {
    kind: "measure",
    by,
    value: group.value,
    measure: "errorRatio",
    now,
    before,
    score: Math.min(2, points * 20) * share,
    worse: now > before,
  };
}

/** One line per group: its strongest measure. A service that only has one model repeats the model. */
function withoutEchoes(findings: readonly Finding[]): readonly Finding[] {
  const seen = new Set<string>();
  return findings.filter((finding) => {
    const group = `${finding.by} ${finding.value}`;
    const echo = `${finding.kind} ${finding.measure} ${Math.round(finding.now * 1e3)} ${Math.round(finding.before * 1e3)}`;
    if (seen.has(group) || seen.has(echo)) return false;
    seen.add(group);
    seen.add(echo);
    return true;
  });
}

export const measureNames: Readonly<Record<Measure, string>> = {
  ttftP95: "TTFT p95",
  durationP95: "total p95",
  perTokenP95: "per token p95",
  errorRatio: "errors",
  calls: "calls",
};

/** How far a group moved, for ordering tables: TTFT where there is one, else duration. */
export function changeOf(group: Group): number {
  if (!group.previous) return 0;
  const pair =
    group.totals.ttftP95Ms !== null
      ? [group.totals.ttftP95Ms, group.previous.ttftP95Ms]
      : [group.totals.durationP95Ms, group.previous.durationP95Ms];
  const [now, before] = pair;
  return typeof now === "number" && typeof before === "number" && before > 0
    ? Math.abs(Math.log(now / before))
    : 0;
}
