/**
 * GPU metrics that fit the generated calls: each tick looks at what was booked on a device and says
 * utilisation, power, memory, temperature and energy as OpenTelemetry's `hw.*` names; clocks and
 * limits as OpenLIT's collector names them, profiling fields as dcgm-exporter does.
 *
 * A MIG slice reports activity and memory only, as NVML can tell no more of it.
 */
import { generated, type Cluster, type Device } from "./cluster.ts";
import type { Incident } from "./incident.ts";
import { double, type Attributes, type DemoPoint, type Process } from "./otlp.ts";
import type { Random } from "./random.ts";

interface State {
  temperature: number;
  energyJoules: number;
  correctedErrors: number;
}

export interface GpuLoad {
  /** The points of all devices for the tick that ends at `timeMs`. Ticks must come in order. */
  tick(timeMs: number, tickMs: number): DemoPoint[];
}

export function createGpuLoad(
  cluster: Cluster,
  incident: Incident,
  rng: Random,
  startMs: number,
): GpuLoad {
  const processes = exporters(cluster, rng);
  const states = new Map<Device, State>(
    cluster.devices.map((device) => [
      device,
      { temperature: 34, energyJoules: rng.int(1e6, 9e8), correctedErrors: 0 },
    ]),
  );
  return {
    tick: (timeMs, tickMs) => {
      const points: DemoPoint[] = [];
      for (const device of cluster.devices) {
        const state = states.get(device);
        const process = processes.get(device.node);
        if (state === undefined || process === undefined) continue;
        const load = loadOf(cluster, device, timeMs, tickMs);
        const severity = incident.severity(timeMs) * shareOf(incident, device);
        const measured = measure(device, state, load, severity, tickMs, rng);
        const base = { process, timeMs, startMs };
        points.push(...pointsOf(device, measured).map((point) => ({ ...base, ...point })));
        const keepFromMs = timeMs - tickMs;
        device.busy = device.busy.filter((interval) => interval.endMs > keepFromMs);
      }
      return points;
    },
  };
}

/** How much of the incident a device feels: the others of its group wait for the hot one. */
function shareOf(incident: Incident, device: Device): number {
  if (device === incident.device) return 1;
  return device.pod === incident.pod ? 0.3 : 0;
}

/** One exporter a node sends for all of the node's devices. */
function exporters(cluster: Cluster, rng: Random): Map<string, Process> {
  const nodes = new Set(cluster.devices.map((device) => device.node));
  return new Map(
    [...nodes].map((node) => [
      node,
      {
        scope: { name: "gpu-exporter", version: "1.0.0" },
        resource: {
          "service.name": "gpu-exporter",
          "service.instance.id": rng.uuid(),
          "host.name": node,
          "k8s.node.name": node,
          ...generated,
        },
      },
    ]),
  );
}

interface Load {
  /** Share of the tick in which anything ran. */
  utilization: number;
  /** How hard, 0–1. */
  work: number;
  /** Memory in use. */
  memoryBytes: number;
}

/** Of a device that no process holds: the driver's own. */
const driverMemoryShare = 0.006;

/**
 * A GPU that is cut into slices works as much as its slices do, by their share of the memory, and
 * uses what they use; on top comes what the driver keeps for itself.
 */
function loadOf(cluster: Cluster, device: Device, timeMs: number, tickMs: number): Load {
  const slices = cluster.devices.filter((slice) => slice.parent === device);
  if (slices.length === 0) return ownLoad(device, timeMs - tickMs, timeMs);
  let work = 0;
  let memoryBytes = Math.round(device.memoryBytes * driverMemoryShare);
  for (const slice of slices) {
    const load = ownLoad(slice, timeMs - tickMs, timeMs);
    work += (slice.memoryBytes / device.memoryBytes) * load.work;
    memoryBytes += load.memoryBytes;
  }
  return { utilization: work, work, memoryBytes };
}

function ownLoad(device: Device, fromMs: number, toMs: number): Load {
  const inside = device.busy
    .filter((interval) => interval.endMs > fromMs && interval.startMs < toMs)
    .sort((a, b) => a.startMs - b.startMs);
  let covered = 0;
  let work = 0;
  let doneMs = fromMs;
  for (const { startMs, endMs, intensity } of inside) {
    const from = Math.max(startMs, fromMs);
    const to = Math.min(endMs, toMs);
    work += (to - from) * intensity;
    covered += Math.max(0, to - Math.max(from, doneMs));
    doneMs = Math.max(doneMs, to);
  }
  const tickMs = toMs - fromMs;
  const utilization = covered / tickMs;
  const share = device.pod?.memoryShare ?? driverMemoryShare;
  // An image pipeline takes its activations while it paints; engines reserve everything at once.
  const slack = device.pod?.model === "stable-diffusion-xl" ? 0.19 * utilization : 0;
  return {
    utilization,
    work: Math.min(1, work / tickMs),
    memoryBytes: Math.round(device.memoryBytes * (share + slack)),
  };
}

interface Measured extends State {
  utilization: number;
  memoryBytes: number;
  watts: number;
  clockMhz: number;
  /** Share of the tick's work that each unit saw, 0–1. */
  activity: { sm: number; tensor: number; dram: number };
}

function measure(
  device: Device,
  state: State,
  load: Load,
  severity: number,
  tickMs: number,
  rng: Random,
): Measured {
  const noise = (size: number): number => (rng.next() - 0.5) * 2 * size;
  const utilization = clamp(load.utilization * 0.985 + (load.utilization > 0 ? noise(0.015) : 0));
  // A throttled GPU is busy all the time and draws little: its clock is down.
  const drawn =
    load.work > 0 || load.utilization > 0 ? 0.28 * load.utilization + 0.68 * load.work : 0;
  const range = device.limitWatts - device.idleWatts;
  const watts = device.idleWatts + range * clamp(drawn) * (1 - 0.5 * severity) + noise(4);
  // Only the hot GPU itself gets hot; those that wait for it cool down.
  const heat = severity > 0.3 ? 52 * severity : 0;
  const target = 31 + 46 * ((watts - device.idleWatts) / range) + heat;
  const pull = 1 - Math.exp(-tickMs / 40_000);
  state.temperature += (Math.min(93, target) - state.temperature) * pull;
  state.energyJoules += Math.round((watts * tickMs) / 1000);
  if (severity > 0.5 && rng.chance(0.05)) state.correctedErrors += rng.int(1, 4);
  return {
    ...state,
    utilization,
    watts,
    memoryBytes: load.memoryBytes,
    // Idle clocks are low; a throttled GPU runs at a third of its boost clock.
    clockMhz: Math.round((load.utilization > 0 ? 1755 * (1 - 0.66 * severity) : 345) / 15) * 15,
    activity: {
      sm: clamp(0.35 * utilization + 0.6 * load.work),
      tensor: clamp(0.52 * load.work),
      dram: clamp(0.62 * utilization + 0.2 * load.work - 0.4 * severity),
    },
  };
}

type Point = Omit<DemoPoint, "process" | "timeMs" | "startMs">;

function pointsOf(device: Device, measured: Measured): Point[] {
  const attributes = deviceAttributes(device);
  const point = (
    metric: string,
    unit: string,
    instrument: DemoPoint["instrument"],
    value: DemoPoint["value"],
    extra: Attributes = {},
  ): Point => ({ metric, unit, instrument, value, attributes: { ...attributes, ...extra } });
  const memory = point("hw.gpu.memory.usage", "By", "updown", measured.memoryBytes);
  const points = [
    point("DCGM_FI_PROF_SM_ACTIVE", "", "gauge", double(measured.activity.sm)),
    point("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "", "gauge", double(measured.activity.tensor)),
    point("DCGM_FI_PROF_DRAM_ACTIVE", "", "gauge", double(measured.activity.dram)),
    point("hw.gpu.utilization", "1", "gauge", double(measured.utilization), {
      "hw.gpu.task": "general",
    }),
    memory,
    point("hw.gpu.memory.limit", "By", "updown", device.memoryBytes),
    point(
      "hw.gpu.memory.utilization",
      "1",
      "gauge",
      double(measured.memoryBytes / device.memoryBytes),
    ),
  ];
  if (device.parent) return points;
  points.push(
    point("hw.power", "W", "gauge", double(measured.watts)),
    point("hw.energy", "J", "counter", measured.energyJoules),
    point("hw.temperature", "Cel", "gauge", double(measured.temperature), {
      "hw.sensor_location": "gpu",
    }),
    point("hw.errors", "{error}", "counter", measured.correctedErrors, {
      "error.type": "corrected",
    }),
    point("hw.gpu.power.limit", "W", "gauge", double(device.limitWatts)),
    point("hw.gpu.clock.graphics", "MHz", "gauge", double(measured.clockMhz)),
  );
  return points;
}

function deviceAttributes(device: Device): Attributes {
  const pod = device.pod;
  return {
    "hw.id": device.uuid,
    "hw.type": "gpu",
    "hw.name": `gpu${device.index}`,
    "gpu.index": device.index,
    "hw.model": device.name,
    "hw.vendor": "NVIDIA",
    "hw.driver_version": "580.95.05",
    ...(device.parent
      ? { "hw.parent": device.parent.uuid, "gpu.mig.profile": device.migProfile }
      : {}),
    ...(pod
      ? {
          "k8s.namespace.name": pod.namespace,
          "k8s.pod.name": pod.name,
          "k8s.pod.uid": pod.uid,
          "k8s.container.name": pod.container,
        }
      : {}),
  };
}

const clamp = (value: number): number => Math.max(0, Math.min(1, value));
