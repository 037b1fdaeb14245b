/**
 * The devices as both exports show them: every GPU and slice with its newest values and who has it.
 */
import type { GpuDetails } from "../nvml/links.ts";
import type { Gpu, Slice } from "../nvml/topology.ts";
import type { LatestDevice } from "../sampling/latest.ts";

export interface Holder {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

export interface ShownDevice {
  readonly gpu: Gpu;
  /** undefined: the GPU itself. */
  readonly slice: Slice | undefined;
  readonly latest: LatestDevice;
  readonly details: GpuDetails | undefined;
  readonly lastXid: number | undefined;
  /** By the kubelet's word. */
  readonly holders: readonly Holder[];
}

export interface DeviceView {
  readonly node: string;
  readonly driverVersion: string;
  readonly devices: readonly ShownDevice[];
}

export interface DeviceViewDeps {
  seen(): { readonly driverVersion: string; readonly gpus: readonly Gpu[] } | undefined;
  latest(uuid: string): LatestDevice;
  details(): readonly GpuDetails[];
  lastXid(gpuUuid: string): number | undefined;
  holders(deviceUuid: string): readonly Holder[];
}

export function deviceView(deps: DeviceViewDeps, node: string): DeviceView {
  const seen = deps.seen();
  const show = (gpu: Gpu, slice: Slice | undefined): ShownDevice => {
    const uuid = slice?.uuid ?? gpu.uuid;
    return {
      gpu,
      slice,
      latest: deps.latest(uuid),
      details: slice ? undefined : deps.details().find(({ gpuUuid }) => gpuUuid === gpu.uuid),
      lastXid: slice ? undefined : deps.lastXid(gpu.uuid),
      holders: deps.holders(uuid),
    };
  };
  return {
    node,
    driverVersion: seen?.driverVersion ?? "",
    devices: (seen?.gpus ?? []).flatMap((gpu) => [
      show(gpu, undefined),
      ...gpu.slices.map((slice) => show(gpu, slice)),
    ]),
  };
}
