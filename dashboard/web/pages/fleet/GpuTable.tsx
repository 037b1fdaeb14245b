/**
 * The same devices as a table, slices included, sortable by any reading.
 */
import { useState, type ReactNode } from "react";
import type { Gpu } from "@axonize/core/contract/gpu";
import { bytes, count, percent, type Quantity } from "../../data/format.ts";
import { Num } from "../../ui/Figure.tsx";
import { activity, deviceOrder, shortName, whole } from "./fleet.ts";
import styles from "./GpuTable.module.css";

interface Column {
  readonly id: string;
  readonly label: string;
  readonly sort: (gpu: Gpu) => number | string;
  readonly cell: (gpu: Gpu) => Quantity | string;
}

const columns: readonly Column[] = [
  {
    id: "node",
    label: "Node",
    sort: (g) => g.node,
    cell: (g) => (g.node === "" ? "this host" : g.node),
  },
  {
    id: "index",
    label: "GPU",
    sort: (g) => g.index ?? -1,
    cell: (g) => (g.migProfile === "" ? String(g.index ?? "–") : `slice ${g.migProfile}`),
  },
  { id: "name", label: "Model", sort: (g) => g.name, cell: (g) => shortName(g.name) },
  { id: "holder", label: "Held by", sort: (g) => holder(g), cell: (g) => holder(g) },
  {
    id: "activity",
    label: "Activity",
    sort: (g) => activity(g) ?? -1,
    cell: (g) => percent(activity(g)),
  },
  {
    id: "memory",
    label: "Memory",
    sort: (g) => g.reading.memoryUsedBytes ?? -1,
    cell: (g) => bytes(g.reading.memoryUsedBytes),
  },
  {
    id: "power",
    label: "Power",
    sort: (g) => g.reading.powerWatts ?? -1,
    cell: (g) => whole(g.reading.powerWatts, "W"),
  },
  {
    id: "temperature",
    label: "Temp",
    sort: (g) => g.reading.temperatureCelsius ?? -1,
    cell: (g) => whole(g.reading.temperatureCelsius, "°C"),
  },
  {
    id: "clock",
    label: "SM clock",
    sort: (g) => g.reading.smClockMhz ?? -1,
    cell: (g) => whole(g.reading.smClockMhz, "MHz"),
  },
  { id: "calls", label: "Calls", sort: (g) => g.requestCount, cell: (g) => count(g.requestCount) },
];
const textColumns = new Set(["node", "index", "name", "holder"]);
/** Left out on a telephone, where the readings would not fit beside them; the panel has them. */
const wideColumns = new Set(["name", "holder", "clock"]);

const cellClass = (id: string): string =>
  [textColumns.has(id) ? styles.text : styles.number, wideColumns.has(id) ? styles.wide : ""].join(
    " ",
  );

export function GpuTable(props: {
  readonly gpus: readonly Gpu[];
  readonly selected: string;
  readonly onSelect: (uuid: string) => void;
  readonly onOpen: (gpu: Gpu) => void;
}): ReactNode {
  const [sort, setSort] = useState({ id: "node", down: false });
  const column = columns.find(({ id }) => id === sort.id) ?? columns[0];
  // Within equal values, and within a node, a card comes before its slices, cards by number.
  const places = deviceOrder(props.gpus);
  const place = (gpu: Gpu): number => places.get(gpu.uuid) ?? 0;
  const sorted = [...props.gpus].sort((a, b) => {
    if (sort.id === "index" || sort.id === "node") {
      const byNode = a.node.localeCompare(b.node, "en", { numeric: true });
      const byPlace = place(a) - place(b);
      return sort.id === "node"
        ? (sort.down ? -byNode : byNode) || byPlace
        : sort.down
          ? -byPlace
          : byPlace;
    }
    const [x, y] = [column?.sort(a) ?? "", column?.sort(b) ?? ""];
    const order =
      typeof x === "number" && typeof y === "number"
        ? x - y
        : String(x).localeCompare(String(y), "en", { numeric: true });
    return (sort.down ? -order : order) || place(a) - place(b);
  });
  return (
    <section className={styles.scroller} aria-label="Devices" tabIndex={0}>
      <table className={styles.table}>
        <thead>
          <tr>
            {columns.map(({ id, label }) => (
              <th
                key={id}
                scope="col"
                className={cellClass(id)}
                aria-sort={sort.id === id ? (sort.down ? "descending" : "ascending") : undefined}
              >
                <button
                  type="button"
                  className={styles.sort}
                  onClick={() => {
                    setSort({ id, down: sort.id === id ? !sort.down : !textColumns.has(id) });
                  }}
                >
                  {label}
                  {sort.id === id ? (
                    <span aria-hidden="true">{sort.down ? " ↓" : " ↑"}</span>
                  ) : null}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sorted.map((gpu) => (
            <tr
              key={gpu.uuid}
              className={gpu.uuid === props.selected ? styles.selected : styles.row}
              onDoubleClick={() => {
                props.onOpen(gpu);
              }}
            >
              {columns.map(({ id, cell }) => {
                const content = cell(gpu);
                const shown = typeof content === "string" ? content : <Num q={content} />;
                return (
                  <td key={id} className={cellClass(id)}>
                    {id === "node" ? (
                      <button
                        type="button"
                        className={styles.pick}
                        onClick={() => {
                          props.onSelect(gpu.uuid);
                        }}
                      >
                        {shown}
                        {gpu.stale ? <span className={styles.stale}> silent</span> : null}
                      </button>
                    ) : (
                      shown
                    )}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function holder(gpu: Gpu): string {
  const [first] = gpu.pods;
  if (!first) return gpu.allocation === "unknown" ? "unattributed" : "–";
  return gpu.pods.length > 1
    ? `${first.namespace}/${first.name} +${gpu.pods.length - 1}`
    : `${first.namespace}/${first.name}`;
}
