/**
 * A line without axes beside a number: the shape, not the value. Null breaks the line.
 */
import type { ReactNode } from "react";
import { sparkPath } from "./path.ts";
import styles from "./Sparkline.module.css";

export function Sparkline(props: {
  readonly values: readonly (number | null)[];
  readonly width: number;
  readonly height: number;
  readonly tone?: "plain" | "accent" | "warn" | "crit" | "use";
}): ReactNode {
  const { values, width, height, tone = "plain" } = props;
  return (
    <svg
      className={styles[tone]}
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      aria-hidden="true"
    >
      <path
        d={sparkPath(values, width, height)}
        fill="none"
        stroke="currentColor"
        strokeWidth="1.25"
        strokeLinejoin="round"
        vectorEffect="non-scaling-stroke"
      />
    </svg>
  );
}
