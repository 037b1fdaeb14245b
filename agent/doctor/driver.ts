/**
 * What the driver tells and what it does not, as findings. Pure.
 */
import type { Reason } from "../nvml/readings.ts";
import type { Gpu, RefusedGpu } from "../nvml/topology.ts";
import { error, ok, warning, type Finding } from "./finding.ts";

export type DriverState =
  | { readonly driverVersion: string | undefined; readonly libraryPath: string }
  | { readonly trouble: string; readonly detail: string };

const containerLine =
  "give the agent's container the driver: runtimeClassName: nvidia (or the GPU Operator's CDI), " +
  "NVIDIA_VISIBLE_DEVICES=all, NVIDIA_DRIVER_CAPABILITIES=utility";

const lostLine =
  "drain the node and reboot it; if it happens again, have the card and its seating looked at";

export function driverFinding(driver: DriverState): Finding {
  if (!("trouble" in driver)) {
    return ok(
      "driver",
      `NVIDIA ${driver.driverVersion ?? "(unknown version)"}, ${driver.libraryPath}`,
    );
  }
  const { trouble, detail } = driver;
  switch (trouble) {
    case "driver_not_loaded":
      return error(
        "driver",
        `no NVIDIA driver: ${detail}`,
        `on the node, nvidia-smi must work; then ${containerLine}; ` +
          "elsewhere set AXONIZE_NVML_LIBRARY (on GKE =/home/kubernetes/bin/nvidia/lib64/libnvidia-ml.so.1)",
      );
    case "library_mismatch":
      return error(
        "driver",
        "the kernel's driver was replaced by another version than the loaded library has",
        "restart the agent's pod (it does so by itself); if it stays, restart the node's driver pod or reboot",
      );
    case "no_permission":
      return error("driver", "the driver refuses this process", containerLine);
    case "function_missing":
      return error(
        "driver",
        detail,
        "set AXONIZE_NVML_LIBRARY to NVIDIA's own libnvidia-ml.so.1, or update the driver",
      );
    default:
      return error(
        "driver",
        `the driver does not answer: ${trouble} (${detail})`,
        "look at `dmesg | grep -i nvrm` on the node; a GPU reset or a reboot helps where the driver hangs",
      );
  }
}

/** What an old driver cannot tell; the newest functions first. */
export function versionFinding(driverVersion: string | undefined): Finding | undefined {
  const major = Number(/^\d+/.exec(driverVersion ?? "")?.[0] ?? Number.NaN);
  if (Number.isNaN(major) || major >= 525) return undefined;
  const lacks =
    major < 450
      ? "MIG, profiling of activity and most of what this agent reads"
      : major < 520
        ? "profiling of activity (SM, tensor, memory) on any GPU"
        : "profiling of activity by MIG slice";
  return warning(
    "driver version",
    `${driverVersion ?? ""} is old: it lacks ${lacks}`,
    "update the NVIDIA driver to 535 or later",
  );
}

/** `onBoard`: GPUs that the kernel module lists, where that can be seen. */
export function gpuFindings(
  gpus: readonly Gpu[],
  onBoard: number | undefined,
  refused: readonly RefusedGpu[],
): Finding[] {
  const lost = gpus.filter((gpu) => gpu.lost);
  const models = [...new Set(gpus.map(({ name }) => name))].join(", ");
  const findings: Finding[] = [];
  if (gpus.length === 0) {
    findings.push(error("GPUs", "the driver shows no GPU", containerLine));
  } else if (onBoard !== undefined && onBoard > gpus.length) {
    findings.push(
      error(
        "GPUs",
        `the node has ${onBoard} GPUs, this process may open ${gpus.length}`,
        "set NVIDIA_VISIBLE_DEVICES=all; after `systemctl daemon-reload` on the node, restart the agent's pod",
      ),
    );
  } else {
    findings.push(ok("GPUs", `${gpus.length} (${models})`));
  }
  for (const { index, reason } of refused) {
    findings.push(
      error(
        `GPU ${index}`,
        `the driver counts it and does not open it: ${reason}`,
        reason === "no_permission" ? containerLine : lostLine,
      ),
    );
  }
  for (const gpu of lost) {
    findings.push(
      error(`GPU ${gpu.index}`, `${gpu.uuid} does not answer: it fell off the bus`, lostLine),
    );
  }
  return findings;
}

export function migFinding(gpus: readonly Gpu[]): Finding {
  const partitioned = gpus.filter((gpu) => gpu.migEnabled === true);
  if (partitioned.length === 0) return ok("MIG", "no GPU is partitioned");
  const slices = partitioned.flatMap((gpu) => gpu.slices);
  const what = `${partitioned.length} GPUs partitioned into ${slices.length} slices`;
  const empty = partitioned.filter((gpu) => gpu.slices.length === 0);
  if (empty.length > 0) {
    return warning(
      "MIG",
      `${what}; GPU ${empty.map(({ index }) => index).join(", ")} has MIG on and no slice: nobody can use it`,
      "create instances (nvidia-smi mig -cgi <profile> -C, or mig-manager's label), or turn MIG off",
    );
  }
  if (slices.some((slice) => slice.placementMissing === "no_permission")) {
    return warning(
      "MIG",
      `${what}; their place on the GPU and its whole memory are told to the privileged only`,
      "add capability SYS_ADMIN and NVIDIA_MIG_MONITOR_DEVICES=all to the agent's container",
    );
  }
  return ok("MIG", what);
}

/** What lacks because of its reason, for people. What a card or NVML never tells is no trouble. */
const reasonWords: Partial<Record<Reason, readonly [words: string, mend: string]>> = {
  no_permission: [
    "the driver refuses it to this process",
    "add capability SYS_ADMIN and NVIDIA_MIG_MONITOR_DEVICES=all to the agent's container",
  ],
  function_missing: ["this driver is too old for it", "update the NVIDIA driver to 535 or later"],
  failed: [
    "the driver failed at it",
    "look at `dmesg | grep -i nvrm` on the node for what the driver says",
  ],
};

export function readingFindings(
  missing: ReadonlyMap<string, ReadonlyMap<string, Reason>>,
): Finding[] {
  const byReason = new Map<Reason, { devices: Set<string>; metrics: Set<string> }>();
  for (const [device, metrics] of missing) {
    for (const [metric, reason] of metrics) {
      const group = byReason.get(reason) ?? { devices: new Set(), metrics: new Set() };
      group.devices.add(device);
      group.metrics.add(metric);
      byReason.set(reason, group);
    }
  }
  const findings: Finding[] = [];
  for (const [reason, { devices, metrics }] of byReason) {
    const words = reasonWords[reason];
    if (!words) continue;
    const what = `${[...metrics].join(", ")} of ${devices.size} devices: ${words[0]}`;
    findings.push(warning("readings", what, words[1]));
  }
  if (findings.length > 0) return findings;
  const never = [...byReason].map(
    ([reason, { metrics }]) => `${metrics.size} kinds of value ${neverWords[reason] ?? reason}`,
  );
  return [
    ok(
      "readings",
      never.length === 0 ? "every value can be read" : `all that can be; ${never.join("; ")}`,
    ),
  ];
}

const neverWords: Partial<Record<Reason, string>> = {
  not_supported: "that these cards do not tell",
  mig_enabled: "that a partitioned GPU does not tell",
  mig_slice: "that NVML tells for no slice",
  instance_shared: "that is told for the GPU instance alone",
  no_data: "not told yet",
  slice_gone: "of slices that went",
  gpu_lost: "of GPUs that are lost",
};
