/**
 * How surely a span is joined to devices: the levels, their order, and the rule for whole allocations, on
 * which the agent and ingest must agree. Pure.
 */

/** From unsure to sure. Of several answers that hold together the least sure one tells the level. */
export const attributionLevels = [
  "unattributed",
  "identity.conflict",
  "ambiguous",
  "likely.homogeneous",
  "derived.workers",
  "derived.pci",
  "derived.uuidlist",
  "exact.uuidlist",
  "exact.runtime",
  "exact.set",
  "exact.single",
  "exact.sdk",
] as const;
export type AttributionLevel = (typeof attributionLevels)[number];

/** Words from outside may be no level: less sure than any. */
export function levelRank(level: string): number {
  // Safe: only compared with the list's own words.
  return attributionLevels.indexOf(level as AttributionLevel);
}

/** What names no ordinal belongs to all of these devices together. */
export const wholeSetLevel = (uuids: readonly string[]): "exact.single" | "exact.set" =>
  uuids.length === 1 ? "exact.single" : "exact.set";

/** Said with a level that `wholeSetLevel` gave to an allocation. */
export const wholeAllocation = "the container's whole allocation";

/**
 * The devices that a container was given, without repetition, and the level of a span that names none of
 * them. `isOpen` leaves out those that it cannot open: of two resource types in one container both are
 * allocated and one is visible.
 */
export function wholeSet(
  allocated: readonly string[],
  isOpen: (uuid: string) => boolean = () => true,
): { readonly uuids: readonly string[]; readonly level: "exact.single" | "exact.set" } | undefined {
  if (allocated.length === 0) return undefined;
  const open = allocated.filter(isOpen);
  const uuids = [...new Set(open.length > 0 ? open : allocated)];
  return { uuids, level: wholeSetLevel(uuids) };
}

/**
 * The reason of a process's binding for an ordinal where the driver lists the process on one device alone,
 * its only candidate: that device it is, if the process has reported no other ordinal. The agent cannot
 * know that; the process's spans tell it.
 */
export const otherOrdinals = "other_ordinals";
