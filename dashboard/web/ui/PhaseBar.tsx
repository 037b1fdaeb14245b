/**
 * The phases of one call in a table cell: its length on a shared scale, its parts in phase colours.
 */
import type { ReactNode } from "react";
import styles from "./PhaseBar.module.css";

export interface PhaseBarProps {
  readonly call: {
    readonly durationNs: number;
    readonly queueMs: number | null;
    readonly prefillMs: number | null;
    readonly decodeMs: number | null;
    readonly status: string;
  };
  /** The duration that fills the cell. */
  readonly scaleNs: number;
}

export function PhaseBar({ call, scaleNs }: PhaseBarProps): ReactNode {
  const totalMs = call.durationNs / 1e6;
  const parts = [
    { phase: styles.queue, name: "queue", ms: call.queueMs ?? 0 },
    { phase: styles.prefill, name: "prefill", ms: call.prefillMs ?? 0 },
    { phase: styles.decode, name: "decode", ms: call.decodeMs ?? 0 },
  ].filter(({ ms }) => ms > 0);
  const known = parts.reduce((sum, { ms }) => sum + ms, 0);
  const wholeMs = Math.max(totalMs, known, 1e-9);
  const width = Math.min(1, call.durationNs / scaleNs);
  return (
    <span
      className={styles.bar}
      style={{ width: `${Math.max(2, width * 100)}%` }}
      aria-hidden="true"
    >
      {parts.map(({ phase, name, ms }) => (
        <span key={name} className={phase} style={{ width: `${(ms / wholeMs) * 100}%` }} />
      ))}
      {call.durationNs > scaleNs ? <span className={styles.beyond} /> : null}
    </span>
  );
}
