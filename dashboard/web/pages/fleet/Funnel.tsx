/**
 * From owned to effective, on one line: what the fleet is and what of it works.
 */
import type { ReactNode } from "react";
import { percent, say } from "../../data/format.ts";
import { kilowatts, type Funnel } from "./fleet.ts";
import styles from "./Funnel.module.css";

export function FunnelStrip({ funnel }: { readonly funnel: Funnel }): ReactNode {
  const steps = [
    {
      label: funnel.total > 0 && funnel.loneSlices === funnel.total ? "Slices" : "GPUs",
      title: "Devices that reported in this range; slices are counted within their card.",
      n: funnel.total,
      color: "var(--line-strong)",
    },
    ...(funnel.allocated === undefined
      ? []
      : [
          {
            label: "Allocated",
            title: "Somebody holds them, whether or not they compute.",
            n: funnel.allocated,
            color: "var(--use-4)",
          },
        ]),
    {
      label: "Active",
      title: "Their last reading was an activity above 2 %.",
      n: funnel.active,
      color: "var(--use-6)",
    },
    {
      label: "Effective",
      title: "Their last reading was an activity above 50 %: they earn what they cost.",
      n: funnel.effective,
      color: "var(--use-8)",
    },
  ];
  const power = kilowatts(funnel.powerWatts);
  return (
    <div className={styles.strip}>
      {steps.map(({ label, title, n, color }, i) => (
        <div
          key={label}
          className={styles.step}
          title={n === undefined ? `${title} Here none was measured.` : title}
        >
          <div className={styles.label}>{label}</div>
          <div className={styles.value}>
            {n?.toLocaleString("en-US") ?? "–"}
            {i === 0 || n === undefined || funnel.total === 0 ? null : (
              <span className={styles.share}>{say(percent(n / funnel.total))}</span>
            )}
          </div>
          <div className={styles.track}>
            <div
              style={{
                width: `${((n ?? 0) / Math.max(1, funnel.total)) * 100}%`,
                background: color,
              }}
            />
          </div>
        </div>
      ))}
      <div className={styles.space} />
      <div className={styles.side}>
        <div className={styles.label}>Held but idle</div>
        <div className={(funnel.idle ?? 0) > 0 ? styles.warn : styles.value}>
          {funnel.allocated === undefined ? "–" : (funnel.idle ?? "–")}
        </div>
      </div>
      {funnel.unattributed === 0 ? null : (
        <div className={styles.side} title="No agent reports who holds them">
          <div className={styles.label}>Unattributed</div>
          <div className={styles.value}>{funnel.unattributed}</div>
        </div>
      )}
      <div className={styles.side}>
        <div className={styles.label}>Power now</div>
        <div className={styles.value}>
          {power.value}
          <span className={styles.share}>{power.unit}</span>
        </div>
      </div>
      <div className={styles.side}>
        <div className={styles.label}>Needs a look</div>
        <div className={styles.value}>
          <span className={funnel.hot > 0 ? styles.crit : undefined}>{funnel.hot}</span>
          <span className={styles.share}>hot</span> {funnel.throttled}
          <span className={styles.share}>slowed</span> {funnel.stale}
          <span className={styles.share}>silent</span>
        </div>
      </div>
    </div>
  );
}
