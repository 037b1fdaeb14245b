/**
 * Which namespaces a tenant has: claims of the resources against what is there, decided the same way by
 * everybody who asks. What is bound stays with whom it is bound to; else the oldest resource has it, then
 * the smallest UID. Labels of a namespace are never asked.
 */

export interface Claimant {
  readonly name: string;
  readonly uid: string;
  readonly createdMs: number;
  readonly namespaces: readonly string[];
  /** Being deleted, or not the owner of its tenant: its claims do not count. */
  readonly isVoid: boolean;
  readonly tenantId: string;
}

export interface NamespaceView {
  readonly name: string;
  readonly uid: string;
  readonly isTerminating: boolean;
}

/** A row of PostgreSQL, by the namespace's UID. */
export interface Binding {
  readonly namespace: string;
  readonly namespaceUid: string;
  readonly tenantId: string;
}

export type Claim =
  | { readonly state: "Bound"; readonly name: string; readonly uid: string }
  | { readonly state: "Terminating"; readonly name: string; readonly uid: string }
  | { readonly state: "Missing" | "Denied"; readonly name: string }
  | { readonly state: "Conflict"; readonly name: string; readonly with: string };

/** In the order of the spec. */
export function resolveClaims(input: {
  readonly own: Claimant;
  readonly others: readonly Claimant[];
  readonly namespaces: ReadonlyMap<string, NamespaceView>;
  readonly bindings: readonly Binding[];
  readonly denied: ReadonlySet<string>;
}): Claim[] {
  const { own, namespaces, bindings, denied } = input;
  const bound = new Map(bindings.map((binding) => [binding.namespaceUid, binding]));
  return own.namespaces.map((name): Claim => {
    if (denied.has(name) || name.startsWith("kube-")) return { state: "Denied", name };
    const namespace = namespaces.get(name);
    if (namespace === undefined) return { state: "Missing", name };
    const { uid } = namespace;
    const holder = bound.get(uid);
    if (holder !== undefined && holder.tenantId !== own.tenantId) {
      return { state: "Conflict", name, with: nameOf(input.others, holder.tenantId) };
    }
    const winner = holder === undefined ? firstOf(input, name) : own;
    if (winner.uid !== own.uid) return { state: "Conflict", name, with: winner.name };
    return { state: namespace.isTerminating ? "Terminating" : "Bound", name, uid };
  });
}

function firstOf(
  { own, others }: { own: Claimant; others: readonly Claimant[] },
  name: string,
): Claimant {
  const rivals = others.filter((each) => !each.isVoid && each.namespaces.includes(name));
  return [own, ...rivals].reduce((first, each) => (isBefore(each, first) ? each : first));
}

const isBefore = (a: Claimant, b: Claimant): boolean =>
  a.createdMs === b.createdMs ? a.uid < b.uid : a.createdMs < b.createdMs;

/** The resource's name, where it is known. */
const nameOf = (others: readonly Claimant[], tenantId: string): string =>
  others.find((each) => each.tenantId === tenantId && !each.isVoid)?.name ?? tenantId;
