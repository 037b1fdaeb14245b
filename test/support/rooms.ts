/**
 * Who may import whom, and which rooms are pure: the data of `test/tidy.test.ts`.
 */

const shared = ["core/contract", "core/runtime"] as const;
const services = ["ingest", "dashboard/api", "agent"] as const;
/** Room → rooms it may import; `test` and `bench` may import anything. Design §3, reference A6. */
export const rooms: Record<string, readonly string[]> = {
  "core/contract": [],
  "core/runtime": ["core/contract"],
  "ingest/decode": ["core/contract", "core/runtime", "ingest/normalize"],
  "ingest/normalize": ["core/contract", "core/runtime"],
  ingest: ["core/contract", "core/runtime", "ingest/decode", "ingest/normalize"],
  "dashboard/api": ["core/contract", "core/runtime"],
  "agent/identity": ["core/contract"],
  agent: ["core/contract", "core/runtime", "agent/identity"],
  "dashboard/web": ["core/contract"],
  standalone: [...shared, ...services],
  "operator/kube": shared,
  "operator/resources": ["core/contract"],
  "operator/x509": [],
  operator: [...shared, "operator/kube", "operator/resources", "operator/x509"],
  images: [],
  // The false driver, which is the agent's, is what a cluster without GPUs has in their stead.
  "tools/k8s": [...shared, "scripts", "images", "agent", "operator/x509"],
  scripts: [...shared, ...services, "operator", "standalone", "test", "tools/k8s", "images"],
};

/** Pure rooms: no I/O, no clock. */
export const pureRooms = [
  "ingest/decode/",
  "ingest/normalize/",
  "core/contract/",
  "agent/identity/",
  "operator/resources/",
];
