/**
 * The answer first: what this request was, its figures, and where its time went.
 */
import type { ReactNode } from "react";
import type { Trace } from "@axonize/core/contract/trace";
import {
  clock,
  count,
  day,
  duration,
  durationMs,
  noValue,
  percent,
  plain,
  plural,
  say,
  timeMs,
} from "../../data/format.ts";
import type { ToldBy } from "../../charts/timeline/model.ts";
import { zone as zoneStore } from "../../data/preferences.ts";
import { useStore } from "../../data/queries.ts";
import { Chip, StatusText } from "../../ui/Badge.tsx";
import { CopyButton } from "../../ui/CopySnippet.tsx";
import { Figure } from "../../ui/Figure.tsx";
import { PageHead } from "../../ui/PageHead.tsx";
import styles from "./Header.module.css";
import { rankedCall, whyNoPhases, whyParts, whySentence, type WhyPhase } from "./why.ts";

export interface HeaderProps {
  readonly trace: Trace;
  /** Of the trace's call. */
  readonly toldBy: ToldBy;
}

export function Header({ trace, toldBy }: HeaderProps): ReactNode {
  const zone = useStore(zoneStore);
  const startMs = timeMs(trace.startTime);
  const facts: readonly (readonly [string, string])[] = [
    ["service", trace.service],
    ["model", trace.model],
    ["engine", trace.engine],
    ["environment", trace.environment],
    [
      toldBy === "server" ? "pod" : "caller's pod",
      trace.pod === "" ? "" : [trace.namespace, trace.pod].filter(Boolean).join("/"),
    ],
    ["session", trace.session],
    ["user", trace.user],
  ];
  return (
    <PageHead
      title={trace.name}
      marks={
        <>
          {trace.status === "unset" ? null : <StatusText status={trace.status} />}
          {trace.errorCount > 0 && trace.status !== "error" ? (
            <Chip tone="warn">{plural(trace.errorCount, "error")} inside</Chip>
          ) : null}
          <span className={styles.id}>
            <code>{trace.traceId.slice(0, 16)}…</code>
            <CopyButton text={trace.traceId} label="Copy the trace id" />
          </span>
        </>
      }
      facts={
        <>
          <span>
            {day(startMs, zone)} {clock(startMs, zone, "ms")}
          </span>
          {facts
            .filter(([, value]) => value !== "")
            .map(([name, value]) => (
              <span key={name}>
                {name} <b>{value}</b>
              </span>
            ))}
          <span>{plural(trace.spanCount, "span")}</span>
        </>
      }
      figures={
        <>
          <Figure label="Total" q={duration(trace.durationNs)} align="right" />
          <Figure
            label={trace.ttftBasis === "none" ? "TTFT" : `TTFT · ${trace.ttftBasis}`}
            q={durationMs(trace.ttftMs)}
            align="right"
          />
          <Figure label="Per token" q={durationMs(trace.perTokenMs)} align="right" />
          <Figure label="Tokens" q={tokenPair(trace)} align="right" />
          <Figure
            label="Speed"
            q={trace.tokensPerSecond === null ? noValue : plain(trace.tokensPerSecond, "tok/s")}
            align="right"
          />
        </>
      }
    />
  );
}

function tokenPair(trace: Trace) {
  if (trace.inputTokens === null && trace.outputTokens === null) return noValue;
  return {
    value: `${say(count(trace.inputTokens))} → ${say(count(trace.outputTokens))}`,
    unit: "",
  };
}

const phaseClass: Readonly<Record<WhyPhase, string | undefined>> = {
  queue: styles.queue,
  prefill: styles.prefill,
  decode: styles.decode,
  other: styles.other,
};

export function WhyLine({ trace, toldBy }: HeaderProps): ReactNode {
  const parts = whyParts(trace);
  return (
    <div className={styles.why}>
      <span className={styles.whyLabel}>Why</span>
      {parts.length === 0 ? (
        <span className={styles.unknown}>
          {whyNoPhases({
            isCall: trace.principalSpanId !== null,
            byCaller: toldBy === "caller",
            engine: trace.engine,
          })}
        </span>
      ) : (
        <div
          className={styles.bar}
          role="img"
          aria-label={parts
            .map((p) => `${p.phase} ${say(durationMs(p.ms))}, ${say(percent(p.share))}`)
            .join("; ")}
        >
          {parts.map((part) => (
            <div
              key={part.phase}
              className={`${styles.part} ${phaseClass[part.phase]}`}
              style={{ flexGrow: part.share }}
              title={`${part.phase} ${say(durationMs(part.ms))} · ${say(percent(part.share))}`}
            >
              <span className={styles.partText}>
                {part.phase} {say(durationMs(part.ms))} · {say(percent(part.share))}
              </span>
            </div>
          ))}
        </div>
      )}
      <span className={styles.peers}>
        {trace.peers === null ? (
          whySentence(parts)
        ) : (
          <>
            {rankedCall(trace.durationNs, trace.peers.durationMs)}slower than{" "}
            <b>{say(percent(trace.peers.percentile / 100))}</b> of{" "}
            {plural(trace.peers.count, "call")} of this model, median{" "}
            {say(durationMs(trace.peers.medianMs))}
          </>
        )}
      </span>
    </div>
  );
}
