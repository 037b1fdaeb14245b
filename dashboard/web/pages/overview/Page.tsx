/**
 * What happened in the range, and what changed: figures, latency over time, traffic, groups.
 */
import { useNavigate } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Overview } from "@axonize/core/contract/analytics";
import { plural } from "../../data/format.ts";
import { livePeriodMs } from "../../data/live.ts";
import { useEndpoint, useRefresh } from "../../data/queries.ts";
import { absolute } from "../../data/time.ts";
import { carry, useScope, useUrlState, type Scope } from "../../data/url.ts";
import { Answered } from "../../ui/Answered.tsx";
import { Button } from "../../ui/Button.tsx";
import { EmptyState, ProblemView, SkeletonRows } from "../../ui/State.tsx";
import { Figures, FiguresSkeleton } from "./Figures.tsx";
import { GroupTable } from "./GroupTable.tsx";
import { Latency } from "./Latency.tsx";
import styles from "./Page.module.css";
import { Traffic } from "./Traffic.tsx";
import { WhatChanged } from "./WhatChanged.tsx";

export function Page(): ReactNode {
  const [url] = useUrlState();
  const scope = useScope(url);
  const everyMs = scope.live ? livePeriodMs.analytics : undefined;
  const overview = useEndpoint(
    "getOverview",
    { query: { ...scope.query, buckets: 120 } },
    { everyMs, enabled: scope.ready },
  );
  return (
    <Answered query={overview} what="The overview could not be loaded." loading={<Loading />}>
      {(data) =>
        data.totals.spans === 0 && data.previous === null ? (
          <Nothing filtered={url.filter !== ""} />
        ) : (
          <Shown
            data={data}
            scope={scope}
            everyMs={everyMs}
            failed={overview.isError ? overview.error : undefined}
          />
        )
      }
    </Answered>
  );
}

function Shown(props: {
  readonly data: Overview;
  readonly scope: Scope;
  readonly everyMs: number | undefined;
  readonly failed: unknown;
}): ReactNode {
  const { data, scope, everyMs, failed } = props;
  const [, setUrl] = useUrlState();
  const refresh = useRefresh();
  return (
    <div className={styles.page}>
      <h1 className="visually-hidden">Overview</h1>
      {failed === undefined ? null : (
        <ProblemView
          compact
          what="Refreshing failed; these are the last figures."
          error={failed}
          onRetry={() => {
            refresh();
          }}
        />
      )}
      <Figures data={data} />
      <Latency scope={scope} everyMs={everyMs} />
      <Traffic
        data={data}
        onBrush={(range) => {
          setUrl({ range: absolute(range), box: undefined });
        }}
      />
      <div className={styles.columns}>
        <section className={styles.section}>
          <GroupTable title="By model" by="model" groups={data.byModel} />
          <GroupTable title="By service" by="service" groups={data.byService} />
        </section>
        <section className={styles.section}>
          <WhatChanged data={data} />
        </section>
      </div>
      <Basis data={data} />
    </div>
  );
}

function Basis({ data }: { readonly data: Overview }): ReactNode {
  return (
    <p className={styles.basis}>
      {data.basis === "calls"
        ? `Counts model calls: ${plural(data.totals.calls, "call")} among ${plural(data.totals.spans, "span")} of ${plural(data.totals.traces, "request")}.`
        : `No span in this range is a model call, so these figures count all ${plural(data.totals.spans, "span")}.`}
    </p>
  );
}

function Nothing({ filtered }: { readonly filtered: boolean }): ReactNode {
  const [url, setUrl] = useUrlState();
  const navigate = useNavigate();
  const start = useEndpoint("getStart");
  if (filtered) {
    return (
      <EmptyState
        title="Nothing matches the filter"
        actions={
          <Button
            onClick={() => {
              setUrl({ filter: "" });
            }}
          >
            Clear the filter
          </Button>
        }
      >
        In this range there is no call that fits it.
      </EmptyState>
    );
  }
  if (start.data && start.data.firstSpanAt === null) {
    return (
      <EmptyState
        title="Nothing has been received yet"
        actions={
          <Button
            tone="primary"
            onClick={() => void navigate({ to: "/start", search: carry(url) })}
          >
            Send the first span
          </Button>
        }
      >
        Rates, latency and tokens appear here as soon as the first call arrives. To look around
        first, run <code>npm run demo</code>.
      </EmptyState>
    );
  }
  return (
    <EmptyState
      title="No calls in this range"
      actions={
        <Button
          onClick={() => {
            setUrl({ range: { from: "-7d", to: "now" } });
          }}
        >
          Last 7 d
        </Button>
      }
    >
      Calls have arrived before, but none in the chosen time.
    </EmptyState>
  );
}

function Loading(): ReactNode {
  return (
    <div className={styles.page} aria-busy="true" aria-label="Loading the overview">
      <FiguresSkeleton />
      <div className={styles.loadingLatency} />
      <div className={styles.loadingTraffic} />
      <div className={styles.columns}>
        <SkeletonRows rows={8} />
        <SkeletonRows rows={8} />
      </div>
    </div>
  );
}
