/**
 * A kubelet's pod-resources server for tests: replays recorded answers of a kubelet 1.36.3 with the habits
 * that the recordings show: random order, a shared rate limit, OK-and-empty after a restart, codes, sockets
 * that stay or vanish.
 *
 * Encodes with protobufjs from the kubelet's own message definitions, so the agent's reader is checked
 * against another implementation.
 */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Server, ServerCredentials, status, type sendUnaryData } from "@grpc/grpc-js";
import protobuf from "protobufjs";

const definitions = `
syntax = "proto3"; package v1;
message ListPodResourcesRequest {}
message ListPodResourcesResponse { repeated PodResources pod_resources = 1; }
message AllocatableResourcesRequest {}
message AllocatableResourcesResponse { repeated ContainerDevices devices = 1; repeated int64 cpu_ids = 2; repeated ContainerMemory memory = 3; }
message GetPodResourcesRequest { string pod_name = 1; string pod_namespace = 2; }
message GetPodResourcesResponse { PodResources pod_resources = 1; }
message PodResources { string name = 1; string namespace = 2; repeated ContainerResources containers = 3; }
message ContainerResources { string name = 1; repeated ContainerDevices devices = 2; repeated int64 cpu_ids = 3; repeated ContainerMemory memory = 4; repeated DynamicResource dynamic_resources = 5; }
message ContainerMemory { string memory_type = 1; uint64 size = 2; TopologyInfo topology = 3; }
message ContainerDevices { string resource_name = 1; repeated string device_ids = 2; TopologyInfo topology = 3; }
message DynamicResource { string claim_name = 2; string claim_namespace = 3; repeated ClaimResource claim_resources = 4; }
message ClaimResource { repeated CDIDevice cdi_devices = 1; string driver_name = 2; string pool_name = 3; string device_name = 4; optional string share_id = 5; }
message CDIDevice { string name = 1; }
message TopologyInfo { repeated NUMANode nodes = 1; }
message NUMANode { int64 ID = 1; }
`;
const types = protobuf.parse(definitions, { keepCase: true }).root;

/** A recorded file: method → answer, `Get ns/pod` → answer or error. */
export type Recording = Record<string, unknown>;

export function recording(name: string): Recording {
  const file = join(
    import.meta.dirname,
    "../../test/fixtures/kubelet-1.36.3-pod-resources",
    `${name}.json`,
  );
  // Safe: the recordings are objects.
  return JSON.parse(readFileSync(file, "utf8")) as Recording;
}

export interface KubeletEmulator extends AsyncDisposable {
  /** What it answers from now on. */
  show(recorded: Recording): void;
  readonly listCount: number;
  /** Lists served at the same moment at most. */
  readonly mostAtOnce: number;
}

export interface KubeletOptions {
  readonly socketPath: string;
  readonly recorded: Recording;
  /** Calls a second and at once; a kubelet has 100 and 10. */
  readonly rateLimit?: { perSecond: number; burst: number };
  /** Methods that this kubelet does not have. */
  readonly without?: readonly string[];
}

/** Listens on the socket, replacing a file that an earlier one left behind. */
export async function startKubelet(options: KubeletOptions): Promise<KubeletEmulator> {
  let recorded = options.recorded;
  let listCount = 0;
  let mostAtOnce = 0;
  let atOnce = 0;
  const admit = createLimiter(options.rateLimit ?? { perSecond: 100, burst: 10 });
  const server = new Server();
  const implementation: Record<string, unknown> = {};
  const service: Record<string, object> = {};
  for (const method of ["List", "GetAllocatableResources", "Get"]) {
    if (options.without?.includes(method)) continue;
    service[method] = definitionOf(method);
    implementation[method] = (call: { request: Buffer }, done: sendUnaryData<Buffer>) => {
      if (method === "List") listCount += 1;
      if (!admit()) {
        done({ code: status.RESOURCE_EXHAUSTED, details: "rejected by rate limit" });
        return;
      }
      atOnce += 1;
      mostAtOnce = Math.max(mostAtOnce, atOnce);
      // A List takes a kubelet about 2 ms.
      setTimeout(() => {
        atOnce -= 1;
        answer(recorded, method, call.request, done);
      }, 2);
    };
  }
  // Safe: service and implementation have the same methods in grpc-js' own shapes.
  server.addService(service as never, implementation as never);
  rmSync(options.socketPath, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${options.socketPath}`, ServerCredentials.createInsecure(), (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
  return {
    show: (next) => {
      recorded = next;
    },
    get listCount() {
      return listCount;
    },
    get mostAtOnce() {
      return mostAtOnce;
    },
    [Symbol.asyncDispose]: async () => {
      server.forceShutdown();
      await Promise.resolve();
    },
  };
}

function definitionOf(method: string): object {
  const same = (bytes: Buffer): Buffer => bytes;
  return {
    path: `/v1.PodResourcesLister/${method}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

const responses: Record<string, string> = {
  List: "v1.ListPodResourcesResponse",
  GetAllocatableResources: "v1.AllocatableResourcesResponse",
  Get: "v1.GetPodResourcesResponse",
};

function answer(
  recorded: Recording,
  method: string,
  request: Buffer,
  done: sendUnaryData<Buffer>,
): void {
  let key = method;
  if (method === "Get") {
    const asked = types.lookupType("v1.GetPodResourcesRequest").decode(request).toJSON();
    key = `Get ${String(asked["pod_namespace"])}/${String(asked["pod_name"])}`;
  }
  // Safe: what was recorded is an answer of this method or {error: {code, details}}.
  const found = recorded[key] as { error?: { code: number; details: string } } | undefined;
  if (found === undefined || found.error) {
    const [namespace, pod] = key.slice(4).split("/");
    const details = `pod ${pod} in namespace ${namespace} not found`;
    done(found?.error ?? { code: status.UNKNOWN, details });
    return;
  }
  const type = types.lookupType(responses[method] ?? "");
  const message = type.fromObject(shuffled(found) as Record<string, unknown>);
  done(null, Buffer.from(type.encode(message).finish()));
}

/** Every list in another order: a kubelet builds them from maps. */
function shuffled(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value
      .map((item) => ({ item: shuffled(item), key: Math.random() }))
      .sort((a, b) => a.key - b.key)
      .map(({ item }) => item);
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, shuffled(each)]));
}

/** A token bucket over all methods and clients. */
function createLimiter(limit: { perSecond: number; burst: number }): () => boolean {
  let tokens = limit.burst;
  let last = performance.now();
  return () => {
    const now = performance.now();
    tokens = Math.min(limit.burst, tokens + ((now - last) / 1000) * limit.perSecond);
    last = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}
