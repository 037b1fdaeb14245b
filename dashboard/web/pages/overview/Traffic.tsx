/**
 * Calls and errors, tokens, duration over the range; brushing any of them narrows the range.
 */
import type { ReactNode } from "react";
import type { Overview } from "@axonize/core/contract/analytics";
import { TimeChart } from "../../charts/time-chart/TimeChart.tsx";
import { count, durationMs, timeMs } from "../../data/format.ts";
import { zone as zoneStore } from "../../data/preferences.ts";
import { useStore } from "../../data/queries.ts";
import type { MsRange } from "../../data/time.ts";
import styles from "./Traffic.module.css";

export function Traffic({
  data,
  onBrush,
}: {
  readonly data: Overview;
  readonly onBrush: (range: MsRange) => void;
}): ReactNode {
  const zone = useStore(zoneStore);
  const { series, stepMs } = data;
  const untilMs = timeMs(data.to);
  const shared = {
    startMs: series.startMs,
    stepMs,
    zone,
    height: 126,
    syncKey: "overview",
    untilMs,
    onBrush,
  };
  return (
    <section className={styles.row} aria-label="Traffic">
      <div className={styles.cell}>
        <TimeChart
          {...shared}
          title={data.basis === "calls" ? "Calls" : "Spans"}
          format={count}
          series={[
            { label: "all", color: (c) => c.use[4] ?? "", values: series.calls, look: "bars" },
            { label: "errors", color: (c) => c.crit, values: series.errors, look: "bars" },
          ]}
        />
      </div>
      <div className={styles.cell}>
        <TimeChart
          {...shared}
          title="Tokens"
          format={count}
          series={[
            {
              label: "in",
              color: (c) => c.phase.prefill,
              values: series.inputTokens,
              look: "line",
            },
            {
              label: "out",
              color: (c) => c.phase.decode,
              values: series.outputTokens,
              look: "area",
            },
          ]}
        />
      </div>
      <div className={styles.cell}>
        <TimeChart
          {...shared}
          title="Total"
          format={durationMs}
          series={[
            { label: "p50", color: (c) => c.text, values: series.durationP50Ms, look: "line" },
            { label: "p95", color: (c) => c.warn, values: series.durationP95Ms, look: "line" },
          ]}
        />
      </div>
    </section>
  );
}
