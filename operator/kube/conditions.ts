/**
 * Conditions and status: pure helpers that keep writes quiet.
 *
 * `lastTransitionTime` moves only when `status` does, and a condition that says the same stays the same
 * object, so that a status that did not change is equal to the cached one and is not written.
 */
import type { Condition } from "./types.ts";

export type ConditionUpdate = Omit<Condition, "lastTransitionTime">;

/** The conditions with this one in its place; the very same array where nothing changed. */
export function setCondition(
  conditions: readonly Condition[] | undefined,
  update: ConditionUpdate,
  now: Date,
): readonly Condition[] {
  const before = conditions?.find(({ type }) => type === update.type);
  const lastTransitionTime =
    before?.status === update.status ? before.lastTransitionTime : timeOf(now);
  const next: Condition = { ...update, lastTransitionTime };
  if (before === undefined) return [...(conditions ?? []), next];
  if (isDeepEqual(before, next)) return conditions ?? [];
  return (conditions ?? []).map((each) => (each === before ? next : each));
}

export const removeCondition = (
  conditions: readonly Condition[],
  type: string,
): readonly Condition[] =>
  conditions.some((each) => each.type === type)
    ? conditions.filter((each) => each.type !== type)
    : conditions;

export const conditionOf = (
  conditions: readonly Condition[] | undefined,
  type: string,
): Condition | undefined => conditions?.find((each) => each.type === type);

export const isTrue = (conditions: readonly Condition[] | undefined, type: string): boolean =>
  conditionOf(conditions, type)?.status === "True";

/**
 * `Ready`, and what kstatus (helm --wait, Flux, Argo) reads beside it: `Reconciling` while a generation is
 * on its way, `Stalled` when only a change of the object helps. Both are absent otherwise, as kstatus wants.
 */
export function setReady(
  conditions: readonly Condition[] | undefined,
  update: {
    readonly generation: number | undefined;
    readonly ready: "True" | "False" | "Unknown";
    readonly reason: string;
    readonly message: string;
    /** Nothing is expected to change it by itself. */
    readonly stalled?: boolean;
    /** Work is going on. */
    readonly reconciling?: boolean;
  },
  now: Date,
): readonly Condition[] {
  const { generation, ready, reason, message, stalled = false, reconciling = false } = update;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  const base = { reason, message, ...observed };
  let next = setCondition(conditions, { type: "Ready", status: ready, ...base }, now);
  for (const [type, holds] of [
    ["Reconciling", reconciling && !stalled],
    ["Stalled", stalled],
  ] as const) {
    next = holds
      ? setCondition(next, { type, status: "True", ...base }, now)
      : removeCondition(next, type);
  }
  return next;
}

/** `metav1.Time`: whole seconds. */
export const timeOf = (date: Date): string => `${date.toISOString().slice(0, 19)}Z`;

/** `metav1.MicroTime`: six digits, or the API server refuses it. */
export const microTimeOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 23)}000Z`;

/** Of JSON values; an undefined property counts as absent. */
export function isDeepEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [entriesOf(a), entriesOf(b)];
  if (left.length !== right.length) return false;
  const there = new Map(right);
  return left.every(([key, value]) => there.has(key) && isDeepEqual(value, there.get(key)));
}

const entriesOf = (object: object): [string, unknown][] =>
  Object.entries(object).filter(([, value]) => value !== undefined);
