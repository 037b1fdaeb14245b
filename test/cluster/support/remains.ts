/** What of ours is in a cluster: every kind that the API serves is looked through. */
import type { Cluster } from "../../../tools/k8s/cluster.ts";

interface Found {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly finalizers?: readonly string[];
  };
}

/** Kinds that are records of what was, made by others, and pass by themselves. */
const records = /^(events(\.|$)|leases\.coordination|componentstatuses|controllerrevisions)/;

/**
 * Objects with our name, labels, annotations or finalizers, as `Kind namespace/name: why`. Of custom
 * resources and their definitions, which stay by design, only finalizers count; of pods, which keep what
 * they were started with, nothing.
 */
export async function remainsOf(
  cluster: Cluster,
  isExpected: (found: string) => boolean,
): Promise<string[]> {
  const listed = await cluster.kubectl("api-resources", "--verbs=list", "-o", "name");
  const kinds = listed
    .split("\n")
    .filter((kind) => kind !== "" && !records.test(kind) && kind !== "pods");
  const found = new Set<string>();
  for (const kind of kinds) {
    const text = await cluster.kubectl("get", kind, "-A", "-o", "json");
    const { items } = JSON.parse(text) as { items: Found[] };
    for (const item of items) {
      const reason = reasonOf(item, kind);
      const where = item.metadata.namespace === undefined ? "" : `${item.metadata.namespace}/`;
      const name = `${item.kind} ${where}${item.metadata.name}`;
      if (reason !== undefined && !isExpected(name)) found.add(`${name}: ${reason}`);
    }
  }
  return [...found].sort();
}

function reasonOf({ metadata }: Found, kind: string): string | undefined {
  const finalizer = metadata.finalizers?.find((each) => each.includes("axonize"));
  if (finalizer !== undefined) return `finalizer ${finalizer}`;
  if (kind.endsWith("axonize.io") && !kind.startsWith("injectionprofiles")) return undefined;
  if (kind.startsWith("customresourcedefinitions")) return undefined;
  const label = Object.entries(metadata.labels ?? {}).find(
    ([key, value]) => key.includes("axonize") || value.startsWith("axonize"),
  );
  if (label !== undefined && label[0] !== "kubernetes.io/metadata.name") {
    return `label ${label.join("=")}`;
  }
  const annotation = Object.keys(metadata.annotations ?? {}).find((key) => key.includes("axonize"));
  if (annotation !== undefined) return `annotation ${annotation}`;
  return metadata.name.includes("axonize") ? "its name" : undefined;
}
