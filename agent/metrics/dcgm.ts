/**
 * The devices in Prometheus text under dcgm-exporter's names, labels and units, so that dashboards made
 * for it work. Where it has no name, ours begin with axonize_gpu_.
 *
 * A pod's labels stand on a device's values only while that pod alone has it: copied to each of several
 * sharers they would add up to more than the device did. Who shares is in axonize_gpu_allocation. A value
 * that cannot be read is left out. Bounded by the devices there can be: 64 × 65 × 30 lines.
 */
import type { DeviceView, ShownDevice } from "./device-view.ts";

interface Series {
  readonly name: string;
  readonly type: "gauge" | "counter";
  readonly help: string;
  readonly value: (device: ShownDevice) => number | undefined;
}

const MiB = 2 ** 20;

/** Types and units as in dcgm-exporter's default-counters.csv and dcp-metrics-included.csv. */
const series: readonly Series[] = [
  gauge("DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz).", (d) =>
    d.latest.value("smClockMhz"),
  ),
  gauge("DCGM_FI_DEV_MEM_CLOCK", "Memory clock frequency (in MHz).", (d) =>
    d.latest.value("memoryClockMhz"),
  ),
  gauge(
    "DCGM_FI_DEV_MEMORY_TEMP",
    "Memory temperature (in C).",
    (d) => d.details?.memoryTemperatureCelsius,
  ),
  gauge("DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C).", (d) =>
    d.latest.value("temperatureCelsius"),
  ),
  gauge("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).", (d) => d.latest.value("powerWatts")),
  gauge("DCGM_FI_DEV_ENFORCED_POWER_LIMIT", "Effective power limit (in W).", (d) =>
    d.latest.value("powerLimitWatts"),
  ),
  counter(
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
    "Total energy consumption since the driver was loaded (in mJ).",
    (d) => d.latest.value("energyMillijoules"),
  ),
  gauge("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).", (d) =>
    times(d.latest.value("utilizationRatio"), 100),
  ),
  gauge("DCGM_FI_DEV_MEM_COPY_UTIL", "Memory utilization (in %).", (d) =>
    times(d.latest.value("memoryUtilizationRatio"), 100),
  ),
  gauge("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", "Current clock throttle reasons (bitmask).", (d) =>
    d.latest.value("throttleReasons"),
  ),
  gauge("DCGM_FI_DEV_XID_ERRORS", "Value of the last XID error encountered.", (d) =>
    d.slice ? undefined : (d.lastXid ?? 0),
  ),
  gauge("DCGM_FI_DEV_FB_TOTAL", "Total framebuffer memory (in MiB).", (d) =>
    times(d.latest.value("memoryTotalBytes"), 1 / MiB),
  ),
  gauge("DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MiB).", (d) =>
    times(freeBytes(d), 1 / MiB),
  ),
  gauge("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB).", (d) =>
    times(d.latest.value("memoryUsedBytes"), 1 / MiB),
  ),
  gauge("DCGM_FI_DEV_FB_RESERVED", "Framebuffer memory reserved (in MiB).", (d) =>
    times(d.latest.value("memoryReservedBytes"), 1 / MiB),
  ),
  counter("DCGM_FI_DEV_ECC_SBE_AGG_TOTAL", "Aggregate corrected ECC errors.", (d) =>
    d.latest.value("eccCorrected"),
  ),
  counter("DCGM_FI_DEV_ECC_DBE_AGG_TOTAL", "Aggregate uncorrected ECC errors.", (d) =>
    d.latest.value("eccUncorrected"),
  ),
  counter(
    "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
    "Number of remapped rows for uncorrectable errors",
    (d) => d.latest.value("remappedRowsUncorrected"),
  ),
  counter(
    "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS",
    "Number of remapped rows for correctable errors",
    (d) => d.latest.value("remappedRowsCorrected"),
  ),
  gauge("DCGM_FI_DEV_ROW_REMAP_FAILURE", "Whether remapping of rows has failed", (d) =>
    d.latest.value("remapFailed"),
  ),
  gauge("DCGM_FI_DEV_ROW_REMAP_PENDING", "Whether remapping of rows is pending", (d) =>
    d.latest.value("remapPending"),
  ),
  gauge("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "Ratio of time the graphics engine is active.", (d) =>
    d.latest.value("graphicsActivityRatio"),
  ),
  gauge("DCGM_FI_PROF_SM_ACTIVE", "Ratio of cycles an SM has at least 1 warp assigned.", (d) =>
    d.latest.value("smActivityRatio"),
  ),
  gauge("DCGM_FI_PROF_SM_OCCUPANCY", "Ratio of number of warps resident on an SM.", (d) =>
    d.latest.value("smOccupancyRatio"),
  ),
  gauge("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "Ratio of cycles the tensor pipe is active.", (d) =>
    d.latest.value("tensorActivityRatio"),
  ),
  gauge(
    "DCGM_FI_PROF_DRAM_ACTIVE",
    "Ratio of cycles the device memory interface is active sending or receiving data.",
    (d) => d.latest.value("dramActivityRatio"),
  ),
  gauge("DCGM_FI_PROF_PCIE_TX_BYTES", "The rate of data sent over PCIe (in B/s).", (d) =>
    d.latest.rate("pcieTxBytes"),
  ),
  gauge("DCGM_FI_PROF_PCIE_RX_BYTES", "The rate of data received over PCIe (in B/s).", (d) =>
    d.latest.rate("pcieRxBytes"),
  ),
  gauge("DCGM_FI_PROF_NVLINK_TX_BYTES", "The rate of data sent over NVLink (in B/s).", (d) =>
    d.latest.rate("nvlinkTxBytes"),
  ),
  gauge("DCGM_FI_PROF_NVLINK_RX_BYTES", "The rate of data received over NVLink (in B/s).", (d) =>
    d.latest.rate("nvlinkRxBytes"),
  ),
];

/** The page's part about devices. */
export function dcgmText(view: DeviceView): string {
  const shown = view.devices.map((device) => ({ device, labels: labelsOf(view, device) }));
  const blocks = series.map(({ name, type, help, value }) =>
    block(
      { name, type, help },
      shown.map(({ device, labels }) => [labels, value(device)] as const),
    ),
  );
  return [...blocks, ...linkBlocks(shown), allocationBlock(shown), lostBlock(shown)].join("");
}

function gauge(name: string, help: string, value: Series["value"]): Series {
  return { name, type: "gauge", help, value };
}
function counter(name: string, help: string, value: Series["value"]): Series {
  return { name, type: "counter", help, value };
}

function times(value: number | undefined, factor: number): number | undefined {
  return value === undefined ? undefined : value * factor;
}

/** A driver that does not tell its own part (version 1 of the call) counts it among what is used. */
function freeBytes({ latest }: ShownDevice): number | undefined {
  const total = latest.value("memoryTotalBytes");
  const used = latest.value("memoryUsedBytes");
  if (total === undefined || used === undefined) return undefined;
  return Math.max(0, total - used - (latest.value("memoryReservedBytes") ?? 0));
}

type Labels = readonly (readonly [name: string, value: string])[];

/** dcgm-exporter's: a slice goes by its GPU's UUID and its own profile and instance. */
function labelsOf(view: DeviceView, { gpu, slice, holders }: ShownDevice): Labels {
  const [holder] = holders.length === 1 ? holders : [];
  return [
    ["gpu", String(gpu.index)],
    ["UUID", gpu.uuid],
    ["pci_bus_id", gpu.pciBusId ?? ""],
    ["device", gpu.minor === undefined ? "" : `nvidia${gpu.minor}`],
    ["modelName", gpu.name],
    ...(slice
      ? ([
          ["GPU_I_PROFILE", slice.profile],
          ["GPU_I_ID", String(slice.gpuInstanceId)],
        ] as const)
      : []),
    ["Hostname", view.node],
    ["DCGM_FI_DRIVER_VERSION", view.driverVersion],
    ...(holder ? holderLabels(holder) : []),
  ];
}

function holderLabels(holder: ShownDevice["holders"][number]): Labels {
  return [
    ["container", holder.container],
    ["namespace", holder.namespace],
    ["pod", holder.pod],
  ];
}

function block(
  { name, type, help }: Pick<Series, "name" | "type" | "help">,
  rows: readonly (readonly [Labels, number | undefined])[],
): string {
  const lines = rows.flatMap(([labels, value]) =>
    value === undefined ? [] : [`${name}{${labels.map(label).join(",")}} ${value}\n`],
  );
  if (lines.length === 0) return "";
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function label([name, value]: Labels[number]): string {
  const escaped = value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
  return `${name}="${escaped}"`;
}

interface Shown {
  readonly device: ShownDevice;
  readonly labels: Labels;
}

function linkBlocks(shown: readonly Shown[]): string[] {
  const links = shown.flatMap(({ device, labels }) =>
    (device.details?.links ?? []).map((link) => ({
      link,
      labels: [...labels, ["link", String(link.index)]] as Labels,
    })),
  );
  return [
    block(
      { name: "axonize_gpu_nvlink_up", type: "gauge", help: "1 while the NVLink is active." },
      links.map(({ link, labels }) => [labels, link.active ? 1 : 0]),
    ),
    block(
      {
        name: "axonize_gpu_nvlink_bytes_total",
        type: "counter",
        help: "Bytes over one NVLink since the driver was loaded.",
      },
      links.flatMap(({ link, labels }) => [
        [[...labels, ["direction", "tx"]] as Labels, link.txBytes],
        [[...labels, ["direction", "rx"]] as Labels, link.rxBytes],
      ]),
    ),
  ];
}

function allocationBlock(shown: readonly Shown[]): string {
  const name = "axonize_gpu_allocation";
  const help = "1 for each container that the kubelet gave this device or a share of it.";
  const rows = shown.flatMap(({ device, labels }) => {
    const own = labels.filter(([each]) => !["container", "namespace", "pod"].includes(each));
    return device.holders.map((holder) => [[...own, ...holderLabels(holder)], 1] as const);
  });
  return block({ name, type: "gauge", help }, rows);
}

function lostBlock(shown: readonly Shown[]): string {
  const help = "1 while the GPU does not answer (fell off the bus).";
  return block(
    { name: "axonize_gpu_lost", type: "gauge", help },
    shown
      .filter(({ device }) => device.slice === undefined)
      .map(({ device, labels }) => [labels, device.gpu.lost ? 1 : 0]),
  );
}
