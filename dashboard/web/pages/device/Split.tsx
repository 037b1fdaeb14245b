/**
 * The range by what the device did and who had it: one bar, with the words and times beside it, and
 * why what is unknown is.
 */
import type { ReactNode } from "react";
import type { GpuMetrics } from "@axonize/core/contract/gpu";
import { duration, percent, say } from "../../data/format.ts";
import styles from "./Split.module.css";

export function Split({ metrics }: { readonly metrics: GpuMetrics }): ReactNode {
  const { split, unattributed } = metrics;
  const parts = [
    { name: "active", seconds: split.activeSeconds, what: "held and busy" },
    { name: "idle", seconds: split.idleSeconds, what: "held, not busy" },
    { name: "free", seconds: split.freeSeconds, what: "held by nobody" },
    { name: "unattributed", seconds: split.unknownSeconds, what: "nobody can tell who held it" },
    { name: "not sampled", seconds: split.unsampledSeconds, what: "nothing was measured" },
  ].filter(({ seconds }) => seconds > 0);
  const total = parts.reduce((sum, { seconds }) => sum + seconds, 0);
  if (total === 0) return null;
  const share = (seconds: number): string => say(percent(seconds / total));
  return (
    <section className={styles.split} aria-label="What the range was">
      <div className={styles.bar} aria-hidden="true">
        {parts.map(({ name, seconds }) => (
          <i key={name} className={styles[classOf(name)]} style={{ flexGrow: seconds / total }} />
        ))}
      </div>
      <dl className={styles.legend}>
        {parts.map(({ name, seconds, what }) => (
          <div key={name} title={what}>
            <dt>
              <i className={styles[classOf(name)]} aria-hidden="true" />
              {name}
            </dt>
            <dd>
              <b>{share(seconds)}</b> {say(duration(seconds * 1e9))}
            </dd>
          </div>
        ))}
      </dl>
      {unattributed.map(({ reason, seconds }) => (
        <p key={reason} className={styles.why}>
          {say(duration(seconds * 1e9))} unattributed: {reason}.
        </p>
      ))}
    </section>
  );
}

const classOf = (name: string): string => (name === "not sampled" ? "unsampled" : name);
