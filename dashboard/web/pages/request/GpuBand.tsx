/**
 * What the request's devices did while it ran, on the waterfall's own time axis: activity, memory,
 * power and temperature, events. Where nothing is known it says why.
 */
import { deviceName } from "../../data/device.ts";
import { Link } from "@tanstack/react-router";
import { useRef, type ReactNode } from "react";
import type { TraceGpuLanes } from "@axonize/core/contract/gpu";
import type { Trace } from "@axonize/core/contract/trace";
import { drawHeatStrip, drawLines, type LaneScale } from "../../charts/strip/strip.ts";
import { bytes, percent, plain, say, timeMs } from "../../data/format.ts";
import { useEndpoint } from "../../data/queries.ts";
import { carry, useUrlState } from "../../data/url.ts";
import { Chip } from "../../ui/Badge.tsx";
import { palette } from "../../ui/palette.ts";
import { ProblemView } from "../../ui/State.tsx";
import styles from "./GpuBand.module.css";
import { useCanvas } from "../../ui/use-canvas.ts";
import { useTimelinePointer } from "./use-timeline-pointer.ts";
import type { TimelineView } from "./view.ts";
import { Cursor } from "./Waterfall.tsx";

type Lane = TraceGpuLanes["lanes"][number];

export function GpuBand(props: {
  readonly trace: Trace;
  readonly view: TimelineView;
  readonly gutter: number;
}): ReactNode {
  const { trace, view, gutter } = props;
  const lanes = useEndpoint("getTraceGpu", { params: { traceId: trace.traceId } });
  if (lanes.isError && !lanes.data)
    return <ProblemView compact what="The GPU band could not be loaded." error={lanes.error} />;
  if (!lanes.data) return <div className={styles.loading} aria-hidden="true" />;
  if (lanes.data.lanes.length === 0) {
    return (
      <section className={styles.empty} aria-label="GPUs of this request">
        <b>GPU</b>
        <span>
          {lanes.data.reason === "" ? "No device is known for this request." : lanes.data.reason}
        </span>
      </section>
    );
  }
  return (
    <section className={styles.band} aria-label="GPUs of this request">
      {lanes.data.lanes.map((lane) => (
        <LaneView key={lane.gpu.uuid} lane={lane} trace={trace} view={view} gutter={gutter} />
      ))}
    </section>
  );
}

function LaneView(props: {
  readonly lane: Lane;
  readonly trace: Trace;
  readonly view: TimelineView;
  readonly gutter: number;
}): ReactNode {
  const { lane, trace, view, gutter } = props;
  const [url] = useUrlState();
  const { gpu, series } = lane;
  const startMs = timeMs(trace.startTime);
  const how = trace.resourceGpus.find(({ uuid }) => uuid === gpu.uuid);
  const activity = anyValue(series.smActivityRatio)
    ? series.smActivityRatio
    : series.utilizationRatio;
  const faults = lane.events.filter((event) => event.kind !== "mig");
  return (
    <>
      <div className={styles.head}>
        <Link
          to="/fleet/$node/$gpu"
          params={{ node: gpu.node === "" ? "-" : gpu.node, gpu: gpu.uuid }}
          search={carry(url)}
          className={styles.device}
        >
          {gpu.node === "" ? "" : `${gpu.node} / `}
          {deviceName(gpu)}
        </Link>
        <Chip>{gpu.name}</Chip>
        {gpu.migProfile === "" ? null : <Chip>slice {gpu.migProfile}</Chip>}
        <span className={styles.level} title={how?.evidence.join("\n")}>
          {how?.level ?? trace.gpuLevel}
          {how && how.evidence.length > 0 ? ` · ${how.evidence.join(" + ")}` : ""}
        </span>
        <span className={styles.space} />
        {faults.slice(0, 3).map((event) => (
          <Chip key={event.time + event.kind} tone="crit">
            ⚠ {event.kind} {event.message}
          </Chip>
        ))}
      </div>
      <Track
        label={anyValue(series.smActivityRatio) ? "SM active" : "Utilisation"}
        value={say(percent(mean(activity)))}
        height={40}
        gutter={gutter}
        view={view}
        startMs={startMs}
        paint={(scale) => {
          drawHeatStrip(scale, series.startMs, series.stepMs, activity, palette());
        }}
      />
      <Track
        label="Memory"
        value={say(bytes(last(series.memoryUsedBytes)))}
        height={58}
        gutter={gutter}
        view={view}
        startMs={startMs}
        paint={(scale) => {
          drawLines(
            scale,
            series.startMs,
            series.stepMs,
            [
              {
                values: series.memoryUsedBytes,
                max: gpu.reading.memoryTotalBytes,
                color: palette().use[5] ?? "",
                fill: true,
              },
            ],
            lane.events,
            palette(),
          );
        }}
      />
      <Track
        label="Power · temperature"
        value={`${say(plain(mean(series.powerWatts), "W"))} · ${say(plain(last(series.temperatureCelsius), "°C"))}`}
        height={64}
        gutter={gutter}
        view={view}
        startMs={startMs}
        paint={(scale) => {
          drawLines(
            scale,
            series.startMs,
            series.stepMs,
            [
              {
                values: series.powerWatts,
                max: gpu.reading.powerLimitWatts,
                color: palette().warn,
                fill: false,
              },
              { values: series.temperatureCelsius, max: 100, color: palette().crit, fill: false },
            ],
            lane.events,
            palette(),
          );
        }}
      />
    </>
  );
}

function Track(props: {
  readonly label: string;
  readonly value: string;
  readonly height: number;
  readonly gutter: number;
  readonly view: TimelineView;
  readonly startMs: number;
  readonly paint: (scale: LaneScale) => void;
}): ReactNode {
  const { view, startMs } = props;
  const box = useRef<HTMLDivElement>(null);
  const dragBox = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  useCanvas(
    canvas,
    box,
    (context, { width, height }) => {
      const window = view.window.get();
      props.paint({
        context,
        width,
        height,
        fromMs: startMs + window.fromUs / 1e3,
        toMs: startMs + window.toUs / 1e3,
      });
    },
    [view.window],
  );
  const drag = useTimelinePointer(box, dragBox, view, () => {});
  return (
    <div className={styles.track}>
      <div className={styles.trackLabel} style={{ width: props.gutter }}>
        <span>{props.label}</span>
        <b>{props.value}</b>
      </div>
      <div ref={box} className={styles.trackBox} style={{ height: props.height }} {...drag}>
        <canvas ref={canvas} className={styles.canvas} aria-hidden="true" />
        <div ref={dragBox} className={styles.box} hidden />
        <Cursor view={view} />
      </div>
    </div>
  );
}

type Values = readonly (number | null)[];

function anyValue(values: Values): boolean {
  return values.some((v) => v !== null);
}
function mean(values: Values): number | undefined {
  const known = values.filter((v) => v !== null);
  return known.length === 0 ? undefined : known.reduce((a, b) => a + b, 0) / known.length;
}
function last(values: Values): number | undefined {
  return values.findLast((v) => v !== null) ?? undefined;
}
