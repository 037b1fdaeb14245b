/**
 * One device: what it did over the range, on one axis with a shared crosshair, and who had it.
 */
import { deviceName, requestsFilter } from "../../data/device.ts";
import { Link, useParams } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Gpu, GpuMetrics } from "@axonize/core/contract/gpu";
import { TimeChart, type SeriesSpec } from "../../charts/time-chart/TimeChart.tsx";
import { bytes, clock, day, noValue, percent, timeMs, type Quantity } from "../../data/format.ts";
import { zone as zoneStore } from "../../data/preferences.ts";
import { livePeriodMs } from "../../data/live.ts";
import { useEndpoint, useRefresh, useStore } from "../../data/queries.ts";
import { absolute } from "../../data/time.ts";
import { carry, useScope, useUrlState } from "../../data/url.ts";
import { Chip } from "../../ui/Badge.tsx";
import { CopyButton } from "../../ui/CopySnippet.tsx";
import { Figure } from "../../ui/Figure.tsx";
import { EmptyState, ProblemView, SkeletonRows, problemFrom } from "../../ui/State.tsx";
import styles from "./Page.module.css";

export function Page(): ReactNode {
  const { gpu: uuid = "" } = useParams({ strict: false });
  const [url] = useUrlState();
  const scope = useScope(url);
  const refresh = useRefresh();
  const query = { from: url.range.from, to: url.range.to };
  const everyMs = scope.live ? livePeriodMs.analytics : undefined;
  const gpu = useEndpoint("getGpu", { params: { uuid }, query }, { everyMs });
  const metrics = useEndpoint(
    "getGpuMetrics",
    { params: { uuid }, query: { ...query, buckets: 600 } },
    { everyMs },
  );
  if (gpu.isError && !gpu.data) {
    return problemFrom(gpu.error).status === 404 ? (
      <EmptyState title="No such device in this range">
        <code>{uuid}</code> has not reported between these times. A wider range may have it.
      </EmptyState>
    ) : (
      <ProblemView
        what="The device could not be loaded."
        error={gpu.error}
        onRetry={() => {
          refresh();
        }}
      />
    );
  }
  if (!gpu.data) return <SkeletonRows rows={16} height={40} />;
  return (
    <div className={styles.page}>
      <Header gpu={gpu.data} />
      <div className={styles.body}>
        {metrics.isError && !metrics.data ? (
          <ProblemView
            what="The time series could not be loaded."
            error={metrics.error}
            onRetry={() => {
              refresh("getGpuMetrics");
            }}
          />
        ) : metrics.data ? (
          <Charts metrics={metrics.data} />
        ) : (
          <SkeletonRows rows={12} height={50} />
        )}
        <Side gpu={gpu.data} metrics={metrics.data} />
      </div>
    </div>
  );
}

function Header({ gpu }: { readonly gpu: Gpu }): ReactNode {
  const r = gpu.reading;
  return (
    <header className={styles.header}>
      <div className={styles.identity}>
        <div className={styles.titleRow}>
          <h1 className={styles.title}>
            {gpu.node === "" ? "this host" : gpu.node} / {deviceName(gpu)}
          </h1>
          <Chip>{gpu.name}</Chip>
          {gpu.migProfile === "" ? null : <Chip>slice {gpu.migProfile}</Chip>}
          {gpu.stale ? (
            <Chip tone="warn">no sample for a minute</Chip>
          ) : (
            <Chip tone="ok">reporting</Chip>
          )}
        </div>
        <p className={styles.sub}>
          <code>{gpu.uuid}</code>
          <CopyButton text={gpu.uuid} label="Copy the device id" />
          {gpu.driverVersion === "" ? null : <span>driver {gpu.driverVersion}</span>}
        </p>
      </div>
      <div className={styles.figures}>
        <Figure
          label={r.smActivityRatio === null ? "Utilisation" : "SM active"}
          q={percent(r.smActivityRatio ?? r.utilizationRatio)}
          align="right"
        />
        <Figure label="Memory" q={bytes(r.memoryUsedBytes)} align="right" />
        <Figure label="Power" q={rounded(r.powerWatts, "W")} align="right" />
        <Figure label="Temperature" q={rounded(r.temperatureCelsius, "°C")} align="right" />
        <Figure
          label="Calls in the range"
          q={{ value: gpu.requestCount.toLocaleString("en-US"), unit: "" }}
          align="right"
        />
      </div>
    </header>
  );
}

function rounded(value: number | null | undefined, unit: string): Quantity {
  return value === null || value === undefined
    ? noValue
    : { value: Math.round(value).toLocaleString("en-US"), unit };
}

interface ChartSpec {
  readonly title: string;
  readonly format: (value: number | null | undefined) => Quantity;
  readonly max: number | null;
  readonly series: readonly SeriesSpec[];
}

function chartsOf({
  series: s,
  memoryTotalBytes,
  powerLimitWatts,
}: GpuMetrics): readonly ChartSpec[] {
  const line = (
    label: string,
    values: readonly (number | null)[],
    color: SeriesSpec["color"],
    look: SeriesSpec["look"] = "line",
  ): SeriesSpec => ({ label, values, color, look });
  const all: readonly ChartSpec[] = [
    {
      title: "Activity",
      format: percent,
      max: 1,
      series: [
        line("SM", s.smActivityRatio, (c) => c.use[6] ?? "", "area"),
        line("tensor", s.tensorActivityRatio, (c) => c.category[0] ?? ""),
        line("bandwidth", s.dramActivityRatio, (c) => c.category[1] ?? ""),
        line("utilisation", s.utilizationRatio, (c) => c.muted),
      ],
    },
    {
      title: "Memory",
      format: bytes,
      max: memoryTotalBytes,
      series: [line("used", s.memoryUsedBytes, (c) => c.use[5] ?? "", "area")],
    },
    {
      title: "Power",
      format: (v) => rounded(v, "W"),
      max: powerLimitWatts,
      series: [line("draw", s.powerWatts, (c) => c.heat[6] ?? "")],
    },
    {
      title: "Temperature",
      format: (v) => rounded(v, "°C"),
      max: 100,
      series: [line("GPU", s.temperatureCelsius, (c) => c.crit)],
    },
    {
      title: "SM clock",
      format: (v) => rounded(v, "MHz"),
      max: null,
      series: [line("SM", s.smClockMhz, (c) => c.category[7] ?? "")],
    },
  ];
  // A reading that nobody took has no chart, rather than an empty one.
  return all
    .map((chart) => ({
      ...chart,
      series: chart.series.filter(({ values }) => values.some((v) => v !== null)),
    }))
    .filter(({ series }) => series.length > 0);
}

function Charts({ metrics }: { readonly metrics: GpuMetrics }): ReactNode {
  const [, setUrl] = useUrlState();
  const zone = useStore(zoneStore);
  const charts = chartsOf(metrics);
  const marks = metrics.events.map((event) => ({
    ms: timeMs(event.time),
    bad: event.kind !== "mig",
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
      {charts.map((chart, i) => (
        <TimeChart
          key={chart.title}
          title={chart.title}
          startMs={metrics.series.startMs}
          stepMs={metrics.series.stepMs}
          series={chart.series}
          height={i === charts.length - 1 ? 134 : 116}
          zone={zone}
          syncKey="device"
          format={chart.format}
          max={chart.max}
          binary={chart.title === "Memory"}
          marks={marks}
          axisTimes={i === charts.length - 1}
          onBrush={(range) => {
            setUrl({ range: absolute(range) });
          }}
        />
      ))}
    </div>
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
        {metrics && metrics.events.length === 0 ? (
          <p className={styles.quiet}>No fault, throttle or layout change was reported.</p>
        ) : null}
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
        {gpu.pods.length === 0 ? <p className={styles.quiet}>Nobody that is known.</p> : null}
        {gpu.pods.map((pod) => (
          <div key={pod.namespace + pod.name + pod.container}>
            {pod.namespace}/{pod.name} <span className={styles.quiet}>{pod.container}</span>
          </div>
        ))}
      </section>
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
