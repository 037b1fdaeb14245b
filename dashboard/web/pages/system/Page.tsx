/**
 * Is Axonize itself fine: what comes in, what is refused and why, the stores, the parts, own errors.
 */
import type { ReactNode } from "react";
import type { System } from "@axonize/core/contract/system";
import { nowMs } from "../../data/clock.ts";
import {
  ago,
  bytes,
  clock,
  count,
  day,
  durationMs,
  noValue,
  plural,
  timeMs,
} from "../../data/format.ts";
import { zone as zoneStore } from "../../data/preferences.ts";
import { livePeriodMs } from "../../data/live.ts";
import { useEndpoint, useStore } from "../../data/queries.ts";
import { Answered } from "../../ui/Answered.tsx";
import { Chip, Dot } from "../../ui/Badge.tsx";
import { Figure, Num, type FigureProps } from "../../ui/Figure.tsx";
import { ProblemView, SkeletonRows } from "../../ui/State.tsx";
import { Agents, Unjoined } from "./Agents.tsx";
import styles from "./Page.module.css";
import { Section } from "./Section.tsx";

export function Page(): ReactNode {
  const system = useEndpoint("getSystem", {}, { everyMs: livePeriodMs.system });
  return (
    <Answered
      query={system}
      what="Axonize cannot tell how it is."
      loading={<SkeletonRows rows={18} height={32} />}
    >
      {(data) => <Loaded data={data} failed={system.isError ? system.error : undefined} />}
    </Answered>
  );
}

function Loaded({ data, failed }: { readonly data: System; readonly failed: unknown }): ReactNode {
  return (
    <div className={styles.page}>
      <h1 className="visually-hidden">System</h1>
      {failed === undefined ? null : (
        <ProblemView compact what="Refreshing failed; this is the last answer." error={failed} />
      )}
      <Figures data={data} />
      <div className={styles.columns}>
        <div>
          <Stores data={data} />
          <Tables data={data} />
        </div>
        <div>
          <Components data={data} />
          <Rejects data={data} />
          <Unjoined data={data} />
        </div>
      </div>
      <Agents data={data} />
      <Errors data={data} />
      <p className={styles.note}>
        Version {data.version}, {data.mode}. Metrics for Prometheus are at <code>/metrics</code> of
        each part.
      </p>
    </div>
  );
}

function Figures({ data }: { readonly data: System }): ReactNode {
  const { ingest } = data;
  const down = data.stores.filter((store) => !store.ok);
  const figures = data.scope === "tenant" ? withheld : intakeFigures(ingest);
  return (
    <div className={styles.figures}>
      {figures.map((figure) => (
        <Figure key={figure.label} {...figure} />
      ))}
      <Figure
        label="Last span"
        q={{
          value: ingest.lastSpanAt === null ? "–" : ago(timeMs(ingest.lastSpanAt), nowMs()),
          unit: "",
        }}
        note={ingest.lastSpanAt === null ? "none within the hour" : "received"}
      />
      <Figure
        label="Stores"
        q={{ value: down.length === 0 ? "ok" : "down", unit: "" }}
        note={down.length === 0 ? "all reachable" : down.map(({ name }) => name).join(", ")}
      />
    </div>
  );
}

const withheld: readonly FigureProps[] = ["Spans in", "Bytes in", "Lag", "Refused"].map(
  (label) => ({ label, q: noValue, note: "needs the admin key" }),
);

/** Of all tenants together. */
function intakeFigures(ingest: System["ingest"]): readonly FigureProps[] {
  const spans = count(Math.round(ingest.spansPerSecond));
  const size = bytes(ingest.bytesPerSecond);
  const refused = ingest.rejects.reduce((sum, { count: n }) => sum + n, 0);
  return [
    { label: "Spans in", q: { ...spans, unit: `${spans.unit}/s` }, note: "over the last minute" },
    { label: "Bytes in", q: { ...size, unit: `${size.unit}/s` }, note: "after decompression" },
    {
      label: "Lag",
      q: ingest.lagMs === null ? noValue : durationMs(ingest.lagMs),
      note: ingest.lagMs === null ? "nothing is waiting" : "oldest not yet acknowledged",
    },
    {
      label: "Refused",
      q: count(refused),
      note: refused === 0 ? "nothing" : plural(ingest.rejects.length, "reason"),
    },
  ];
}

function Stores({ data }: { readonly data: System }): ReactNode {
  return (
    <Section title="Stores">
      {data.stores.map((store) => (
        <div key={store.name} className={styles.store}>
          <span className={styles.name}>
            <Dot tone={store.ok ? "ok" : "crit"} />{" "}
            {store.name === "clickhouse" ? "ClickHouse" : "PostgreSQL"}
          </span>
          <span className={styles.quiet}>{store.version}</span>
          <span className={styles.number}>
            <Num q={durationMs(store.latencyMs)} />
          </span>
          <span className={styles.number}>
            <Num q={bytes(store.bytes)} />
          </span>
          <span className={store.ok ? styles.quiet : styles.bad}>
            {store.ok ? store.detail : `not reachable. ${store.detail}`}
          </span>
        </div>
      ))}
    </Section>
  );
}

function Tables({ data }: { readonly data: System }): ReactNode {
  return (
    <Section title="Tables" of={data}>
      <table className={styles.table}>
        <thead>
          <tr>
            <th scope="col">table</th>
            <th scope="col" className={styles.number}>
              rows
            </th>
            <th scope="col" className={styles.number}>
              size
            </th>
            <th scope="col" className={styles.number}>
              per row
            </th>
            <th scope="col" className={styles.number}>
              parts
            </th>
          </tr>
        </thead>
        <tbody>
          {data.tables.map((table) => (
            <tr key={table.name}>
              <td>
                <code>{table.name}</code>
              </td>
              <td className={styles.number}>
                <Num q={count(table.rows)} />
              </td>
              <td className={styles.number}>
                <Num q={bytes(table.bytes)} />
              </td>
              <td className={styles.number}>
                <Num q={table.rows === 0 ? noValue : bytes(Math.round(table.bytes / table.rows))} />
              </td>
              <td className={styles.number}>{table.parts}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {data.tables.length === 0 ? <p className={styles.quiet}>No table has been read.</p> : null}
    </Section>
  );
}

function Components({ data }: { readonly data: System }): ReactNode {
  return (
    <Section title="Parts that run" of={data}>
      {data.components.length === 0 ? (
        <p className={styles.quiet}>No part has reported yet.</p>
      ) : null}
      {data.components.map((component) => (
        <details key={component.component + component.instance} className={styles.component}>
          <summary>
            <Dot tone={component.stale ? "warn" : "ok"} />
            <b>{component.component}</b>
            <span className={styles.quiet}>{component.instance}</span>
            <span className={styles.space} />
            {component.stale ? <Chip tone="warn">silent</Chip> : null}
            <span className={styles.quiet}>{ago(timeMs(component.updatedAt), nowMs())}</span>
          </summary>
          <dl className={styles.status}>
            {Object.entries(component.status).map(([name, value]) => (
              <div key={name}>
                <dt>
                  <code>{name}</code>
                </dt>
                <dd>
                  {typeof value === "number"
                    ? value.toLocaleString("en-US")
                    : JSON.stringify(value)}
                </dd>
              </div>
            ))}
          </dl>
        </details>
      ))}
    </Section>
  );
}

function Rejects({ data }: { readonly data: System }): ReactNode {
  const most = Math.max(1, ...data.ingest.rejects.map(({ count: n }) => n));
  return (
    <Section title="Refused, by reason" of={data}>
      {data.ingest.rejects.length === 0 ? (
        <p className={styles.quiet}>Nothing has been refused since the start.</p>
      ) : null}
      {data.ingest.rejects.map(({ reason, count: n, advice }) => (
        <div key={reason} className={styles.reject}>
          <code>{reason}</code>
          <div className={styles.track} aria-hidden="true">
            <div style={{ width: `${(n / most) * 100}%` }} />
          </div>
          <span className={styles.number}>
            <Num q={count(n)} />
          </span>
          {advice === "" ? null : <p className={styles.advice}>{advice}</p>}
        </div>
      ))}
    </Section>
  );
}

function Errors({ data }: { readonly data: System }): ReactNode {
  const zone = useStore(zoneStore);
  return (
    <Section title="Own errors" of={data}>
      {data.errors.length === 0 ? <p className={styles.quiet}>None.</p> : null}
      {data.errors.map((error) => (
        <div key={error.time + error.code} className={styles.error}>
          <span className={styles.quiet}>
            {day(timeMs(error.time), zone)} {clock(timeMs(error.time), zone)}
          </span>
          <span>{error.component}</span>
          <code>{error.code}</code>
          <span>{error.message}</span>
        </div>
      ))}
    </Section>
  );
}
