/**
 * The kubelet's device-plugin protocol v1beta1 for grpc-js, from its message definitions: what a plugin
 * serves (`DevicePlugin`) and what it calls (`Registration`).
 */
import {
  makeClientConstructor,
  type MethodDefinition,
  type ServiceDefinition,
} from "@grpc/grpc-js";
import protobuf from "protobufjs";

const definitions = `
syntax = "proto3"; package v1beta1;
message Empty {}
message DevicePluginOptions { bool pre_start_required = 1; bool get_preferred_allocation_available = 2; }
message RegisterRequest { string version = 1; string endpoint = 2; string resource_name = 3; DevicePluginOptions options = 4; }
message ListAndWatchResponse { repeated Device devices = 1; }
message TopologyInfo { repeated NUMANode nodes = 1; }
message NUMANode { int64 ID = 1; }
message Device { string ID = 1; string health = 2; TopologyInfo topology = 3; }
message PreferredAllocationRequest { repeated ContainerPreferredAllocationRequest container_requests = 1; }
message ContainerPreferredAllocationRequest { repeated string available_deviceIDs = 1; repeated string must_include_deviceIDs = 2; int32 allocation_size = 3; }
message PreferredAllocationResponse { repeated ContainerPreferredAllocationResponse container_responses = 1; }
message ContainerPreferredAllocationResponse { repeated string deviceIDs = 1; }
message AllocateRequest { repeated ContainerAllocateRequest container_requests = 1; }
message ContainerAllocateRequest { repeated string devices_ids = 1; }
message AllocateResponse { repeated ContainerAllocateResponse container_responses = 1; }
message ContainerAllocateResponse { map<string, string> envs = 1; repeated Mount mounts = 2; repeated DeviceSpec devices = 3; map<string, string> annotations = 4; repeated CDIDevice cdi_devices = 5; }
message CDIDevice { string name = 1; }
message Mount { string container_path = 1; string host_path = 2; bool read_only = 3; }
message DeviceSpec { string container_path = 1; string host_path = 2; string permissions = 3; }
message PreStartContainerRequest { repeated string devices_ids = 1; }
message PreStartContainerResponse {}
`;
const types = protobuf.parse(definitions, { keepCase: true }).root;

export interface PluginDevice {
  readonly ID: string;
  readonly health: "Healthy" | "Unhealthy";
  readonly topology?: { readonly nodes: readonly { readonly ID: number }[] };
}

/** What a container gets with its devices. */
export interface ContainerAnswer {
  readonly envs?: Readonly<Record<string, string>>;
  readonly mounts?: readonly {
    readonly container_path: string;
    readonly host_path: string;
    readonly read_only: boolean;
  }[];
  readonly devices?: readonly {
    readonly container_path: string;
    readonly host_path: string;
    readonly permissions: string;
  }[];
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface AllocateRequest {
  readonly container_requests?: readonly { readonly devices_ids?: readonly string[] }[];
}

export interface PreferredAllocationRequest {
  readonly container_requests?: readonly {
    readonly available_deviceIDs?: readonly string[];
    readonly must_include_deviceIDs?: readonly string[];
    readonly allocation_size?: number;
  }[];
}

function method(
  service: string,
  name: string,
  [request, response]: readonly [string, string],
  responseStream = false,
): MethodDefinition<object, object> {
  const codec = (type: string) => {
    const found = types.lookupType(`v1beta1.${type}`);
    return {
      encode: (value: object): Buffer =>
        Buffer.from(found.encode(found.fromObject(value)).finish()),
      decode: (bytes: Buffer): object => found.toObject(found.decode(bytes), { longs: Number }),
    };
  };
  const asked = codec(request);
  const answered = codec(response);
  return {
    path: `/v1beta1.${service}/${name}`,
    requestStream: false,
    responseStream,
    requestSerialize: asked.encode,
    requestDeserialize: asked.decode,
    responseSerialize: answered.encode,
    responseDeserialize: answered.decode,
  };
}

export const devicePluginService: ServiceDefinition = {
  GetDevicePluginOptions: method("DevicePlugin", "GetDevicePluginOptions", [
    "Empty",
    "DevicePluginOptions",
  ]),
  ListAndWatch: method("DevicePlugin", "ListAndWatch", ["Empty", "ListAndWatchResponse"], true),
  GetPreferredAllocation: method("DevicePlugin", "GetPreferredAllocation", [
    "PreferredAllocationRequest",
    "PreferredAllocationResponse",
  ]),
  Allocate: method("DevicePlugin", "Allocate", ["AllocateRequest", "AllocateResponse"]),
  PreStartContainer: method("DevicePlugin", "PreStartContainer", [
    "PreStartContainerRequest",
    "PreStartContainerResponse",
  ]),
};

export const RegistrationClient = makeClientConstructor(
  { Register: method("Registration", "Register", ["RegisterRequest", "Empty"]) },
  "Registration",
);
