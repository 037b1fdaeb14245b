/**
 * One cell per device, nodes as rows, slices inside their device. Arrow keys move; colour is the
 * metric, the number says it again, hatched means unknown or free, outlined means held and idle, a
 * question mark that nobody tells who holds it.
 */
import { useRef, type KeyboardEvent, type ReactNode } from "react";
import type { Gpu } from "@axonize/core/contract/gpu";
import { say } from "../../data/format.ts";
import { rampStep } from "../../ui/palette.ts";
import {
  cellState,
  countText,
  isThrottled,
  metricValue,
  rampRatio,
  warmCelsius,
  type MetricSpec,
  type ModelGroup,
} from "./fleet.ts";
import styles from "./GpuGrid.module.css";

export interface GpuGridProps {
  readonly groups: readonly ModelGroup[];
  readonly metric: MetricSpec;
  readonly selected: string;
  readonly onSelect: (uuid: string) => void;
  readonly onOpen: (gpu: Gpu) => void;
}

export function GpuGrid(props: GpuGridProps): ReactNode {
  const { groups, metric, selected } = props;
  const grid = useRef<HTMLDivElement>(null);
  const firstUuid = groups[0]?.nodes[0]?.gpus[0]?.gpu.uuid ?? "";
  const known = groups.some((g) =>
    g.nodes.some((n) => n.gpus.some(({ gpu }) => gpu.uuid === selected)),
  );
  const tabStop = known ? selected : firstUuid;
  return (
    <div ref={grid} className={styles.grid}>
      {groups.map((group) => (
        <section key={group.name} className={styles.group} aria-label={group.name}>
          <h2 className={styles.heading}>
            {group.name}{" "}
            <span>
              · {group.nodes.length === 1 ? "1 node" : `${group.nodes.length} nodes`} ·{" "}
              {countText(group)}
            </span>
          </h2>
          <div role="grid" aria-label={`${group.name}, ${metric.label}`}>
            {group.nodes.map((row) => (
              <div key={row.node} role="row" className={styles.row}>
                <div role="rowheader" className={styles.node} title={row.node}>
                  {row.node === "" ? "this host" : row.node}
                </div>
                {row.gpus.map(({ gpu, slices }) => (
                  <div
                    key={gpu.uuid}
                    role="gridcell"
                    className={styles.slot}
                    aria-selected={gpu.uuid === selected}
                  >
                    <button
                      type="button"
                      tabIndex={gpu.uuid === tabStop ? 0 : -1}
                      data-gpu={gpu.uuid}
                      aria-label={cellLabel(gpu, metric)}
                      title={cellState(gpu) === "unknown" ? "not measured" : undefined}
                      className={`${styles.cell} ${styles[cellState(gpu)]} ${gpu.uuid === selected ? styles.selected : ""}`}
                      style={slices.length > 0 ? undefined : cellStyle(gpu, metric)}
                      onClick={() => {
                        props.onSelect(gpu.uuid);
                      }}
                      onDoubleClick={() => {
                        props.onOpen(gpu);
                      }}
                      onKeyDown={(event) => {
                        moveFocus(event, grid.current, props.onSelect);
                      }}
                    >
                      {slices.length > 0 ? (
                        <span className={styles.slices}>
                          {slices.map((slice) => (
                            <span
                              key={slice.uuid}
                              className={`${styles.slice} ${styles[cellState(slice)]}`}
                              style={{
                                ...cellStyle(slice, metric),
                                flexGrow: slice.reading.memoryTotalBytes ?? 1,
                              }}
                              title={`${slice.migProfile}, ${say(metricValue(slice, metric.value))}${sliceHolder(slice)}`}
                            >
                              {sliceText(slice, shareOf(slice, slices), metric)}
                            </span>
                          ))}
                        </span>
                      ) : (
                        <CellText gpu={gpu} metric={metric} />
                      )}
                      {isThrottled(gpu) || (gpu.reading.temperatureCelsius ?? 0) >= warmCelsius ? (
                        <span className={slices.length > 0 ? styles.glyphOver : styles.glyph}>
                          ⚠
                        </span>
                      ) : gpu.allocation === "unknown" && !gpu.stale ? (
                        <span className={styles.glyph}>?</span>
                      ) : null}
                    </button>
                  </div>
                ))}
              </div>
            ))}
          </div>
        </section>
      ))}
    </div>
  );
}

function CellText(props: { readonly gpu: Gpu; readonly metric: MetricSpec }): ReactNode {
  const state = cellState(props.gpu);
  if (props.gpu.migProfile !== "") return <LoneSliceText {...props} />;
  if (state === "stale") return "silent";
  if (state === "free") return "";
  const { value } = metricValue(props.gpu, props.metric.value);
  return state === "idle" && props.metric.value === "activity" ? (
    <>
      {value} <span className={styles.idleWord}>idle</span>
    </>
  ) : (
    value
  );
}

/** A slice whose card is not seen has a cell of its own: `1g.10gb 82`. */
function LoneSliceText(props: { readonly gpu: Gpu; readonly metric: MetricSpec }): ReactNode {
  const { gpu, metric } = props;
  const state = cellState(gpu);
  const rest =
    state === "stale" ? "silent" : state === "free" ? "" : metricValue(gpu, metric.value).value;
  return `${gpu.migProfile} ${rest}`;
}

/** Below this share of its card a slice has room for its size alone. */
const wideSlice = 0.4;

/** The slice's size and, where there is room, its value: `3g 82`. */
function sliceText(slice: Gpu, share: number, metric: MetricSpec): string {
  const size = slice.migProfile.split(".")[0] ?? "";
  const state = cellState(slice);
  if (share < wideSlice || state === "free" || state === "stale") return size;
  return `${size} ${metricValue(slice, metric.value).value}`;
}

function shareOf(slice: Gpu, slices: readonly Gpu[]): number {
  const size = (gpu: Gpu): number => gpu.reading.memoryTotalBytes ?? 1;
  return size(slice) / slices.reduce((sum, other) => sum + size(other), 0);
}

function sliceHolder({ pods: [pod], allocation }: Gpu): string {
  if (pod) return `, held by ${pod.namespace}/${pod.name}`;
  return allocation === "free" ? ", not held" : "";
}

function cellStyle(gpu: Gpu, metric: MetricSpec) {
  const state = cellState(gpu);
  const ratio = rampRatio(gpu, metric.value);
  if (ratio === undefined || state === "stale" || state === "free") return undefined;
  const step = rampStep(Math.max(0, Math.min(1, ratio)));
  return { background: `var(--${metric.ramp}-${step + 1})`, color: `var(--on-ramp-${step + 1})` };
}

function cellLabel(gpu: Gpu, metric: MetricSpec): string {
  const state = cellState(gpu);
  const words: Readonly<Record<typeof state, string>> = {
    ok: "",
    idle: ", held but idle",
    free: ", not held",
    stale: ", no sample for a minute",
    unknown: ", not measured",
  };
  const hot = (gpu.reading.temperatureCelsius ?? 0) >= warmCelsius ? ", hot" : "";
  const slowed = gpu.throttleReasons.length > 0 ? `, ${gpu.throttleReasons.join(", ")}` : "";
  const holder = gpu.allocation === "unknown" ? ", nobody tells who holds it" : "";
  return `${gpu.node === "" ? "this host" : gpu.node} ${gpu.migProfile === "" ? "GPU" : `slice ${gpu.migProfile}`} ${gpu.index ?? gpu.uuid}, ${metric.label.toLowerCase()} ${say(metricValue(gpu, metric.value))}${words[state]}${hot}${slowed}${holder}`;
}

/** Left and right within a node, up and down between rows of the whole page. */
function moveFocus(
  event: KeyboardEvent<HTMLButtonElement>,
  grid: HTMLElement | null,
  onSelect: (uuid: string) => void,
): void {
  const steps: Readonly<Record<string, readonly [number, number]>> = {
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
  };
  const step = steps[event.key];
  if (!step || !grid) return;
  event.preventDefault();
  event.stopPropagation();
  const rows = [...grid.querySelectorAll<HTMLElement>("[role=row]")].map((row) => [
    ...row.querySelectorAll<HTMLButtonElement>("button[data-gpu]"),
  ]);
  const at = rows.findIndex((row) => row.includes(event.currentTarget));
  const column = rows[at]?.indexOf(event.currentTarget) ?? 0;
  const row = rows[Math.max(0, Math.min(rows.length - 1, at + step[0]))] ?? [];
  const next = row[Math.max(0, Math.min(row.length - 1, column + step[1]))];
  next?.focus();
  if (next?.dataset["gpu"] !== undefined) onSelect(next.dataset["gpu"]);
}
