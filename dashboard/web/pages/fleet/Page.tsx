/**
 * The GPUs: how many are owned, held, active and effective; one cell per device; the chosen one at
 * the right.
 */
import { useNavigate } from "@tanstack/react-router";
import { useMemo, type ReactNode } from "react";
import type { Gpu } from "@axonize/core/contract/gpu";
import { livePeriodMs } from "../../data/live.ts";
import { useEndpoint } from "../../data/queries.ts";
import { useSession } from "../../data/session.ts";
import { carry, useScope, useUrlState } from "../../data/url.ts";
import { useKeymap } from "../../data/use-keymap.ts";
import { Answered } from "../../ui/Answered.tsx";
import { Button, Segmented } from "../../ui/Button.tsx";
import { EmptyState, Skeleton } from "../../ui/State.tsx";
import { DevicePanel } from "./DevicePanel.tsx";
import {
  filterFleet,
  fleetMetrics,
  funnelOf,
  groupFleet,
  hatchText,
  type FleetMetric,
} from "./fleet.ts";
import { FunnelStrip } from "./Funnel.tsx";
import { GpuGrid } from "./GpuGrid.tsx";
import { GpuTable } from "./GpuTable.tsx";
import styles from "./Page.module.css";

export function Page(): ReactNode {
  const [url] = useUrlState();
  const scope = useScope(url);
  const gpus = useEndpoint(
    "listGpus",
    { query: { from: url.range.from, to: url.range.to } },
    { everyMs: scope.live ? livePeriodMs.fleet : undefined },
  );
  return (
    <Answered query={gpus} what="The GPUs could not be loaded." loading={<Loading />}>
      {({ items }) => (items.length === 0 ? <NoGpu /> : <Fleet all={items} />)}
    </Answered>
  );
}

function Fleet({ all }: { readonly all: readonly Gpu[] }): ReactNode {
  const [url, setUrl] = useUrlState();
  const navigate = useNavigate();
  const gpus = useMemo(() => filterFleet(all, url.filter), [all, url.filter]);
  const groups = useMemo(() => groupFleet(gpus), [gpus]);
  const metric = fleetMetrics.find(({ value }) => value === url.metric) ?? fleetMetrics[0];
  const selected = all.find(({ uuid }) => uuid === url.selected);
  const table = url.group === "table";
  const setMetric = (next: FleetMetric): void => {
    setUrl({ metric: next === "activity" ? "" : next }, { replace: true });
  };
  const select = (uuid: string): void => {
    setUrl({ selected: uuid }, { replace: true });
  };
  const open = (gpu: Gpu): void => {
    void navigate({
      to: "/fleet/$node/$gpu",
      params: { node: gpu.node === "" ? "-" : gpu.node, gpu: gpu.uuid },
      search: carry(url, { filter: "" }),
    });
  };
  useKeymap({
    ...Object.fromEntries(
      fleetMetrics.map(({ value }, i) => [
        String(i + 1),
        () => {
          setMetric(value);
        },
      ]),
    ),
    enter: () => {
      if (selected) open(selected);
    },
    escape: () => {
      select("");
    },
  });
  if (!metric) return null;
  return (
    <div className={selected ? styles.split : styles.single}>
      <div className={styles.main}>
        <h1 className="visually-hidden">GPUs</h1>
        <FunnelStrip funnel={funnelOf(gpus)} />
        <div className={styles.bar}>
          <Segmented
            label="Metric"
            value={metric.value}
            options={fleetMetrics}
            onChange={setMetric}
          />
          <span className={styles.legend} aria-hidden="true">
            {metric.low}
            <span className={styles.ramp}>
              {[1, 2, 3, 4, 5, 6, 7, 8, 9].map((step) => (
                <i key={step} style={{ background: `var(--${metric.ramp}-${step})` }} />
              ))}
            </span>
            {metric.high}
            {table ? null : <StateLegend gpus={gpus} />}
          </span>
          <Segmented
            look="boxed"
            label="View"
            value={table ? "table" : "grid"}
            options={[
              { value: "grid", label: "grid" },
              { value: "table", label: "table" },
            ]}
            onChange={(next) => {
              setUrl({ group: next === "table" ? "table" : "" }, { replace: true });
            }}
          />
        </div>
        {gpus.length === 0 ? (
          <EmptyState
            title="No device matches"
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
            The filter looks at node, model, id, slice and holder.
          </EmptyState>
        ) : table ? (
          <GpuTable gpus={gpus} selected={url.selected} onSelect={select} onOpen={open} />
        ) : (
          <GpuGrid
            groups={groups}
            metric={metric}
            selected={url.selected}
            onSelect={select}
            onOpen={open}
          />
        )}
      </div>
      {selected ? (
        <DevicePanel
          gpu={selected}
          slices={all.filter(({ parentUuid }) => parentUuid === selected.uuid)}
          onClose={() => {
            select("");
          }}
          onSelect={select}
        />
      ) : null}
    </div>
  );
}

/** What the grid says with something other than the ramp's colours. */
function StateLegend({ gpus }: { readonly gpus: readonly Gpu[] }): ReactNode {
  const hatched = hatchText(gpus);
  return (
    <>
      {hatched === "" ? null : (
        <>
          <i className={styles.hatched} /> {hatched}
        </>
      )}
      <i className={styles.outlined} /> held but idle
    </>
  );
}

function NoGpu(): ReactNode {
  const [url, setUrl] = useUrlState();
  const navigate = useNavigate();
  const { mode } = useSession();
  const start = useEndpoint("getStart");
  if (start.data?.gpuSeen) {
    return (
      <EmptyState
        title="No GPU reported in this range"
        actions={
          <Button
            onClick={() => {
              setUrl({ range: { from: "-24h", to: "now" } });
            }}
          >
            Last 24 h
          </Button>
        }
      >
        Devices have reported before. Their senders may be stopped, or the range is before their
        time.
      </EmptyState>
    );
  }
  return (
    <EmptyState
      title="No GPU has reported"
      actions={
        <>
          <Button
            tone="primary"
            onClick={() => void navigate({ to: "/start", search: carry(url) })}
          >
            Where to send
          </Button>
          <Button onClick={() => void navigate({ to: "/requests", search: carry(url) })}>
            Requests work without
          </Button>
        </>
      }
    >
      <p>
        The agent reads NVIDIA GPUs and tells who has them.{" "}
        {mode === "standalone" ? (
          <>
            On a machine with the driver it runs inside <code>npm start</code>;{" "}
            <code>npm run agent -- doctor</code> tells what keeps it from seeing a GPU, and the line
            that mends it.
          </>
        ) : (
          <>
            The operator runs one on each GPU node that a <code>GpuPool</code> selects;{" "}
            <code>kubectl axonize status</code> lists the pools and what is wrong with them,{" "}
            <code>kubectl axonize gpus</code> what has reported.
          </>
        )}
      </p>
      <p>
        Without the agent, OpenTelemetry metrics named <code>hw.gpu.*</code>, one resource per
        device with its UUID as <code>hw.id</code>, are taken from this machine, or with the admin
        key.
      </p>
      {mode === "standalone" ? (
        <p>
          To see what this page looks like, <code>npm run demo</code> sends a made-up fleet.
        </p>
      ) : null}
    </EmptyState>
  );
}

function Loading(): ReactNode {
  return (
    <div className={styles.main} aria-busy="true" aria-label="Loading the GPUs">
      <div className={styles.loadingFunnel} />
      <div className={styles.bar} />
      <div className={styles.loadingGrid}>
        {Array.from({ length: 64 }, (_, i) => (
          <Skeleton key={`cell-${i}`} width="100%" height={26} />
        ))}
      </div>
    </div>
  );
}
