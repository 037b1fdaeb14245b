/**
 * Six figures with their change against the period before and their shape over the range.
 */
import type { ReactNode } from "react";
import type { Overview } from "@axonize/core/contract/analytics";
import { Sparkline } from "../../charts/sparkline/Sparkline.tsx";
import { thin } from "../../charts/sparkline/path.ts";
import {
  change,
  changePoints,
  count,
  durationMs,
  noValue,
  percent,
  plain,
  type Change,
  type Quantity,
} from "../../data/format.ts";
import { ChangeText, Figure } from "../../ui/Figure.tsx";
import { Skeleton } from "../../ui/State.tsx";
import styles from "./Figures.module.css";

interface Spec {
  readonly label: string;
  readonly q: Quantity;
  readonly change: Change | undefined;
  readonly bad: "up" | "down" | "none";
  readonly series: readonly (number | null)[];
  readonly tone: "accent" | "warn" | "crit" | "use";
  /** A smaller change is grey: 2 % of a quantity, 0.1 points of a ratio. */
  readonly quietBelow?: number;
  readonly note?: string;
}

export function Figures({ data }: { readonly data: Overview }): ReactNode {
  return (
    <div className={styles.strip}>
      {specs(data).map((spec) => (
        <div key={spec.label} className={styles.cell}>
          <Figure
            label={spec.label}
            q={spec.q}
            note={
              spec.note ?? (
                <>
                  <ChangeText
                    change={spec.change}
                    bad={spec.bad}
                    quietBelow={spec.quietBelow ?? 0.02}
                  />{" "}
                  {spec.change ? "vs. before" : "nothing before"}
                </>
              )
            }
          />
          <div className={styles.spark}>
            <Sparkline values={thin(spec.series, 60)} width={84} height={26} tone={spec.tone} />
          </div>
        </div>
      ))}
    </div>
  );
}

function specs({ totals: now, previous: before, series, gpu }: Overview): readonly Spec[] {
  const rates = series.calls.map((calls, i) => (calls > 0 ? (series.errors[i] ?? 0) / calls : 0));
  return [
    {
      label: "Calls",
      q: { ...rate(now.callsPerMinute), unit: `${rate(now.callsPerMinute).unit}/min` },
      change: change(now.callsPerMinute, before?.callsPerMinute),
      bad: "none",
      series: series.calls,
      tone: "accent",
    },
    {
      label: "Errors",
      q: percent(now.errorRatio),
      change: changePoints(now.errorRatio, before?.errorRatio),
      bad: "up",
      quietBelow: 0.001,
      series: rates,
      tone: "warn",
    },
    {
      label: now.ttftP95Ms === null ? "Total p95" : "TTFT p95",
      q: durationMs(now.ttftP95Ms ?? now.durationP95Ms),
      change:
        now.ttftP95Ms === null
          ? change(now.durationP95Ms, before?.durationP95Ms)
          : change(now.ttftP95Ms, before?.ttftP95Ms),
      bad: "up",
      series: now.ttftP95Ms === null ? series.durationP95Ms : series.ttftP95Ms,
      tone: "crit",
    },
    {
      label: "Per token p50",
      q: durationMs(now.perTokenP50Ms),
      change: change(now.perTokenP50Ms, before?.perTokenP50Ms),
      bad: "up",
      series: [],
      tone: "accent",
    },
    {
      label: "Output",
      q:
        now.outputTokens === 0
          ? noValue
          : {
              ...count(now.outputTokensPerSecond),
              unit: `${count(now.outputTokensPerSecond).unit} tok/s`,
            },
      change: change(now.outputTokensPerSecond, before?.outputTokensPerSecond),
      bad: "none",
      series: series.outputTokens,
      tone: "accent",
    },
    gpu === null
      ? {
          label: "GPU",
          q: noValue,
          change: undefined,
          bad: "none",
          series: [],
          tone: "use",
          note: "no GPU has reported",
        }
      : {
          label: "GPU busy",
          q: percent(gpu.utilizationRatio),
          change: undefined,
          bad: "none",
          series: [],
          tone: "use",
          note: `over ${say0(gpu.devices)}`,
        },
  ];
}

function rate(perMinute: number): Quantity {
  return perMinute < 10 ? plain(perMinute, "") : count(Math.round(perMinute));
}

function say0(devices: number): string {
  return devices === 1 ? "1 GPU" : `${devices.toLocaleString("en-US")} GPUs`;
}

export function FiguresSkeleton(): ReactNode {
  return (
    <div className={styles.strip}>
      {["a", "b", "c", "d", "e", "f"].map((key) => (
        <div key={key} className={styles.cell}>
          <div>
            <Skeleton width={52} height={10} />
            <div className={styles.skeletonValue}>
              <Skeleton width={88} height={20} />
            </div>
            <Skeleton width={96} height={10} />
          </div>
        </div>
      ))}
    </div>
  );
}
