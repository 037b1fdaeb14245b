/**
 * Small marks: a state dot with its word, a chip. Colour is never the only carrier.
 */
import type { ReactNode } from "react";
import styles from "./Badge.module.css";

export type Tone = "ok" | "info" | "warn" | "crit" | "idle";

export function Dot({ tone }: { readonly tone: Tone }): ReactNode {
  return <span className={`${styles.dot} ${styles[tone]}`} aria-hidden="true" />;
}

export function StatusText({ status }: { readonly status: "ok" | "error" | "unset" }): ReactNode {
  if (status === "error") {
    return (
      <span className={styles.error}>
        <span aria-hidden="true">✕ </span>error
      </span>
    );
  }
  if (status === "ok") {
    return (
      <span className={styles.status}>
        <Dot tone="ok" />
        ok
      </span>
    );
  }
  // OpenTelemetry's "unset": most instrumentation sets a status only when something failed.
  return (
    <span
      className={styles.none}
      title="no status reported"
      role="img"
      aria-label="no status reported"
    >
      –
    </span>
  );
}

export function Chip({
  children,
  tone,
  title,
}: {
  readonly children: ReactNode;
  readonly tone?: Tone;
  readonly title?: string;
}): ReactNode {
  return (
    <span
      className={tone ? `${styles.chip} ${styles[chipTones[tone]]}` : styles.chip}
      title={title}
    >
      {children}
    </span>
  );
}

const chipTones: Readonly<Record<Tone, string>> = {
  ok: "chipOk",
  info: "chipInfo",
  warn: "chipWarn",
  crit: "chipCrit",
  idle: "chipIdle",
};
