/**
 * What the request's devices did while it ran, on the waterfall's own time axis: activity, memory,
 * power and temperature, events, the other calls on them and who had them. Where nothing is certain
 * it says why.
 */
import { deviceName, requestsFilter, shortUuid } from "../../data/device.ts";
import { Link, useNavigate } from "@tanstack/react-router";
import { useMemo, useRef, type ReactNode } from "react";
import type { TraceGpuLanes } from "@axonize/core/contract/gpu";
import type { Trace } from "@axonize/core/contract/trace";
import { Holders } from "../../charts/holders/Holders.tsx";
import {
  callAt,
  drawNeighbours,
  packCalls,
  rowCount,
  rowPx,
} from "../../charts/strip/neighbours.ts";
import {
  drawHeatStrip,
  drawLines,
  drawThrottles,
  type LaneScale,
} from "../../charts/strip/strip.ts";
import { bytes, durationMs, percent, plain, plural, say, timeMs } from "../../data/format.ts";
import { levelWords } from "../../data/level.ts";
import { useEndpoint, useStore } from "../../data/queries.ts";
import { absolute } from "../../data/time.ts";
import { carry, useUrlState } from "../../data/url.ts";
import { Chip } from "../../ui/Badge.tsx";
import { palette } from "../../ui/palette.ts";
import { ProblemView } from "../../ui/State.tsx";
import styles from "./GpuBand.module.css";
import { useCanvas } from "../../ui/use-canvas.ts";
import { useTimelinePointer } from "./use-timeline-pointer.ts";
import type { TimelineView } from "./view.ts";
import { Cursor, rightPad as trackPad } from "./Waterfall.tsx";

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
  if (lanes.data.lanes.length === 0) return <Unsure answer={lanes.data} />;
  return (
    <section className={styles.band} aria-label="GPUs of this request">
      {lanes.data.lanes.map((lane) => (
        <LaneView key={lane.gpu.uuid} lane={lane} trace={trace} view={view} gutter={gutter} />
      ))}
    </section>
  );
}

/** No lane: why, and for an ambiguous join what it may have been. Never a guess. */
function Unsure({ answer }: { readonly answer: TraceGpuLanes }): ReactNode {
  const [url] = useUrlState();
  const words = levelWords(answer.level);
  return (
    <section className={styles.empty} aria-label="GPUs of this request">
      <p>
        <b>GPU</b>{" "}
        <Chip tone={words.tone} title={words.long}>
          {words.short}
        </Chip>{" "}
        {answer.reason === "" ? "No device is known for this request." : answer.reason}
      </p>
      {answer.candidates.length === 0 ? null : (
        <p>
          It may have run on one of{" "}
          {answer.candidates.map((candidate, i) => (
            <span key={candidate.uuid}>
              {i === 0 ? "" : ", "}
              <Link
                to="/fleet/$node/$gpu"
                params={{ node: candidate.node || "-", gpu: candidate.uuid }}
                search={carry(url)}
                className={styles.candidate}
              >
                {[candidate.node, candidate.name, shortUuid(candidate.uuid)]
                  .filter(Boolean)
                  .join(" ")}
              </Link>
            </span>
          ))}
          . None is shown as its device.
        </p>
      )}
      {answer.evidence.length === 0 ? null : <p>Known: {answer.evidence.join("; ")}.</p>}
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
  const { gpu, series } = lane;
  const startMs = timeMs(trace.startTime);
  const activity = anyValue(series.smActivityRatio)
    ? series.smActivityRatio
    : series.utilizationRatio;
  const band = { gutter, view, startMs };
  return (
    <>
      <LaneHead lane={lane} />
      <Track
        label={anyValue(series.smActivityRatio) ? "SM active" : "Utilisation"}
        value={say(percent(mean(activity)))}
        height={40}
        {...band}
        paint={(scale) => {
          drawHeatStrip(scale, series.startMs, series.stepMs, activity, palette());
        }}
      />
      <Track
        label="Memory"
        value={say(bytes(last(series.memoryUsedBytes)))}
        height={58}
        {...band}
        paint={(scale) => {
          drawThrottles(scale, lane.throttles, palette());
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
      {/* A slice has neither: its card does. */}
      {anyValue(series.powerWatts) || anyValue(series.temperatureCelsius) ? (
        <Track
          label="Power · temperature"
          value={`${say(plain(mean(series.powerWatts), "W"))} · ${say(plain(last(series.temperatureCelsius), "°C"))}`}
          height={64}
          {...band}
          paint={(scale) => {
            drawThrottles(scale, lane.throttles, palette());
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
      ) : null}
      <NeighbourTrack lane={lane} {...band} />
      <HolderTrack lane={lane} {...band} />
    </>
  );
}

/** The device, and how surely the request ran on it: the level in words, with its evidence. */
function LaneHead({ lane }: { readonly lane: Lane }): ReactNode {
  const [url] = useUrlState();
  const { gpu, series } = lane;
  const words = levelWords(lane.level);
  const slowed = [...new Set(lane.throttles.flatMap(({ reasons }) => reasons))];
  const faults = lane.events.filter((event) => event.kind !== "mig");
  return (
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
      <Chip tone={words.tone} title={words.long}>
        {words.short}
      </Chip>
      <span className={styles.level} title={`${lane.level}. ${words.long}`}>
        {lane.evidence.length > 0 ? lane.evidence.join("; ") : words.long}
      </span>
      {series.stepMs < coarseMs ? null : (
        <Chip title="Raw samples live three days; these are means.">
          {say(durationMs(series.stepMs))} means
        </Chip>
      )}
      {slowed.length === 0 ? null : <Chip tone="crit">⚠ {slowed.join(", ")}</Chip>}
      {faults.slice(0, 3).map((event) => (
        <Chip key={event.time + event.kind} tone="crit">
          ⚠ {event.kind} {event.message}
        </Chip>
      ))}
    </div>
  );
}

/** Steps from here on are aggregates. */
const coarseMs = 10_000;

interface BandPlace {
  readonly gutter: number;
  readonly view: TimelineView;
  readonly startMs: number;
}

/** The caller's other calls on the device meanwhile; a click opens one. */
function NeighbourTrack({
  lane,
  gutter,
  view,
  startMs,
}: BandPlace & { readonly lane: Lane }): ReactNode {
  const [url] = useUrlState();
  const navigate = useNavigate();
  const packed = useMemo(() => packCalls(lane.neighbours), [lane.neighbours]);
  if (lane.neighbourCount === 0) return null;
  return (
    <Track
      label="Same device, other calls"
      value={
        <Link
          to="/requests"
          search={carry(url, {
            filter: requestsFilter(lane.gpu),
            range: absolute({ fromMs: startMs, toMs: startMs + view.endUs / 1e3 }),
          })}
          className={styles.candidate}
        >
          {plural(lane.neighbourCount, "call")}
        </Link>
      }
      height={Math.max(36, rowCount(packed) * rowPx + 10)}
      gutter={gutter}
      view={view}
      startMs={startMs}
      paint={(scale) => {
        drawNeighbours(scale, packed, palette());
      }}
      onPick={(scale, x, y) => {
        const call = callAt(scale, packed, x, y);
        if (!call) return;
        void navigate({
          to: "/requests/$traceId",
          params: { traceId: call.traceId },
          search: carry(url, { selected: call.spanId }),
        });
      }}
    />
  );
}

/** Follows the window of the waterfall: a handful of bars, which React places anew with each frame. */
function HolderTrack({
  lane,
  gutter,
  view,
  startMs,
}: BandPlace & { readonly lane: Lane }): ReactNode {
  const window = useStore(view.window);
  if (lane.holders.length === 0) return null;
  return (
    <div className={styles.holders}>
      <Holders
        holders={lane.holders}
        fromMs={startMs + window.fromUs / 1e3}
        toMs={startMs + window.toUs / 1e3}
        gutter={gutter}
        rightPad={trackPad}
        label="gutter"
      />
    </div>
  );
}

function Track(props: {
  readonly label: string;
  readonly value: ReactNode;
  readonly height: number;
  readonly gutter: number;
  readonly view: TimelineView;
  readonly startMs: number;
  readonly paint: (scale: LaneScale) => void;
  readonly onPick?: (scale: Omit<LaneScale, "context">, x: number, y: number) => void;
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
  const drag = useTimelinePointer(box, dragBox, view, (event) => {
    const rect = box.current?.getBoundingClientRect();
    if (!rect || !props.onPick) return;
    const window = view.window.get();
    props.onPick(
      {
        width: rect.width,
        height: rect.height,
        fromMs: startMs + window.fromUs / 1e3,
        toMs: startMs + window.toUs / 1e3,
      },
      event.clientX - rect.left,
      event.clientY - rect.top,
    );
  });
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
