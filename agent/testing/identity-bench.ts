/**
 * Everything that identity stands on, under a test's hand: devices and process lists as sampling would tell
 * them, a kubelet emulator on a socket, made-up processes, and a reporter that replays what it is told.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Gpu, Slice } from "../nvml/topology.ts";
import { defaultPoolConfig } from "../pool-config.ts";
import type { PoolConfig } from "@axonize/core/contract/agent";
import type { IdentityChange, Reporter } from "../report.ts";
import type { DeviceFeed, DevicesSeen, ProcessesSeen } from "../sampling/feed.ts";
import { createFakeProc, type FakeProc } from "./fake-proc.ts";
import type { Recording } from "./kubelet-emulator.ts";

export interface IdentityBench extends Disposable {
  readonly proc: FakeProc;
  readonly socketPath: string;
  readonly stateDir: string;
  readonly feed: DeviceFeed;
  readonly reporter: Reporter;
  /** Every change so far, in order. */
  readonly changes: IdentityChange[];
  devices(gpus: readonly Gpu[], driverEpoch?: string): void;
  /** pid → devices on which the driver lists it. */
  processes(rows: Readonly<Record<number, readonly string[]>>, missing?: readonly string[]): void;
  configure(config: Partial<PoolConfig>): void;
  /** The newest word on every interval of a layer that is open. */
  open<L extends IdentityChange["layer"]>(layer: L): Extract<IdentityChange, { layer: L }>[];
}

export function createIdentityBench(): IdentityBench {
  const dir = mkdtempSync(join(tmpdir(), "axonize-identity-"));
  const stateDir = join(dir, "state");
  mkdirSync(stateDir);
  const proc = createFakeProc();
  const changes: IdentityChange[] = [];
  const devices = new Set<(seen: DevicesSeen) => void>();
  const processes = new Set<(seen: ProcessesSeen) => void>();
  let seen: DevicesSeen | undefined;
  let config = defaultPoolConfig;
  const on = <T>(all: Set<T>, one: T): (() => void) => {
    all.add(one);
    return () => void all.delete(one);
  };
  return {
    proc,
    socketPath: join(dir, "kubelet.sock"),
    stateDir,
    changes,
    feed: {
      devices: () => seen,
      processes: () => undefined,
      onDevices: (listener) => on(devices, listener),
      onProcesses: (listener) => on(processes, listener),
    },
    reporter: {
      devices: () => undefined,
      samples: () => undefined,
      event: () => undefined,
      status: () => undefined,
      identity: (told) => void changes.push(...told),
      config: () => config,
      onConfig: () => () => undefined,
    },
    configure(next) {
      config = { ...config, ...next };
    },
    devices(gpus, driverEpoch = "580.82.07#0") {
      seen = { atMs: Date.now(), driverVersion: "580.82.07", driverEpoch, gpus };
      for (const listener of devices) listener(seen);
    },
    processes(rows, missing = []) {
      const list = {
        rows: Object.entries(rows).flatMap(([pid, uuids]) =>
          uuids.map((device) => ({ ...row, pid: Number(pid), device, gpuUuid: device })),
        ),
        missing: new Map(missing.map((device) => [device, "no_permission" as const])),
        truncatedCount: 0,
      };
      for (const listener of processes) listener({ atMs: Date.now(), list });
    },
    open(layer) {
      const newest = new Map<string, IdentityChange>();
      for (const change of changes) {
        if (change.layer === layer) newest.set(`${change.key} ${change.validFromMs}`, change);
      }
      const open = [...newest.values()].filter(({ validToMs }) => validToMs === undefined);
      // Safe: only changes of this layer are in the map.
      return open as Extract<IdentityChange, { layer: typeof layer }>[];
    },
    [Symbol.dispose]() {
      proc[Symbol.dispose]();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const row = {
  kind: "compute" as const,
  memoryBytes: 1024,
  gpuInstanceId: undefined,
  computeInstanceId: undefined,
  smUtilizationRatio: undefined,
};

export const gpuUuid = (n: number): string =>
  `GPU-${String(n).repeat(8)}-aaaa-4bbb-8ccc-000000000000`;
export const migUuid = (n: number): string =>
  `MIG-${String(n).repeat(8)}-aaaa-5bbb-8ccc-000000000000`;

/** A whole GPU of number `n`, or one with slices. */
export function gpuOf(n: number, slices: readonly Slice[] = []): Gpu {
  return {
    uuid: gpuUuid(n),
    index: n,
    name: "NVIDIA H100 80GB HBM3",
    minor: n,
    serial: undefined,
    pciBusId: `00000000:${(0x10 + n).toString(16)}:00.0`,
    architecture: 9,
    computeCapability: "9.0",
    migEnabled: slices.length > 0,
    migPending: slices.length > 0,
    lost: false,
    slices,
  };
}
export function sliceOf(n: number, more: Partial<Slice> = {}): Slice {
  return {
    uuid: migUuid(n),
    parentUuid: gpuUuid(0),
    index: n,
    gpuInstanceId: 6 + n,
    computeInstanceId: 0,
    profile: "1g.10gb",
    smCount: 16,
    gpuInstanceSlices: 1,
    computeInstanceSlices: 1,
    memoryMib: 9984,
    placement: { start: n, size: 1 },
    placementMissing: undefined,
    ...more,
  };
}

/** What a kubelet lists: `ns/pod/container` → device ids. A node has always a pod without devices. */
export function listing(held: Readonly<Record<string, readonly string[]>>): Recording {
  const pods = Map.groupBy(Object.keys(held), (name) => name.split("/").slice(0, 2).join("/"));
  const none = { name: "agent", namespace: "kube-system", containers: [{ name: "agent" }] };
  return {
    List: {
      pod_resources: [
        none,
        ...[...pods].map(([pod, names]) => ({
          namespace: pod.split("/")[0],
          name: pod.split("/")[1],
          containers: names.map((name) => ({
            name: name.split("/")[2],
            devices: (held[name] ?? []).map((id) => ({
              resource_name: "nvidia.com/gpu",
              device_ids: [id],
            })),
          })),
        })),
      ],
    },
    GetAllocatableResources: { devices: [] },
  };
}
