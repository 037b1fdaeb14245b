/**
 * The messages of the kubelet's pod-resources v1, as far as an agent needs them, read from the wire.
 *
 * CPU ids and memory are skipped. `cdi_devices` is skipped on purpose: the kubelet lets the list grow from
 * one device to the next, so it names too many.
 */
import { readFields, text } from "./wire.ts";

export interface PodResources {
  readonly namespace: string;
  readonly name: string;
  readonly containers: readonly ContainerResources[];
}

export interface ContainerResources {
  readonly name: string;
  /** One entry for each device and NUMA node, in no order. */
  readonly devices: readonly ContainerDevices[];
  readonly claims: readonly ClaimedDevice[];
}

export interface ContainerDevices {
  readonly resourceName: string;
  readonly deviceIds: readonly string[];
  /** NUMA nodes; empty unless the plugin told them. */
  readonly numaNodes: readonly number[];
}

/** One device of a DRA claim. */
export interface ClaimedDevice {
  readonly claimNamespace: string;
  readonly claimName: string;
  readonly driver: string;
  readonly pool: string;
  readonly device: string;
  readonly shareId: string | undefined;
}

/** `ListPodResourcesResponse`. */
export function decodeList(message: Uint8Array): PodResources[] {
  return messages(message, 1).map(decodePod);
}

/** `GetPodResourcesResponse`. */
export function decodeGet(message: Uint8Array): PodResources | undefined {
  return messages(message, 1).map(decodePod)[0];
}

/** `AllocatableResourcesResponse`: healthy devices only. */
export function decodeAllocatable(message: Uint8Array): ContainerDevices[] {
  return messages(message, 1).map(decodeDevices);
}

function decodePod(message: Uint8Array): PodResources {
  return {
    name: string(message, 1),
    namespace: string(message, 2),
    containers: messages(message, 3).map(decodeContainer),
  };
}

function decodeContainer(message: Uint8Array): ContainerResources {
  return {
    name: string(message, 1),
    devices: messages(message, 2).map(decodeDevices),
    claims: messages(message, 5).flatMap(decodeClaim),
  };
}

function decodeDevices(message: Uint8Array): ContainerDevices {
  const topology = messages(message, 3)[0];
  return {
    resourceName: string(message, 1),
    deviceIds: messages(message, 2).map(text),
    // NUMA node 0 is an empty message: zero is not written.
    numaNodes: topology === undefined ? [] : messages(topology, 1).map((node) => varint(node, 1)),
  };
}

function decodeClaim(message: Uint8Array): ClaimedDevice[] {
  const claimName = string(message, 2);
  const claimNamespace = string(message, 3);
  return messages(message, 4).map((device) => ({
    claimNamespace,
    claimName,
    driver: string(device, 2),
    pool: string(device, 3),
    device: string(device, 4),
    shareId: messages(device, 5).map(text)[0],
  }));
}

/** Every length-delimited field of this number. */
function messages(message: Uint8Array, number: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  readFields(message, (field) => {
    if (field.number === number) found.push(field.bytes);
  });
  return found;
}

function string(message: Uint8Array, number: number): string {
  return messages(message, number).map(text).at(-1) ?? "";
}

function varint(message: Uint8Array, number: number): number {
  let value = 0;
  readFields(message, (field) => {
    if (field.number === number) value = Number(BigInt.asIntN(64, field.varint));
  });
  return value;
}
