/**
 * What a panel shows when it has no data to show: loading, nothing there, a failure.
 *
 * An empty state says why and what to do; a failure shows the problem document and a way to retry.
 */
import { CircleAlert, RotateCw } from "lucide-react";
import type { CSSProperties, ReactNode } from "react";
import type { Problem } from "@axonize/core/contract/problem";
import { ApiError } from "../data/client.ts";
import { Button } from "./Button.tsx";
import styles from "./State.module.css";

export function Skeleton({
  width,
  height = 12,
}: {
  readonly width: number | string;
  readonly height?: number;
}): ReactNode {
  const style: CSSProperties = { width, height };
  return <span className={styles.skeleton} style={style} aria-hidden="true" />;
}

/** Rows of bars in the geometry of the table they stand for. */
export function SkeletonRows({
  rows,
  height = 28,
}: {
  readonly rows: number;
  readonly height?: number;
}): ReactNode {
  return (
    <div aria-hidden="true">
      {Array.from({ length: rows }, (_, i) => (
        <div key={`row-${i}`} className={styles.skeletonRow} style={{ height }}>
          <Skeleton width={`${24 + ((i * 37) % 30)}%`} />
          <Skeleton width="10%" />
          <Skeleton width={`${8 + ((i * 23) % 12)}%`} />
          <Skeleton width="6%" />
        </div>
      ))}
    </div>
  );
}

export function EmptyState(props: {
  readonly title: string;
  readonly children?: ReactNode;
  readonly actions?: ReactNode;
}): ReactNode {
  return (
    <div className={styles.state}>
      <h2 className={styles.title}>{props.title}</h2>
      {props.children === undefined ? null : <div className={styles.text}>{props.children}</div>}
      {props.actions === undefined ? null : <div className={styles.actions}>{props.actions}</div>}
    </div>
  );
}

export function problemFrom(error: unknown): Problem {
  if (error instanceof ApiError) return error.problem;
  return {
    type: "about:blank",
    title: "This page hit a bug",
    status: 0,
    detail: error instanceof Error ? error.message : String(error),
  };
}

export function ProblemView(props: {
  readonly error: unknown;
  readonly what: string;
  readonly onRetry?: (() => void) | undefined;
  readonly compact?: boolean;
}): ReactNode {
  const problem = problemFrom(props.error);
  return (
    <div className={props.compact ? styles.problemCompact : styles.problem} role="alert">
      <CircleAlert size={16} className={styles.icon} aria-hidden="true" />
      <div className={styles.problemBody}>
        <div>
          <strong>{props.what}</strong>{" "}
          <span className={styles.code}>
            {problem.title}
            {problem.status ? ` · ${problem.status}` : ""}
          </span>
        </div>
        <p className={styles.detail}>{problem.detail}</p>
        {problem.errors?.map((one) => (
          <p key={one.path} className={styles.detail}>
            <code>{one.path}</code> {one.message}
          </p>
        ))}
        {props.onRetry ? (
          <Button onClick={props.onRetry}>
            <RotateCw size={14} aria-hidden="true" /> Try again
          </Button>
        ) : null}
      </div>
    </div>
  );
}
