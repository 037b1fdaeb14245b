/**
 * Models or services, the one that changed most first. A name keeps it as a filter.
 */
import { useState, type ReactNode } from "react";
import type { Overview } from "@axonize/core/contract/analytics";
import { Sparkline } from "../../charts/sparkline/Sparkline.tsx";
import { toggleTerm } from "../../data/filter.ts";
import { change, count, durationMs, percent, plain } from "../../data/format.ts";
import { useUrlState } from "../../data/url.ts";
import { ChangeText, Num } from "../../ui/Figure.tsx";
import styles from "./GroupTable.module.css";
import { changeOf } from "./what-changed.ts";

type Group = Overview["byModel"][number];

/** Rows before "show all". */
const shortTable = 8;

export function GroupTable(props: {
  readonly title: string;
  readonly by: "model" | "service";
  readonly groups: readonly Group[];
}): ReactNode {
  const { title, by, groups } = props;
  const [all, setAll] = useState(false);
  const sorted = [...groups].sort(
    (a, b) => changeOf(b) - changeOf(a) || b.totals.calls - a.totals.calls,
  );
  const shown = all ? sorted : sorted.slice(0, shortTable);
  if (groups.length === 0) return null;
  return (
    <div className={styles.block}>
      <div className={styles.head}>
        <h2 className={styles.title}>{title}</h2>
        <span className={styles.note}>
          sorted by change in {by === "model" ? "TTFT" : "latency"} p95
        </span>
      </div>
      <table className={styles.table}>
        <thead>
          <tr>
            <th scope="col">{by}</th>
            <th scope="col" className={styles.wide}>
              {by === "model" ? "engine" : ""}
            </th>
            <th scope="col" className={styles.number}>
              calls/min
            </th>
            <th scope="col" className={styles.number}>
              errors
            </th>
            <th scope="col" className={styles.number}>
              TTFT p95
            </th>
            <th scope="col" className={`${styles.number} ${styles.wide}`}>
              total p95
            </th>
            <th scope="col" className={styles.number}>
              change
            </th>
            <th scope="col" className={`${styles.number} ${styles.wide}`}>
              <span className="visually-hidden">calls over time</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {shown.map((group) => (
            <GroupRow key={group.value} group={group} by={by} />
          ))}
        </tbody>
      </table>
      {shown.length < sorted.length ? (
        <button
          type="button"
          className={styles.more}
          onClick={() => {
            setAll(true);
          }}
        >
          Show all {sorted.length}
        </button>
      ) : null}
    </div>
  );
}

function GroupRow({
  group,
  by,
}: {
  readonly group: Group;
  readonly by: "model" | "service";
}): ReactNode {
  const [url, setUrl] = useUrlState();
  const { totals, previous } = group;
  const moved =
    totals.ttftP95Ms !== null
      ? change(totals.ttftP95Ms, previous?.ttftP95Ms)
      : change(totals.durationP95Ms, previous?.durationP95Ms);
  const worse = (moved?.ratio ?? 0) > 0.25;
  return (
    <tr>
      <td className={styles.name}>
        <button
          type="button"
          className={styles.pick}
          title={`Filter by ${by}:${group.value}`}
          onClick={() => {
            setUrl({ filter: toggleTerm(url.filter, by, group.value, false) });
          }}
        >
          {group.value === "" ? "(none)" : group.value}
        </button>
      </td>
      <td className={`${styles.quiet} ${styles.wide}`}>{by === "model" ? group.engine : ""}</td>
      <td className={styles.number}>
        <Num
          q={
            totals.callsPerMinute < 10
              ? plain(totals.callsPerMinute, "")
              : count(Math.round(totals.callsPerMinute))
          }
        />
      </td>
      <td className={`${styles.number} ${(totals.errorRatio ?? 0) >= 0.01 ? styles.warn : ""}`}>
        <Num q={percent(totals.errorRatio)} />
      </td>
      <td className={`${styles.number} ${worse && totals.ttftP95Ms !== null ? styles.crit : ""}`}>
        <Num q={durationMs(totals.ttftP95Ms)} />
      </td>
      <td className={`${styles.number} ${styles.wide}`}>
        <Num q={durationMs(totals.durationP95Ms)} />
      </td>
      <td className={styles.number}>
        <ChangeText change={moved} bad="up" quietBelow={0.05} />
      </td>
      <td className={`${styles.number} ${styles.wide}`}>
        <Sparkline values={group.series} width={72} height={16} tone="plain" />
      </td>
    </tr>
  );
}
