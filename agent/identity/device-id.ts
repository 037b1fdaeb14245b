/**
 * The device ids that allocators write into pod-resources, taken apart: NVIDIA's plugin (UUIDs, MIG,
 * `::replica`), GKE's minor numbers, HAMi's suffix, the DRA driver's device names.
 *
 * Says what the id names; finding that device on the node is the caller's. HAMi's id is only a slot: on
 * older versions its UUID is not the GPU that the container gets.
 */

export type DeviceId =
  | { readonly form: "gpu"; readonly uuid: string; readonly replica: number | undefined }
  | { readonly form: "mig"; readonly uuid: string; readonly replica: number | undefined }
  | {
      readonly form: "mig-legacy";
      readonly gpuUuid: string;
      readonly gpuInstanceId: number;
      readonly computeInstanceId: number;
      readonly replica: number | undefined;
    }
  | {
      readonly form: "minor";
      readonly minor: number;
      readonly gpuInstanceId: number | undefined;
      readonly share: number | undefined;
    }
  | { readonly form: "hami"; readonly uuid: string; readonly slot: number }
  | {
      readonly form: "dra";
      readonly minor: number;
      readonly mig:
        | { readonly profile: string; readonly profileId: number; readonly placementStart: number }
        | undefined;
    }
  | { readonly form: "unknown"; readonly text: string };

const uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const gpuPattern = new RegExp(`^GPU-${uuid}$`);
const migPattern = new RegExp(`^MIG-${uuid}$`);
const legacyPattern = new RegExp(`^MIG-(GPU-${uuid})/(\\d{1,3})/(\\d{1,3})$`);
const hamiPattern = new RegExp(`^(GPU-${uuid})-(\\d{1,4})$`);
const gkePattern = /^nvidia(\d{1,3})(?:\/gi(\d{1,3}))?(?:\/vgpu(\d{1,3}))?$/;
const replicaPattern = /^(.+)::(\d{1,5})$/;

/** An id of a device plugin, as in `ContainerDevices.device_ids`. */
export function parseDeviceId(text: string): DeviceId {
  const replicated = replicaPattern.exec(text);
  // A CDI name, `nvidia.com/gpu=GPU-…`, has the id after the sign.
  const bare = (replicated?.[1] ?? text).replace(/^[\w.-]+\/[\w.-]+=/, "");
  const replica = replicated?.[2] === undefined ? undefined : Number(replicated[2]);
  if (gpuPattern.test(bare)) return { form: "gpu", uuid: bare, replica };
  if (migPattern.test(bare)) return { form: "mig", uuid: bare, replica };
  const legacy = legacyPattern.exec(bare);
  if (legacy?.[1] !== undefined) {
    return {
      form: "mig-legacy",
      gpuUuid: legacy[1],
      gpuInstanceId: Number(legacy[2]),
      computeInstanceId: Number(legacy[3]),
      replica,
    };
  }
  const hami = hamiPattern.exec(bare);
  if (hami?.[1] !== undefined) return { form: "hami", uuid: hami[1], slot: Number(hami[2]) };
  const gke = gkePattern.exec(bare);
  if (gke) {
    return {
      form: "minor",
      minor: Number(gke[1]),
      gpuInstanceId: gke[2] === undefined ? undefined : Number(gke[2]),
      share: gke[3] === undefined ? undefined : Number(gke[3]),
    };
  }
  return { form: "unknown", text };
}

/** A DRA device name of driver gpu.nvidia.com: `gpu-0`, `gpu-0-mig-1g10gb-19-0`. */
export function parseDraDevice(name: string): DeviceId {
  const match = /^gpu-(\d{1,3})(?:-mig-([0-9a-z.]{2,20})-(\d{1,3})-(\d{1,3}))?$/.exec(name);
  if (!match) return { form: "unknown", text: name };
  const profile = match[2];
  return {
    form: "dra",
    minor: Number(match[1]),
    mig:
      profile === undefined
        ? undefined
        : { profile, profileId: Number(match[3]), placementStart: Number(match[4]) },
  };
}
