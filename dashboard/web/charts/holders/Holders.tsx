/**
 * Who had a device over a range, as lanes on the time axis of what stands above: pods, and the
 * processes of each under it. Bars that reach the end go on.
 */
import type { ReactNode } from "react";
import type { Holder } from "@axonize/core/contract/gpu";
import { plural } from "../../data/format.ts";
import styles from "./Holders.module.css";
import { holderLanes } from "./lanes.ts";

/** More would push what is below off the screen; the list of the API has them all. */
const mostLanes = 12;

export function Holders(props: {
  readonly holders: readonly Holder[];
  readonly fromMs: number;
  readonly toMs: number;
  /** Width of what stands left of the time axis; with `labels` inside it. */
  readonly gutter: number;
  readonly rightPad: number;
  readonly label: "inside" | "gutter";
}): ReactNode {
  const { gutter, rightPad, label } = props;
  const { lanes, more } = holderLanes(props.holders, props, mostLanes);
  return (
    <ul className={styles.lanes} aria-label="Pods and processes over time">
      {lanes.map((lane) => (
        <li key={lane.key} className={lane.process ? styles.process : styles.lane}>
          <span
            className={label === "gutter" ? styles.gutter : styles.inside}
            style={label === "gutter" ? { width: gutter } : { marginLeft: gutter }}
          >
            <b className={lane.named ? undefined : styles.quiet}>{lane.label}</b> {lane.note}
          </span>
          <span
            className={styles.track}
            style={{ left: gutter, right: rightPad }}
            aria-hidden="true"
          >
            {lane.bars.map((bar) => (
              <i
                key={bar.from}
                className={lane.named ? styles.bar : styles.other}
                title={bar.title}
                style={{ left: `${bar.from * 100}%`, width: `${(bar.to - bar.from) * 100}%` }}
              />
            ))}
          </span>
          <span className="visually-hidden">{lane.bars.map(({ title }) => title).join("; ")}</span>
        </li>
      ))}
      {more === 0 ? null : (
        <li className={styles.more} style={{ paddingLeft: gutter }}>
          and {plural(more, "more holder")}
        </li>
      )}
    </ul>
  );
}
