/**
 * What changed against the period before, the most telling first, as paired bars with a sentence.
 */
import { useNavigate } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Overview } from "@axonize/core/contract/analytics";
import { toggleTerm } from "../../data/filter.ts";
import {
  change,
  count,
  durationMs,
  percent,
  say,
  timeMs,
  type Quantity,
} from "../../data/format.ts";
import { zone as zoneStore } from "../../data/preferences.ts";
import { useStore } from "../../data/queries.ts";
import { spanLabel } from "../../data/time.ts";
import { carry, useUrlState } from "../../data/url.ts";
import styles from "./WhatChanged.module.css";
import { measureNames, whatChanged, type Finding, type Measure } from "./what-changed.ts";

const mostFindings = 8;

const formats: Readonly<Record<Measure, (value: number) => Quantity>> = {
  ttftP95: durationMs,
  durationP95: durationMs,
  perTokenP95: durationMs,
  errorRatio: percent,
  calls: count,
};

export function WhatChanged({ data }: { readonly data: Overview }): ReactNode {
  const zone = useStore(zoneStore);
  const fromMs = timeMs(data.from);
  const toMs = timeMs(data.to);
  const findings = whatChanged(data, mostFindings);
  const [first] = findings;
  return (
    <>
      <div className={styles.head}>
        <h2 className={styles.title}>What changed</h2>
        <span className={styles.note}>
          against {spanLabel({ fromMs: fromMs * 2 - toMs, toMs: fromMs }, zone)}
        </span>
      </div>
      {data.previous === null ? (
        <p className={styles.none}>
          There are no calls in the equally long time before this range, so there is nothing to
          compare with.
        </p>
      ) : first === undefined ? (
        <p className={styles.none}>
          Nothing stands out: no model or service with enough calls moved by more than chance.
        </p>
      ) : (
        <>
          <Headline finding={first} />
          <ul className={styles.list}>
            {findings.map((finding) => (
              <Row key={`${finding.by} ${finding.value} ${finding.measure}`} finding={finding} />
            ))}
          </ul>
          <p className={styles.legend} aria-hidden="true">
            <i className={styles.swatchNow} /> this range <i className={styles.swatchBefore} />{" "}
            before
          </p>
        </>
      )}
    </>
  );
}

function Headline({ finding }: { readonly finding: Finding }): ReactNode {
  const [url] = useUrlState();
  const navigate = useNavigate();
  const format = formats[finding.measure];
  const open = (): void => {
    const sort =
      finding.measure === "ttftP95"
        ? "-ttft"
        : finding.measure === "durationP95"
          ? "-duration"
          : "";
    const base = toggleTermOn(url.filter, finding.by, finding.value);
    const filter = finding.measure === "errorRatio" ? toggleTermOn(base, "status", "error") : base;
    void navigate({ to: "/requests", search: carry(url, { filter, sort }) });
  };
  return (
    <div className={finding.worse ? styles.headlineBad : styles.headline}>
      <p>
        <b>{finding.value}</b> {sentence(finding)}
        <span className={styles.before}>
          {" "}
          (
          {finding.kind === "measure"
            ? `${say(format(finding.before))} before`
            : "not in the time before"}
          )
        </span>
      </p>
      <button type="button" className={styles.link} onClick={open}>
        Show these requests →
      </button>
    </div>
  );
}

function sentence(finding: Finding): string {
  const format = formats[finding.measure];
  if (finding.kind === "appeared") return `appeared: ${say(count(finding.now))} calls.`;
  if (finding.kind === "gone")
    return `made no call in this range; it made ${say(count(finding.before))}.`;
  const direction = finding.now > finding.before ? "rose" : "fell";
  return `${measureNames[finding.measure]} ${direction} to ${say(format(finding.now))}.`;
}

function Row({ finding }: { readonly finding: Finding }): ReactNode {
  const [url, setUrl] = useUrlState();
  const format = formats[finding.measure];
  const most = Math.max(finding.now, finding.before) || 1;
  const moved =
    finding.kind === "measure"
      ? change(finding.now, finding.before)?.text
      : finding.kind === "appeared"
        ? "new"
        : "gone";
  return (
    <li className={styles.row}>
      <button
        type="button"
        className={styles.name}
        title={`Filter by ${finding.by}:${finding.value}`}
        onClick={() => {
          setUrl({ filter: toggleTerm(url.filter, finding.by, finding.value, false) });
        }}
      >
        {finding.value} <span>{measureNames[finding.measure]}</span>
      </button>
      <div className={styles.bars} aria-hidden="true">
        <div
          className={finding.worse ? styles.nowBad : styles.now}
          style={{ width: `${(finding.now / most) * 100}%` }}
        />
        <div className={styles.beforeBar} style={{ width: `${(finding.before / most) * 100}%` }} />
      </div>
      <span className={styles.values}>
        {say(format(finding.before))} → <b>{say(format(finding.now))}</b>
      </span>
      <span className={finding.worse ? styles.movedBad : styles.moved}>{moved ?? "–"}</span>
    </li>
  );
}

/** Adds the term where it is not there yet. */
function toggleTermOn(filter: string, key: "model" | "service" | "status", value: string): string {
  const next = toggleTerm(filter, key, value, false);
  return next.length > filter.length ? next : filter;
}
