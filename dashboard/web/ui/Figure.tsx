/**
 * Numbers: the value heavier than its unit, a change with its direction in words for screen readers.
 */
import type { ReactNode } from "react";
import type { Change, Quantity } from "../data/format.ts";
import styles from "./Figure.module.css";

export function Num({ q, strong }: { readonly q: Quantity; readonly strong?: boolean }): ReactNode {
  return (
    <span className={strong ? styles.strong : styles.num}>
      {q.value}
      {q.unit === "" ? null : <span className={styles.unit}>{`\u2009${q.unit}`}</span>}
    </span>
  );
}

export interface FigureProps {
  readonly label: string;
  readonly q: Quantity;
  readonly note?: ReactNode;
  readonly align?: "left" | "right";
  readonly title?: string;
}

/** A page number: label above, value, a line below. */
export function Figure({ label, q, note, align = "left", title }: FigureProps): ReactNode {
  return (
    <div className={align === "left" ? styles.figure : styles.figureRight} title={title}>
      <div className={styles.label}>{label}</div>
      <div className={styles.value}>
        {q.value}
        {q.unit === "" ? null : <span className={styles.bigUnit}>{q.unit}</span>}
      </div>
      {note === undefined ? null : <div className={styles.note}>{note}</div>}
    </div>
  );
}

/** `bad`: the direction in which this figure gets worse. */
export function ChangeText(props: {
  readonly change: Change | undefined;
  readonly bad: "up" | "down" | "none";
  readonly quietBelow?: number;
}): ReactNode {
  const { change, bad, quietBelow = 0.02 } = props;
  if (!change) return <span className={styles.quiet}>–</span>;
  const quiet =
    change.direction === "same" || bad === "none" || Math.abs(change.ratio) < quietBelow;
  const worse = change.direction === bad;
  const strong = Math.abs(change.ratio) >= 0.25;
  const tone = quiet ? styles.quiet : worse ? (strong ? styles.crit : styles.warn) : styles.ok;
  return (
    <span className={tone}>
      {change.text}
      {quiet ? null : <span className="visually-hidden">{worse ? " (worse)" : " (better)"}</span>}
    </span>
  );
}
