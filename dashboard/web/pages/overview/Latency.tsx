/**
 * Latency over time: the heat map with its metric switch and what can be done with a selected box.
 */
import { useNavigate } from "@tanstack/react-router";
import { X } from "lucide-react";
import { useMemo, type ReactNode } from "react";
import type { Heatmap as HeatmapAnswer } from "@axonize/core/contract/analytics";
import { Heatmap } from "../../charts/heatmap/Heatmap.tsx";
import type { HeatmapData } from "../../charts/heatmap/draw.ts";
import { withBounds, type RangeKey } from "../../data/filter.ts";
import { count, durationMs, timeMs } from "../../data/format.ts";
import { zone as zoneStore } from "../../data/preferences.ts";
import { useEndpoint, useRefresh, useStore } from "../../data/queries.ts";
import { absolute } from "../../data/time.ts";
import { carry, useUrlState, type Scope } from "../../data/url.ts";
import type { Box } from "../../data/url-state.ts";
import { Button, Segmented } from "../../ui/Button.tsx";
import { ProblemView } from "../../ui/State.tsx";
import styles from "./Latency.module.css";

type Metric = HeatmapAnswer["metric"];

const metrics: readonly {
  readonly value: Metric;
  readonly label: string;
  readonly full: string;
}[] = [
  { value: "ttft", label: "TTFT", full: "Time to first token" },
  { value: "duration", label: "total", full: "Total duration" },
  { value: "perToken", label: "per token", full: "Time per output token" },
  { value: "queue", label: "queue", full: "Time in the engine's queue" },
  { value: "prefill", label: "prefill", full: "Time of prefill" },
  { value: "decode", label: "decode", full: "Time of decode" },
  { value: "outputTokens", label: "tokens out", full: "Output tokens per call" },
];

/** Metrics that the list can be filtered by; for others a box chooses the time only. */
const filterable: Partial<Record<Metric, RangeKey>> = {
  ttft: "ttft",
  duration: "dur",
  perToken: "pertoken",
  queue: "queue",
  prefill: "prefill",
  decode: "decode",
};

export function Latency({
  scope,
  everyMs,
}: {
  readonly scope: Scope;
  readonly everyMs: number | undefined;
}): ReactNode {
  const [url, setUrl] = useUrlState();
  const chosen = metrics.find(({ value }) => value === url.metric);
  // Left to itself the page shows the first token; where no call tells of it, the whole call instead.
  const first = useEndpoint(
    "getHeatmap",
    { query: { ...scope.query, metric: "ttft", buckets: 150 } },
    { everyMs, enabled: scope.ready && chosen === undefined },
  );
  const fallback: Metric = first.data?.total === 0 ? "duration" : "ttft";
  const metric = chosen ?? metrics.find(({ value }) => value === fallback);
  const current: Metric = metric?.value ?? "ttft";
  const heatmap = useEndpoint(
    "getHeatmap",
    { query: { ...scope.query, metric: current, buckets: 150 } },
    { everyMs, enabled: scope.ready },
  );
  const refresh = useRefresh();
  const zone = useStore(zoneStore);
  const data = useMemo(() => (heatmap.data ? toData(heatmap.data) : undefined), [heatmap.data]);
  const format = heatmap.data?.unit === "tokens" ? count : durationMs;
  return (
    <section className={styles.latency} aria-label="Latency">
      <div className={styles.head}>
        <h2 className={styles.title}>Latency</h2>
        <Segmented
          label="Metric"
          value={current}
          options={metrics}
          onChange={(next) => {
            setUrl({ metric: next, box: undefined }, { replace: true });
          }}
        />
        <span className={styles.legend} aria-hidden="true">
          <span className={styles.p50}>p50</span>
          <span className={styles.p95}>p95</span>
          <span className={styles.p99}>p99</span>
          <span className={styles.ramp}>
            few
            {[1, 2, 3, 4, 5, 6, 7, 8, 9].map((step) => (
              <i key={step} style={{ background: `var(--use-${step})` }} />
            ))}
            many
          </span>
        </span>
      </div>
      <div className={styles.body}>
        {heatmap.isError && !data ? (
          <ProblemView
            compact
            what="The heat map could not be loaded."
            error={heatmap.error}
            onRetry={() => {
              refresh("getHeatmap");
            }}
          />
        ) : !data ? (
          <div className={styles.loading} aria-hidden="true" />
        ) : heatmap.data && heatmap.data.total === 0 ? (
          <p className={styles.none}>{noneText(current)}</p>
        ) : (
          <Heatmap
            data={data}
            label={metric?.full ?? ""}
            zone={zone}
            formatValue={format}
            box={url.box}
            onBox={(box) => {
              setUrl({ box }, { replace: true });
            }}
            actions={url.box ? <BoxActions box={url.box} metric={current} /> : null}
          />
        )}
      </div>
    </section>
  );
}

function noneText(metric: Metric): string {
  if (metric === "queue" || metric === "prefill" || metric === "decode") {
    return "No call in this range reports this phase. Engines tell it on their own spans: vLLM with --otlp-traces-endpoint, SGLang with --enable-trace.";
  }
  if (metric === "ttft" || metric === "perToken")
    return "No call in this range reports it: only streaming calls and engines do. Total has every call.";
  return "No call in this range.";
}

function BoxActions({ box, metric }: { readonly box: Box; readonly metric: Metric }): ReactNode {
  const [url, setUrl] = useUrlState();
  const navigate = useNavigate();
  const key = filterable[metric];
  const range = absolute({ fromMs: box.fromMs, toMs: box.toMs });
  const filter = key
    ? withBounds(url.filter, key, roundMs(box.low), roundMs(box.high))
    : url.filter;
  const open = (sort: string): void => {
    void navigate({ to: "/requests", search: carry(url, { range, filter, sort }) });
  };
  return (
    <>
      <Button
        tone="ghost"
        onClick={() => {
          open("");
        }}
      >
        Requests
      </Button>
      <Button
        tone="ghost"
        onClick={() => {
          open(metric === "ttft" ? "-ttft" : "-duration");
        }}
      >
        Slowest
      </Button>
      <Button
        tone="ghost"
        onClick={() => {
          setUrl({ range, box: undefined });
        }}
      >
        Zoom
      </Button>
      {key ? (
        <Button
          tone="ghost"
          onClick={() => {
            setUrl({ range, filter, box: undefined });
          }}
        >
          Filter
        </Button>
      ) : null}
      <Button
        tone="ghost"
        aria-label="Clear the selection"
        onClick={() => {
          setUrl({ box: undefined }, { replace: true });
        }}
      >
        <X size={14} aria-hidden="true" />
      </Button>
    </>
  );
}

/** Three digits are what a person reads and edits in the filter. */
function roundMs(ms: number): number {
  return Number(ms.toPrecision(3));
}

function toData(answer: HeatmapAnswer): HeatmapData {
  return { ...answer, fromMs: timeMs(answer.from) };
}
