/**
 * One device: what it did over the range, on one axis with a shared crosshair, and who had it.
 */
import { deviceName, requestsFilter, whyNoActivity } from "../../data/device.ts";
import { Link, useParams } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Gpu, GpuMetrics } from "@axonize/core/contract/gpu";
import { Holders } from "../../charts/holders/Holders.tsx";
import { holderName } from "../../charts/holders/lanes.ts";
import { axisWidth, rightPad, TimeChart } from "../../charts/time-chart/TimeChart.tsx";
import {
  bytes,
  clock,
  dateTime,
  day,
  durationMs,
  percent,
  say,
  timeMs,
} from "../../data/format.ts";
import { zone as zoneStore } from "../../data/preferences.ts";
import { livePeriodMs } from "../../data/live.ts";
import { useEndpoint, useStore } from "../../data/queries.ts";
import { absolute } from "../../data/time.ts";
import { carry, useScope, useUrlState } from "../../data/url.ts";
import { Answered } from "../../ui/Answered.tsx";
import { Chip } from "../../ui/Badge.tsx";
import { CopyButton } from "../../ui/CopySnippet.tsx";
import { Figure } from "../../ui/Figure.tsx";
import { PageHead } from "../../ui/PageHead.tsx";
import { EmptyState, SkeletonRows, problemFrom } from "../../ui/State.tsx";
import { chartsOf, rounded } from "./charts.ts";
import { NoSuchDevice } from "./NoSuchDevice.tsx";
import styles from "./Page.module.css";
import { Slices } from "./Slices.tsx";
import { Split } from "./Split.tsx";

export function Page(): ReactNode {
  const { gpu: uuid = "" } = useParams({ strict: false });
  const [url] = useUrlState();
  const scope = useScope(url);
  const query = { from: url.range.from, to: url.range.to };
  const everyMs = scope.live ? livePeriodMs.analytics : undefined;
  const gpu = useEndpoint("getGpu", { params: { uuid }, query }, { everyMs });
  const metrics = useEndpoint(
    "getGpuMetrics",
    { params: { uuid }, query: { ...query, buckets: 600 } },
    { everyMs },
  );
  if (gpu.isError && !gpu.data && problemFrom(gpu.error).status === 404) {
    return <NoSuchDevice uuid={uuid} />;
  }
  return (
    <Answered
      query={gpu}
      what="The device could not be loaded."
      loading={<SkeletonRows rows={16} height={40} />}
    >
      {(device) => (
        <div className={styles.page}>
          <Header gpu={device} live={scope.live} />
          <div className={styles.body}>
            <Answered
              query={metrics}
              what="The time series could not be loaded."
              loading={<SkeletonRows rows={12} height={50} />}
            >
              {(data) => <Charts gpu={device} metrics={data} />}
            </Answered>
            <Side gpu={device} metrics={metrics.data} />
          </div>
        </div>
      )}
    </Answered>
  );
}

function Header({ gpu, live }: { readonly gpu: Gpu; readonly live: boolean }): ReactNode {
  const zone = useStore(zoneStore);
  const r = gpu.reading;
  // The charts beside it show means: the two differ, and each says what it is.
  const when = live && !gpu.stale ? "now" : "last";
  const title = `The newest reading in the range; the device last reported ${dateTime(timeMs(gpu.lastSeen), zone)}. The charts show a mean or the highest of each step.`;
  const reading = { title, align: "right" } as const;
  return (
    <PageHead
      title={`${gpu.node === "" ? "this host" : gpu.node} / ${deviceName(gpu)}`}
      marks={
        <>
          <Chip>{gpu.name}</Chip>
          {gpu.migProfile === "" ? null : <Chip>slice {gpu.migProfile}</Chip>}
          {gpu.stale ? <Chip tone="warn">no sample for a minute</Chip> : null}
          {gpu.allocation === "allocated" ? (
            <Chip tone="ok">allocated</Chip>
          ) : (
            <Chip tone="idle" title={gpu.allocationReason}>
              {gpu.allocation === "free" ? "held by nobody" : "unattributed"}
            </Chip>
          )}
          {gpu.throttleReasons.length > 0 ? (
            <Chip tone="crit">⚠ {gpu.throttleReasons.join(", ")}</Chip>
          ) : null}
        </>
      }
      facts={
        <>
          <span className={styles.uuid}>
            <code>{gpu.uuid}</code>
            <CopyButton text={gpu.uuid} label="Copy the device id" />
          </span>
          {gpu.driverVersion === "" ? null : (
            <span>
              driver <b>{gpu.driverVersion}</b>
            </span>
          )}
        </>
      }
      figures={
        <>
          <Figure
            label={`${r.smActivityRatio === null ? "Utilisation" : "SM active"} · ${when}`}
            q={percent(r.smActivityRatio ?? r.utilizationRatio)}
            {...reading}
          />
          <Figure label={`Memory · ${when}`} q={bytes(r.memoryUsedBytes)} {...reading} />
          {/* A slice has neither: its card does. */}
          {gpu.parentUuid !== "" && r.powerWatts === null ? null : (
            <>
              <Figure label={`Power · ${when}`} q={rounded(r.powerWatts, "W")} {...reading} />
              <Figure
                label={`Temperature · ${when}`}
                q={rounded(r.temperatureCelsius, "°C")}
                {...reading}
              />
            </>
          )}
          <Figure
            label="Calls in the range"
            q={{ value: gpu.requestCount.toLocaleString("en-US"), unit: "" }}
            align="right"
          />
        </>
      }
    />
  );
}

function Charts({ gpu, metrics }: { readonly gpu: Gpu; readonly metrics: GpuMetrics }): ReactNode {
  const [, setUrl] = useUrlState();
  const zone = useStore(zoneStore);
  const charts = chartsOf(metrics);
  const marks = metrics.events.map((event) => ({
    ms: timeMs(event.time),
    bad: event.kind !== "mig",
  }));
  const bands = metrics.throttles.map(({ from, to }) => ({
    fromMs: timeMs(from),
    toMs: timeMs(to),
  }));
  if (charts.length === 0) {
    return (
      <EmptyState title="No samples in this range">
        The device is known, but nothing was measured between these times.
      </EmptyState>
    );
  }
  return (
    <div className={styles.charts}>
      <Split metrics={metrics} />
      <Lane gpu={gpu} metrics={metrics} />
      {charts.some(({ title }) => title === "Activity") ? null : (
        <p className={styles.quiet}>{whyNoActivity(gpu)}</p>
      )}
      {charts.map((chart, i) => (
        <TimeChart
          key={chart.title}
          title={chart.title}
          startMs={metrics.series.startMs}
          stepMs={metrics.series.stepMs}
          series={chart.series}
          height={i === charts.length - 1 ? 122 : 104}
          zone={zone}
          syncKey="device"
          format={chart.format}
          max={chart.max}
          each={chart.each}
          binary={chart.title === "Memory"}
          marks={marks}
          bands={bands}
          axisTimes={i === charts.length - 1}
          onBrush={(range) => {
            setUrl({ range: absolute(range) });
          }}
        />
      ))}
    </div>
  );
}

/** A card that is cut is allocated, without holders of its own. */
const isHeldBySlices = ({ allocation, holders }: Gpu): boolean =>
  allocation === "allocated" && holders.length === 0;
const bySlices = "Its slices are held one by one: see each slice.";

/** Who had it, on the axis of the charts below. */
function Lane({ gpu, metrics }: { readonly gpu: Gpu; readonly metrics: GpuMetrics }): ReactNode {
  const { series, holders } = metrics;
  const [first = 0] = series.startMs;
  // The charts' axis ends with the start of the last step.
  const last = series.startMs.at(-1) ?? first;
  return (
    <section aria-label="Who had it">
      <h2 className={styles.laneTitle}>Who had it</h2>
      {holders.length === 0 ? (
        <p className={styles.quiet}>
          {isHeldBySlices(gpu)
            ? bySlices
            : metrics.split.unknownSeconds === 0
              ? "Nobody, in this range."
              : metrics.split.freeSeconds > 0
                ? "Nobody, while an agent watched; nobody can tell for the rest of the range."
                : "Nobody can tell: no agent reports who holds this device."}
        </p>
      ) : last > first ? (
        <Holders
          holders={holders}
          fromMs={first}
          toMs={last}
          gutter={axisWidth}
          rightPad={rightPad}
          label="inside"
        />
      ) : null}
    </section>
  );
}

function Side({
  gpu,
  metrics,
}: {
  readonly gpu: Gpu;
  readonly metrics: GpuMetrics | undefined;
}): ReactNode {
  const [url] = useUrlState();
  const zone = useStore(zoneStore);
  const facts: readonly (readonly [string, string])[] = [
    ["vendor", gpu.vendor],
    ["slice of", gpu.parentUuid],
    [
      "first seen",
      `${day(timeMs(gpu.firstSeen), zone)} ${clock(timeMs(gpu.firstSeen), zone, "minute")}`,
    ],
    ["last seen", `${day(timeMs(gpu.lastSeen), zone)} ${clock(timeMs(gpu.lastSeen), zone)}`],
  ];
  return (
    <aside className={styles.side} aria-label="About the device">
      <Link
        className={styles.action}
        to="/requests"
        search={carry(url, { filter: requestsFilter(gpu) })}
      >
        Requests on this GPU
      </Link>
      <section className={styles.section}>
        <h2 className={styles.heading}>Events in the range</h2>
        {metrics && metrics.events.length + metrics.throttles.length === 0 ? (
          <p className={styles.quiet}>No fault, throttle or layout change was reported.</p>
        ) : null}
        {metrics?.throttles.slice(-20).map((throttle) => (
          <div key={throttle.from} className={styles.event}>
            <span className={styles.quiet}>{clock(timeMs(throttle.from), zone)}</span>
            <span>
              <b className={styles.bad}>slowed</b> {throttle.reasons.join(", ")},{" "}
              {say(durationMs(timeMs(throttle.to) - timeMs(throttle.from)))}
            </span>
          </div>
        ))}
        {metrics?.events.map((event) => (
          <div key={event.time + event.kind} className={styles.event}>
            <span className={styles.quiet}>{clock(timeMs(event.time), zone)}</span>
            <span>
              <b className={event.kind === "mig" ? undefined : styles.bad}>
                {event.kind}
                {event.code === null ? "" : ` ${event.code}`}
              </b>{" "}
              {event.message}
            </span>
          </div>
        ))}
      </section>
      <section className={styles.section}>
        <h2 className={styles.heading}>Held by</h2>
        {gpu.holders.length > 0 ? null : (
          <p className={styles.quiet}>
            {gpu.allocation === "unknown"
              ? `Unattributed: ${gpu.allocationReason}.`
              : isHeldBySlices(gpu)
                ? bySlices
                : "Nobody."}
          </p>
        )}
        {gpu.holders.map((holder) => (
          <div
            key={`${holder.kind} ${holder.namespace} ${holder.pod} ${holder.container} ${holder.pid}`}
            className={holder.kind === "usage" && holder.pod !== "" ? styles.process : undefined}
          >
            {holder.kind === "usage" && holder.own
              ? `${holder.command} ${holder.pid ?? ""}`
              : holderName(holder)}{" "}
            <span className={styles.quiet}>{holder.kind === "usage" ? "" : holder.container}</span>
          </div>
        ))}
      </section>
      <Slices gpu={gpu} />
      <section className={styles.section}>
        <h2 className={styles.heading}>Device</h2>
        <dl>
          {facts
            .filter(([, value]) => value !== "")
            .map(([name, value]) => (
              <div key={name} className={styles.fact}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ))}
        </dl>
      </section>
    </aside>
  );
}
