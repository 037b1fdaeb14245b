/**
 * What a tenant used over the last thirty days, per hour and in all.
 */
import { useState, type ReactNode } from "react";
import type { Usage as UsageAnswer } from "@axonize/core/contract/tenant";
import { TimeChart } from "../../charts/time-chart/TimeChart.tsx";
import { bytes, count, durationMs, timeMs } from "../../data/format.ts";
import { zone as zoneStore } from "../../data/preferences.ts";
import { useEndpoint, useStore } from "../../data/queries.ts";
import { Segmented } from "../../ui/Button.tsx";
import { Figure } from "../../ui/Figure.tsx";
import { ProblemView, SkeletonRows } from "../../ui/State.tsx";
import styles from "./Section.module.css";

type Measure = "spans" | "bytes" | "inputTokens" | "outputTokens" | "gpuSeconds";
const measures: readonly { readonly value: Measure; readonly label: string }[] = [
  { value: "spans", label: "spans" },
  { value: "bytes", label: "bytes" },
  { value: "inputTokens", label: "tokens in" },
  { value: "outputTokens", label: "tokens out" },
  { value: "gpuSeconds", label: "GPU time" },
];

export function Usage({ tenantId }: { readonly tenantId: string }): ReactNode {
  const zone = useStore(zoneStore);
  const [measure, setMeasure] = useState<Measure>("spans");
  const usage = useEndpoint(
    "getUsage",
    { params: { tenantId }, query: { from: "-30d" } },
    { keep: false },
  );
  const data = usage.data;
  const hours = data ? everyHour(data) : [];
  const gpuTime = (seconds: number | null | undefined) =>
    durationMs(typeof seconds === "number" ? seconds * 1e3 : undefined);
  const format = measure === "bytes" ? bytes : measure === "gpuSeconds" ? gpuTime : count;
  return (
    <section className={styles.section}>
      <div className={styles.head}>
        <h3 className={styles.title}>Usage, last 30 days</h3>
        <Segmented label="Usage measure" value={measure} options={measures} onChange={setMeasure} />
      </div>
      {usage.isError && !data ? (
        <ProblemView compact what="The usage could not be loaded." error={usage.error} />
      ) : null}
      {usage.isPending ? <SkeletonRows rows={5} /> : null}
      {data ? (
        <>
          <div className={styles.figures}>
            <Figure label="Spans" q={count(data.spans)} />
            <Figure label="Taken in" q={bytes(data.bytes)} />
            <Figure label="Tokens in" q={count(data.inputTokens)} />
            <Figure label="Tokens out" q={count(data.outputTokens)} />
            <Figure label="GPU time, provisional" q={gpuTime(data.gpuSeconds)} />
          </div>
          {data.hours.length === 0 ? (
            <p className={styles.note}>Nothing was received in this time.</p>
          ) : (
            <TimeChart
              title="Per hour"
              startMs={hours.map(({ startMs }) => startMs)}
              stepMs={3600e3}
              series={[
                {
                  label: measures.find(({ value }) => value === measure)?.label ?? "",
                  color: (c) => c.use[4] ?? "",
                  values: hours.map(({ figures }) => figures?.[measure] ?? 0),
                  look: "bars",
                },
              ]}
              height={130}
              zone={zone}
              syncKey="usage"
              binary={measure === "bytes"}
              format={format}
            />
          )}
          <p className={styles.note}>
            GPU time is span duration × devices until a ledger settles it.
          </p>
        </>
      ) : null}
    </section>
  );
}

/** Every hour of the range: the answer leaves out those in which nothing came, the axis must not. */
function everyHour(usage: UsageAnswer) {
  const hourMs = 3600e3;
  const known = new Map(usage.hours.map((hour) => [timeMs(hour.hour), hour]));
  const first = Math.floor(timeMs(usage.from) / hourMs) * hourMs;
  const count = Math.ceil((timeMs(usage.to) - first) / hourMs);
  return Array.from({ length: count }, (_, at) => {
    const startMs = first + at * hourMs;
    return { startMs, figures: known.get(startMs) };
  });
}
