/**
 * One request: the answer first, then the waterfall, then its GPUs on the same time axis, with the
 * selected span at the right.
 */
import { useParams } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useState, type ReactNode } from "react";
import type { Trace } from "@axonize/core/contract/trace";
import {
  columnsFromRows,
  toldBy,
  modelFromColumns,
  modelFromTrace,
  type TraceModel,
} from "../../charts/timeline/model.ts";
import { searchSpans } from "../../charts/timeline/search.ts";
import { collapsible, visibleRows } from "../../charts/timeline/tree.ts";
import { isAll } from "../../charts/timeline/viewport.ts";
import { plural } from "../../data/format.ts";
import { useEndpoint, useRefresh } from "../../data/queries.ts";
import { useUrlState } from "../../data/url.ts";
import { Button } from "../../ui/Button.tsx";
import { EmptyState, ProblemView, SkeletonRows, problemFrom } from "../../ui/State.tsx";
import { Detail, detailTabs, type DetailTab } from "./Detail.tsx";
import { GpuBand } from "./GpuBand.tsx";
import { Header, WhyLine } from "./Header.tsx";
import { Minimap } from "./Minimap.tsx";
import styles from "./Page.module.css";
import { SpanSearch } from "./SpanSearch.tsx";
import { useRequestKeys } from "./use-request-keys.ts";
import { createTimelineView } from "./view.ts";
import { Axis, Waterfall } from "./Waterfall.tsx";

export function Page(): ReactNode {
  const { traceId = "" } = useParams({ strict: false });
  const trace = useEndpoint(
    "getTrace",
    { params: { traceId }, query: { format: "columns" } },
    { keep: false },
  );
  const refresh = useRefresh();
  const model = useMemo(() => (trace.data ? modelFromTrace(trace.data) : undefined), [trace.data]);
  if (trace.isError && !trace.data) {
    const retry = (): void => {
      refresh("getTrace");
    };
    return problemFrom(trace.error).status === 404 ? (
      <EmptyState
        title="No request has this id"
        actions={<Button onClick={retry}>Look again</Button>}
      >
        <code>{traceId}</code> was not received, belongs to another tenant, or has passed its
        retention.
      </EmptyState>
    ) : (
      <ProblemView what="The request could not be loaded." error={trace.error} onRetry={retry} />
    );
  }
  // The same parts before and after the answer: their code runs and their boxes are measured while
  // it is under way, so that only rows and bars are left to do when it comes.
  return (
    <Loaded
      key={traceId}
      trace={trace.data}
      model={model ?? emptyModel}
      onReload={() => {
        refresh("getTrace");
      }}
    />
  );
}

const emptyModel = modelFromColumns(columnsFromRows([], ""), 0);

/** The selection the address names, else the call that the trace is about. "-" is: none. */
const noSelection = "-";
const narrowPx = 900;

function Loaded({
  trace,
  model,
  onReload,
}: {
  readonly trace: Trace | undefined;
  readonly model: TraceModel;
  readonly onReload: () => void;
}): ReactNode {
  const [url, setUrl] = useUrlState();
  // The address follows the view, so only another trace makes another one.
  // oxlint-disable-next-line react/exhaustive-deps
  const view = useMemo(() => createTimelineView(model.endUs, url.zoom), [model]);
  const [collapsed, setCollapsed] = useCollapsed(model);
  const settled = useAfterPaint(trace);
  const [search, setSearch] = useState("");
  const [showGpu, setShowGpu] = useState(true);
  const rows = useMemo(() => visibleRows(model.tree, collapsed), [model, collapsed]);
  const hits = useMemo(() => searchSpans(model, search), [model, search]);
  const matches = useMemo(() => (search.trim() === "" ? undefined : new Set(hits)), [search, hits]);
  const by = useMemo(() => toldBy(model, trace?.principalSpanId), [model, trace]);
  const wide = window.innerWidth >= narrowPx;
  const selectedId =
    url.selected === ""
      ? wide
        ? (trace?.principalSpanId ?? "")
        : ""
      : url.selected === noSelection
        ? ""
        : url.selected;
  const selected = useMemo(
    () => (selectedId === "" ? -1 : model.spanId.indexOf(selectedId)),
    [model, selectedId],
  );
  // The panel's room is kept before the answer says which span it will show.
  const panel = trace ? selected >= 0 : wide && url.selected !== noSelection;
  const tab: DetailTab = detailTabs.find((t) => t.value === url.tab)?.value ?? "attributes";
  const gutter = wide ? 320 : 150;
  const select = (row: number): void => {
    setUrl({ selected: row < 0 ? noSelection : (model.spanId[row] ?? "") }, { replace: true });
  };
  const toggle = (row: number): void => {
    const next = new Set(collapsed);
    if (!next.delete(row)) next.add(row);
    setCollapsed(next);
  };
  useZoomInUrl(view, setUrl);
  const keys = useRequestKeys({
    model,
    rows,
    view,
    hits,
    selected,
    collapsed,
    setCollapsed,
    select,
    toggle,
    setTab: (next) => {
      setUrl({ tab: next === "attributes" ? "" : next }, { replace: true });
    },
    toggleGpu: () => {
      setShowGpu((before) => !before);
    },
  });
  return (
    <div className={styles.page}>
      <SpanSearch
        value={search}
        onChange={setSearch}
        total={hits.length}
        at={hits.indexOf(selected)}
        onNext={keys.nextMatch}
      />
      {trace ? (
        <>
          <Header trace={trace} toldBy={by} />
          <WhyLine trace={trace} toldBy={by} />
          <Banner trace={trace} onReload={onReload} />
        </>
      ) : (
        <div aria-busy="true" aria-label="Loading the request">
          <div className={styles.loadingHead} />
          <div className={styles.loadingWhy} />
        </div>
      )}
      <div className={panel ? styles.split : styles.single}>
        <div className={styles.timeline}>
          <div className={styles.mapRow}>
            <div className={styles.mapLabel} style={{ width: gutter }}>
              {trace ? plural(model.count, "span") : ""}
              <button type="button" className={styles.small} onClick={keys.collapseAll}>
                {collapsed.size === 0 ? "Collapse" : "Expand"}
              </button>
            </div>
            <div className={styles.map}>
              <Minimap model={model} view={view} />
            </div>
          </div>
          <div className={styles.axisRow}>
            <Axis view={view} gutter={gutter} />
          </div>
          {trace ? null : (
            <div className={styles.loadingRows}>
              <SkeletonRows rows={12} height={26} />
            </div>
          )}
          <Waterfall
            model={model}
            rows={rows}
            view={view}
            collapsed={collapsed}
            matches={matches}
            selected={selected}
            gutter={gutter}
            onSelect={select}
            onToggle={toggle}
          />
          {showGpu && settled ? <GpuBand trace={settled} view={view} gutter={gutter} /> : null}
        </div>
        {!panel ? null : settled && selected >= 0 ? (
          <Detail
            trace={settled}
            spanId={selectedId}
            tab={tab}
            onTab={(next) => {
              setUrl({ tab: next === "attributes" ? "" : next }, { replace: true });
            }}
            onClose={() => {
              select(-1);
            }}
          />
        ) : (
          <aside className={styles.loadingDetail} aria-hidden="true" />
        )}
      </div>
    </div>
  );
}

/** What is collapsed, begun anew with each trace. */
function useCollapsed(model: TraceModel) {
  const [kept, setKept] = useState(() => ({ model, rows: initialCollapse(model) }));
  const now = kept.model === model ? kept : { model, rows: initialCollapse(model) };
  if (now !== kept) setKept(now);
  const setRows = useCallback(
    (rows: ReadonlySet<number>) => {
      setKept({ model, rows });
    },
    [model],
  );
  return [now.rows, setRows] as const;
}

/** The trace once its waterfall is on screen: the panels around it can wait a frame. */
function useAfterPaint(trace: Trace | undefined): Trace | undefined {
  const [settled, setSettled] = useState<Trace | undefined>(undefined);
  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      setSettled(trace);
    });
    return () => {
      cancelAnimationFrame(frame);
    };
  }, [trace]);
  return settled;
}

/** Very large traces open with their second level closed: the shape first. */
const hugeSpans = 5_000;

function initialCollapse(model: TraceModel): ReadonlySet<number> {
  if (model.count < hugeSpans) return new Set();
  const out = new Set<number>();
  for (const row of collapsible(model.tree, true))
    if ((model.tree.depth[row] ?? 0) >= 2) out.add(row);
  return out;
}

/** The address follows the window once it rests; a shared link opens at the same place. */
function useZoomInUrl(
  view: ReturnType<typeof createTimelineView>,
  setUrl: ReturnType<typeof useUrlState>[1],
): void {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = view.window.subscribe(() => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        const { fromUs, toUs } = view.window.get();
        const zoom = isAll(view.window.get(), view.endUs)
          ? undefined
          : ([Math.round(fromUs), Math.round(toUs)] as const);
        setUrl({ zoom }, { replace: true });
      }, 350);
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [view, setUrl]);
}

function Banner({
  trace,
  onReload,
}: {
  readonly trace: Trace;
  readonly onReload: () => void;
}): ReactNode {
  const notes: string[] = [];
  if (trace.shownSpanCount < trace.spanCount) {
    notes.push(
      `${plural(trace.shownSpanCount, "span")} of ${trace.spanCount.toLocaleString("en-US")} are shown: the slowest, all errors and a sample of the rest.`,
    );
  }
  if (trace.marks.includes("missingRoot"))
    notes.push(
      "The root span has not arrived: it may still be running, or its sender does not report here.",
    );
  if (trace.marks.includes("missingParent"))
    notes.push("Some spans name a parent that has not arrived; they stand at the top level.");
  if (trace.marks.includes("clockSkew"))
    notes.push("Clocks of the senders differ: starts may be off against each other.");
  if (notes.length === 0) return null;
  return (
    <div className={styles.banner} role="status">
      <span>{notes.join(" ")}</span>
      <Button tone="ghost" onClick={onReload}>
        Reload
      </Button>
    </div>
  );
}
