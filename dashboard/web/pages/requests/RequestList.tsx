/**
 * The virtual table of requests. A row is a link: middle click and "open in new tab" work.
 */
import { Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, type ReactNode } from "react";
import type { TraceRow } from "@axonize/core/contract/trace";
import {
  clock,
  count,
  day,
  duration,
  durationMs,
  plain,
  say,
  timeMs,
  type Zone,
} from "../../data/format.ts";
import { levelMarks } from "../../data/level.ts";
import { zone as zoneStore } from "../../data/preferences.ts";
import { useStore } from "../../data/queries.ts";
import type { SearchRecord } from "../../data/url-state.ts";
import { useDeviceLabels } from "../../data/use-device-labels.ts";
import { StatusText } from "../../ui/Badge.tsx";
import { Num } from "../../ui/Figure.tsx";
import { PhaseBar } from "../../ui/PhaseBar.tsx";
import { useSize } from "../../ui/use-size.ts";
import { GpuCell, gpuTitle } from "./GpuCell.tsx";
import styles from "./RequestList.module.css";
import { nextSort, sortToUrl, type Sort, type SortKey } from "./rows.ts";
import type { RequestRows } from "./use-request-rows.ts";

export interface RequestListProps {
  readonly list: RequestRows;
  readonly sort: Sort;
  readonly selected: string;
  readonly search: SearchRecord;
  readonly onSort: (sort: string) => void;
  readonly onSelect: (traceId: string) => void;
  readonly onOpen: (traceId: string) => void;
}

const widePx = 30;
/** On a phone a row has two lines: what it was, and what it did. */
const narrowPx = 48;
/** Of the list, not of the window: RequestList.module.css changes its columns at the same widths. */
const phoneWidth = 640;
const compactWidth = 880;

const columns: readonly {
  readonly key: SortKey | "";
  readonly id: string;
  readonly label: string;
  readonly number: boolean;
  readonly title?: string;
}[] = [
  { key: "startTime", id: "time", label: "Time", number: false },
  { key: "", id: "status", label: "Status", number: false },
  { key: "", id: "name", label: "Request", number: false },
  { key: "", id: "model", label: "Model", number: false },
  { key: "duration", id: "total", label: "Total", number: true },
  { key: "", id: "phases", label: "Phases", number: false },
  { key: "ttft", id: "ttft", label: "TTFT", number: true },
  { key: "", id: "perToken", label: "Per token", number: true },
  { key: "inputTokens", id: "input", label: "In", number: true },
  { key: "outputTokens", id: "output", label: "Out", number: true },
  { key: "", id: "spans", label: "Spans", number: true },
  { key: "", id: "gpu", label: "GPU", number: false, title: levelMarks },
  { key: "", id: "pod", label: "Pod", number: false },
];

export function RequestList(props: RequestListProps): ReactNode {
  const { list, sort, selected } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const { width } = useSize(scroller);
  const rowPx = width > 0 && width <= phoneWidth ? narrowPx : widePx;
  const zone = useStore(zoneStore);
  const rows = useVirtualizer({
    count: list.rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowPx,
    overscan: 12,
    getItemKey: (index) => list.rows[index]?.traceId ?? index,
  });
  useEffect(() => {
    rows.measure();
    // Only another height of rows asks for it.
    // oxlint-disable-next-line react/exhaustive-deps
  }, [rowPx]);
  const items = rows.getVirtualItems();
  const lastIndex = items.at(-1)?.index ?? 0;
  const { more, setAtTop } = list;
  useEffect(() => {
    if (lastIndex >= list.rows.length - 30) more();
    // `more` changes with every render and guards itself.
    // oxlint-disable-next-line react/exhaustive-deps
  }, [lastIndex, list.rows.length]);
  const selectedIndex = list.rows.findIndex((row) => row.traceId === selected);
  useEffect(() => {
    if (selectedIndex >= 0) rows.scrollToIndex(selectedIndex, { align: "auto" });
    // Only a new selection scrolls, not a row that moves down as others arrive.
    // oxlint-disable-next-line react/exhaustive-deps
  }, [selected]);
  const longestNs = longest(list.rows);
  const devices = useDeviceLabels(list.rows.some(({ gpus }) => gpus.length > 0));
  return (
    // Focusable: the table scrolls by keyboard; rows are links in tab order, too.
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div
      ref={scroller}
      className={styles.scroller}
      tabIndex={0}
      role="region"
      aria-label="Requests"
      onScroll={(event) => {
        setAtTop(event.currentTarget.scrollTop < rowPx);
      }}
    >
      <div
        role="table"
        aria-rowcount={list.complete ? list.rows.length + 1 : -1}
        aria-label="Requests"
        className={styles.table}
      >
        <div role="rowgroup" className={styles.head}>
          <div role="row" className={styles.headRow} aria-rowindex={1}>
            {columns.map((column) => (
              <HeadCell key={column.id} column={column} sort={sort} onSort={props.onSort} />
            ))}
          </div>
        </div>
        <div role="rowgroup" style={{ height: rows.getTotalSize(), position: "relative" }}>
          {items.map((item) => {
            const row = list.rows[item.index];
            if (!row) return null;
            return (
              <Row
                key={row.traceId}
                row={row}
                index={item.index}
                top={item.start}
                height={rowPx}
                zone={zone}
                selected={row.traceId === selected}
                longestNs={longestNs}
                devices={devices}
                shortGpu={width <= compactWidth}
                search={props.search}
                onSelect={props.onSelect}
              />
            );
          })}
        </div>
      </div>
      {list.loadingMore ? <p className={styles.more}>Loading more …</p> : null}
    </div>
  );
}

function HeadCell(props: {
  readonly column: (typeof columns)[number];
  readonly sort: Sort;
  readonly onSort: (sort: string) => void;
}): ReactNode {
  const { column, sort } = props;
  const key = column.key;
  const active = key !== "" && sort.key === key;
  return (
    <div
      role="columnheader"
      className={`${styles.cell} ${column.number ? styles.number : ""} ${styles[column.id] ?? ""}`}
      title={column.title}
      aria-sort={active ? (sort.order === "desc" ? "descending" : "ascending") : undefined}
    >
      {key === "" ? (
        column.label
      ) : (
        <button
          type="button"
          className={active ? styles.sorted : styles.sortable}
          onClick={() => {
            props.onSort(sortToUrl(nextSort(sort, key)));
          }}
        >
          {column.label}
          <span aria-hidden="true">{active ? (sort.order === "desc" ? " ↓" : " ↑") : ""}</span>
        </button>
      )}
    </div>
  );
}

interface RowProps {
  readonly row: TraceRow;
  readonly index: number;
  readonly top: number;
  readonly height: number;
  readonly zone: Zone;
  readonly selected: boolean;
  readonly longestNs: number;
  readonly devices: ReadonlyMap<string, string>;
  readonly shortGpu: boolean;
  readonly search: SearchRecord;
  readonly onSelect: (traceId: string) => void;
}

function Row({
  row,
  index,
  top,
  height,
  zone,
  selected,
  longestNs,
  devices,
  shortGpu,
  search,
  onSelect,
}: RowProps): ReactNode {
  const startMs = timeMs(row.startTime);
  const cell = (id: string, number: boolean, content: ReactNode, title?: string): ReactNode => (
    <div
      role="cell"
      className={`${styles.cell} ${number ? styles.number : ""} ${styles[id] ?? ""}`}
      title={title}
    >
      {content}
    </div>
  );
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      className={selected ? styles.rowSelected : styles.row}
      style={{ transform: `translateY(${top}px)`, height }}
    >
      {cell(
        "time",
        false,
        clock(startMs, zone),
        `${day(startMs, zone)} ${clock(startMs, zone, "ms")}`,
      )}
      {cell("status", false, <StatusText status={row.status} />)}
      {cell(
        "name",
        false,
        <Link
          to="/requests/$traceId"
          params={{ traceId: row.traceId }}
          search={search}
          className={styles.link}
          onFocus={() => {
            onSelect(row.traceId);
          }}
          preload={false}
        >
          {row.name}{" "}
          {row.service === "" ? null : <span className={styles.service}>{row.service}</span>}
        </Link>,
        row.name,
      )}
      {cell(
        "model",
        false,
        row.model === "" ? <span className={styles.quiet}>–</span> : row.model,
        [row.model, row.engine, row.provider].filter(Boolean).join(" · "),
      )}
      {cell("total", true, <Num q={duration(row.durationNs)} />)}
      {cell("phases", false, <PhaseBar call={row} scaleNs={longestNs} />, phaseTitle(row))}
      {cell(
        "ttft",
        true,
        <Num q={durationMs(row.ttftMs)} />,
        row.ttftBasis === "none" ? "not reported" : `measured at the ${row.ttftBasis}`,
      )}
      {cell(
        "perToken",
        true,
        <Num q={durationMs(row.perTokenMs)} />,
        row.tokensPerSecond === null ? "" : say(plain(row.tokensPerSecond, "tok/s")),
      )}
      {cell("input", true, <Num q={count(row.inputTokens)} />)}
      {cell("output", true, <Num q={count(row.outputTokens)} />)}
      {cell("spans", true, <Num q={count(row.spanCount)} />)}
      {cell(
        "gpu",
        false,
        <GpuCell row={row} devices={devices} short={shortGpu} />,
        gpuTitle(row, devices),
      )}
      {cell(
        "pod",
        false,
        row.pod === "" ? <span className={styles.quiet}>–</span> : row.pod,
        [row.namespace, row.pod].filter((part) => part !== "").join("/"),
      )}
    </div>
  );
}

/** The bars share one scale: the 95th percentile of what is listed, so that one outlier hides nothing. */
function longest(rows: readonly TraceRow[]): number {
  if (rows.length === 0) return 1;
  const sorted = rows.map((row) => row.durationNs).sort((a, b) => a - b);
  return Math.max(1, sorted[Math.floor((sorted.length - 1) * 0.95)] ?? 1);
}

function phaseTitle(row: TraceRow): string {
  const parts = [
    ["queue", row.queueMs],
    ["prefill", row.prefillMs],
    ["decode", row.decodeMs],
  ] as const;
  const known = parts
    .filter(([, ms]) => ms !== null)
    .map(([name, ms]) => `${name} ${say(durationMs(ms))}`);
  return known.length === 0 ? "phases not reported" : known.join(" · ");
}
