/**
 * The chosen device: its last readings as lines, its slices and holders, its events.
 */
import { deviceName, requestsFilter, whyNoActivity } from "../../data/device.ts";
import { Link } from "@tanstack/react-router";
import { X } from "lucide-react";
import type { ReactNode } from "react";
import type { Gpu, GpuMetrics } from "@axonize/core/contract/gpu";
import { Sparkline } from "../../charts/sparkline/Sparkline.tsx";
import { thin } from "../../charts/sparkline/path.ts";
import { holderName } from "../../charts/holders/lanes.ts";
import { ago, bytes, clock, percent, say, timeMs, type Quantity } from "../../data/format.ts";
import { nowMs } from "../../data/clock.ts";
import { zone as zoneStore } from "../../data/preferences.ts";
import { livePeriodMs } from "../../data/live.ts";
import { useEndpoint, useStore } from "../../data/queries.ts";
import { carry, useScope, useUrlState } from "../../data/url.ts";
import { Chip } from "../../ui/Badge.tsx";
import { CopyButton } from "../../ui/CopySnippet.tsx";
import { Num } from "../../ui/Figure.tsx";
import { ProblemView } from "../../ui/State.tsx";
import styles from "./DevicePanel.module.css";
import { activity, isThrottled, shortName, warmCelsius, whole } from "./fleet.ts";

export interface DevicePanelProps {
  readonly gpu: Gpu;
  readonly slices: readonly Gpu[];
  readonly onClose: () => void;
  readonly onSelect: (uuid: string) => void;
}

export function DevicePanel({ gpu, slices, onClose, onSelect }: DevicePanelProps): ReactNode {
  const [url] = useUrlState();
  const scope = useScope(url);
  const zone = useStore(zoneStore);
  const metrics = useEndpoint(
    "getGpuMetrics",
    { params: { uuid: gpu.uuid }, query: { from: url.range.from, to: url.range.to, buckets: 120 } },
    { keep: false, everyMs: scope.live ? livePeriodMs.analytics : undefined },
  );
  const hot = (gpu.reading.temperatureCelsius ?? 0) >= warmCelsius;
  return (
    <aside className={styles.panel} aria-label="Selected device">
      <div className={styles.head}>
        <h2 className={styles.title}>
          {gpu.node === "" ? "this host" : gpu.node} / {deviceName(gpu)}
        </h2>
        <Chip>{shortName(gpu.name)}</Chip>
        {isThrottled(gpu) ? (
          <Chip tone="crit" title={gpu.throttleReasons.join(", ")}>
            ⚠ slowed
          </Chip>
        ) : hot ? (
          <Chip tone="crit">⚠ hot</Chip>
        ) : gpu.stale ? (
          <Chip tone="warn">silent {ago(timeMs(gpu.lastSeen), nowMs())}</Chip>
        ) : null}
        <button type="button" className={styles.close} aria-label="Close" onClick={onClose}>
          <X size={16} aria-hidden="true" />
        </button>
      </div>
      <p className={styles.uuid}>
        <code>{gpu.uuid}</code>
        <CopyButton text={gpu.uuid} label="Copy the device id" />
      </p>
      <div className={styles.lines}>
        {metrics.isError && !metrics.data ? (
          <ProblemView compact what="No time series." error={metrics.error} />
        ) : null}
        {linesOf(gpu, metrics.data).map(({ label, q, values, tone }) => (
          <div key={label} className={styles.line}>
            <div className={styles.reading}>
              <span>{label}</span>
              <b>
                <Num q={q} />
              </b>
            </div>
            <Sparkline values={thin(values, 120)} width={236} height={34} tone={tone} />
          </div>
        ))}
      </div>
      {activity(gpu) === undefined && slices.length === 0 ? (
        <p className={styles.quiet}>{whyNoActivity(gpu)}</p>
      ) : null}
      {slices.length > 0 ? <Slices slices={slices} onSelect={onSelect} /> : null}
      <section className={styles.section}>
        <h3 className={styles.heading}>Held by</h3>
        {gpu.holders.length > 0 ? null : (
          <p className={styles.quiet}>
            {gpu.allocation === "unknown"
              ? `Unattributed: ${gpu.allocationReason}.`
              : slices.length > 0
                ? "Its slices are held one by one."
                : "Nobody."}
          </p>
        )}
        {gpu.holders.map((holder) => (
          <div
            key={`${holder.kind} ${holder.namespace} ${holder.pod} ${holder.container} ${holder.pid}`}
            className={styles.pair}
          >
            <span className={holder.kind === "usage" ? styles.process : undefined}>
              {holder.kind === "usage" && holder.own
                ? `${holder.command} ${holder.pid ?? ""}`
                : holderName(holder)}
            </span>
            <span className={styles.quiet}>
              {holder.stale ? "stale · " : ""}since {clock(timeMs(holder.from), zone, "minute")}
            </span>
          </div>
        ))}
      </section>
      <section className={styles.section}>
        <h3 className={styles.heading}>Events in the range</h3>
        {metrics.data && metrics.data.events.length === 0 ? (
          <p className={styles.quiet}>None reported.</p>
        ) : null}
        {metrics.data?.events.slice(-6).map((event) => (
          <div key={event.time + event.kind} className={styles.event}>
            <span className={styles.quiet}>{clock(timeMs(event.time), zone)}</span>
            <span>
              <b className={event.kind === "mig" ? undefined : styles.bad}>{event.kind}</b>{" "}
              {event.message}
            </span>
          </div>
        ))}
      </section>
      <div className={styles.actions}>
        <Link
          className={styles.action}
          to="/requests"
          search={carry(url, { filter: requestsFilter(gpu) })}
        >
          Requests on this GPU
        </Link>
        <Link
          className={styles.action}
          to="/fleet/$node/$gpu"
          params={{ node: gpu.node === "" ? "-" : gpu.node, gpu: gpu.uuid }}
          search={carry(url, { filter: "" })}
        >
          Open device
        </Link>
      </div>
    </aside>
  );
}

interface Line {
  readonly label: string;
  readonly q: Quantity;
  readonly values: readonly (number | null)[];
  readonly tone: "use" | "warn" | "crit" | "accent";
}

function linesOf(gpu: Gpu, metrics: GpuMetrics | undefined): readonly Line[] {
  const s = metrics?.series;
  const r = gpu.reading;
  const sm = s?.smActivityRatio.some((v) => v !== null) ?? false;
  const all: readonly Line[] = [
    {
      label: sm ? "SM" : "Util",
      q: percent(activity(gpu)),
      values: (sm ? s?.smActivityRatio : s?.utilizationRatio) ?? [],
      tone: "use",
    },
    { label: "Memory", q: bytes(r.memoryUsedBytes), values: s?.memoryUsedBytes ?? [], tone: "use" },
    { label: "Power", q: whole(r.powerWatts, "W"), values: s?.powerWatts ?? [], tone: "warn" },
    {
      label: "Temp",
      q: whole(r.temperatureCelsius, "°C"),
      values: s?.temperatureCelsius ?? [],
      tone: "crit",
    },
    {
      label: "SM clock",
      q: whole(r.smClockMhz, "MHz"),
      values: s?.smClockMhz ?? [],
      tone: "accent",
    },
  ];
  return all.filter(({ q }) => q.value !== "–");
}

function Slices(props: {
  readonly slices: readonly Gpu[];
  readonly onSelect: (uuid: string) => void;
}): ReactNode {
  return (
    <section className={styles.section}>
      <h3 className={styles.heading}>Slices and who has them</h3>
      {props.slices.map((slice) => {
        const [pod] = slice.pods;
        return (
          <button
            key={slice.uuid}
            type="button"
            className={styles.slice}
            onClick={() => {
              props.onSelect(slice.uuid);
            }}
          >
            <b>{slice.migProfile}</b>
            <span className={pod ? styles.holder : styles.quiet}>
              {pod
                ? `${pod.namespace}/${pod.name}`
                : slice.allocation === "unknown"
                  ? "unattributed"
                  : "not held"}
            </span>
            <span>{say(percent(activity(slice)))}</span>
            <span className={styles.quiet}>{slice.requestCount} calls</span>
          </button>
        );
      })}
    </section>
  );
}
