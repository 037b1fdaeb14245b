/**
 * The selected span: attributes, input and output, events, where it ran. Loaded on demand; what was
 * not captured, or has expired, says so.
 */
import { Link } from "@tanstack/react-router";
import { X } from "lucide-react";
import { useState, type ReactNode } from "react";
import type { SpanDetail, Trace } from "@axonize/core/contract/trace";
import { clock, duration, durationMs, say, timeMs } from "../../data/format.ts";
import { levelWords } from "../../data/level.ts";
import { zone as zoneStore } from "../../data/preferences.ts";
import { useEndpoint, useRefresh, useStore } from "../../data/queries.ts";
import { carry, useUrlState } from "../../data/url.ts";
import { StatusText } from "../../ui/Badge.tsx";
import { Segmented } from "../../ui/Button.tsx";
import { CopyButton } from "../../ui/CopySnippet.tsx";
import { ProblemView, SkeletonRows } from "../../ui/State.tsx";
import { AttributeTable, Content } from "./Attributes.tsx";
import styles from "./Detail.module.css";
import { Devices } from "./Devices.tsx";

export const detailTabs = [
  { value: "attributes", label: "Attributes" },
  { value: "content", label: "Input / output" },
  { value: "events", label: "Events" },
  { value: "resource", label: "Resource" },
] as const;
export type DetailTab = (typeof detailTabs)[number]["value"];

export interface DetailProps {
  readonly trace: Trace;
  readonly spanId: string;
  readonly tab: DetailTab;
  readonly onTab: (tab: DetailTab) => void;
  readonly onClose: () => void;
}

export function Detail({ trace, spanId, tab, onTab, onClose }: DetailProps): ReactNode {
  const span = useEndpoint("getSpan", { params: { traceId: trace.traceId, spanId } });
  const refresh = useRefresh();
  const detail = span.data;
  return (
    <aside className={styles.detail} aria-label="Selected span">
      <div className={styles.head}>
        <div className={styles.headText}>
          <h2 className={styles.name} title={detail?.name}>
            {detail?.name ?? "…"}
          </h2>
          <div className={styles.sub}>
            {detail ? (
              <>
                {detail.service === "" ? "" : `${detail.service} · `}
                {detail.kind} · {say(duration(detail.durationNs))}{" "}
                {detail.status === "unset" ? null : <StatusText status={detail.status} />}
              </>
            ) : (
              "Loading"
            )}
          </div>
        </div>
        <button
          type="button"
          className={styles.close}
          aria-label="Close the detail"
          onClick={onClose}
        >
          <X size={16} aria-hidden="true" />
        </button>
      </div>
      <div className={styles.tabs}>
        <Segmented
          label="Detail"
          value={tab}
          options={detailTabs.map(({ value, label }) => ({
            value,
            label: tabLabel(value, label, detail),
          }))}
          onChange={onTab}
        />
      </div>
      {/* Focusable: it scrolls, and must by keyboard, too. */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div className={styles.body} tabIndex={0} role="region" aria-label="Span detail">
        {span.isError && !detail ? (
          <ProblemView
            compact
            what="The span could not be loaded."
            error={span.error}
            onRetry={() => {
              refresh("getSpan");
            }}
          />
        ) : detail ? (
          <Body detail={detail} tab={tab} />
        ) : (
          <SkeletonRows rows={10} height={24} />
        )}
      </div>
    </aside>
  );
}

function tabLabel(tab: DetailTab, label: string, detail: SpanDetail | undefined): string {
  return tab === "events" && detail && detail.events.length > 0
    ? `${label} ${detail.events.length}`
    : label;
}

function Body({
  detail,
  tab,
}: {
  readonly detail: SpanDetail;
  readonly tab: DetailTab;
}): ReactNode {
  if (tab === "content") return <Content detail={detail} />;
  if (tab === "events") return <Events detail={detail} />;
  if (tab === "resource") {
    return (
      <>
        <AttributeTable values={detail.resource} expired={detail.payloadExpired} />
        <h3 className={styles.section}>Scope</h3>
        <AttributeTable
          values={{ name: detail.scope.name, version: detail.scope.version }}
          expired={false}
        />
      </>
    );
  }
  return (
    <>
      {detail.statusMessage === "" ? null : (
        <p className={styles.message}>{detail.statusMessage}</p>
      )}
      <Summary detail={detail} />
      <h3 className={styles.section}>Attributes</h3>
      <AttributeTable values={detail.attributes} expired={detail.payloadExpired} />
      <Links detail={detail} />
    </>
  );
}

/** What Axonize understood, before what was sent. */
function Summary({ detail }: { readonly detail: SpanDetail }): ReactNode {
  const tokens = [
    detail.inputTokens === null ? "" : `${detail.inputTokens.toLocaleString("en-US")} in`,
    detail.cachedTokens ? `${detail.cachedTokens.toLocaleString("en-US")} of them cached` : "",
    detail.outputTokens === null ? "" : `${detail.outputTokens.toLocaleString("en-US")} out`,
    detail.reasoningTokens
      ? `${detail.reasoningTokens.toLocaleString("en-US")} of them reasoning`
      : "",
  ].filter(Boolean);
  const facts: readonly (readonly [string, string])[] = [
    [
      "model",
      detail.model === ""
        ? ""
        : `${detail.model}${detail.modelSource === "span" || detail.modelSource === "none" ? "" : ` (from the ${detail.modelSource})`}`,
    ],
    ["engine", detail.engine],
    ["operation", detail.operation],
    [
      "TTFT",
      detail.ttftMs === null ? "" : `${say(durationMs(detail.ttftMs))} at the ${detail.ttftBasis}`,
    ],
    ["queue", detail.queueMs === null ? "" : say(durationMs(detail.queueMs))],
    ["prefill", detail.prefillMs === null ? "" : say(durationMs(detail.prefillMs))],
    ["decode", detail.decodeMs === null ? "" : say(durationMs(detail.decodeMs))],
    ["per token", detail.perTokenMs === null ? "" : say(durationMs(detail.perTokenMs))],
    ["tokens", tokens.join(", ")],
    ["finish", detail.finishReason],
    ["marks", detail.marks.join(", ")],
  ];
  const shown = facts.filter(([, value]) => value !== "");
  return (
    <dl className={styles.facts}>
      {shown.map(([name, value]) => (
        <div key={name} className={styles.fact}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
      {detail.gpus.length === 0 ? null : (
        <div className={styles.fact}>
          <dt>GPU</dt>
          <dd title={levelWords(detail.gpuLevel).long}>
            <Devices traceId={detail.traceId} uuids={detail.gpus} /> · {detail.gpuLevel}
          </dd>
        </div>
      )}
      <div className={styles.fact}>
        <dt>span id</dt>
        <dd>
          <code>{detail.spanId}</code> <CopyButton text={detail.spanId} label="Copy the span id" />
        </dd>
      </div>
    </dl>
  );
}

function Events({ detail }: { readonly detail: SpanDetail }): ReactNode {
  const zone = useStore(zoneStore);
  const startMs = timeMs(detail.startTime);
  if (detail.payloadExpired)
    return (
      <p className={styles.note}>Events have passed their retention; the span itself has not.</p>
    );
  if (detail.events.length === 0) return <p className={styles.note}>This span has no events.</p>;
  return (
    <ol>
      {Object.entries(detail.events).map(([place, event]) => (
        <li key={place} className={styles.event}>
          <div className={styles.eventHead}>
            <b>{event.name}</b>
            <span title={clock(timeMs(event.time), zone, "ms")}>
              +{say(durationMs(timeMs(event.time) - startMs))}
            </span>
          </div>
          <AttributeTable values={event.attributes} expired={false} />
        </li>
      ))}
    </ol>
  );
}

function Links({ detail }: { readonly detail: SpanDetail }): ReactNode {
  const [url] = useUrlState();
  const [all, setAll] = useState(false);
  if (detail.links.length === 0) return null;
  const shown = all ? detail.links : detail.links.slice(0, 10);
  return (
    <>
      <h3 className={styles.section}>Links</h3>
      <ul className={styles.links}>
        {shown.map((link) => (
          <li key={link.traceId + link.spanId}>
            <Link
              to="/requests/$traceId"
              params={{ traceId: link.traceId }}
              search={carry(url, { selected: link.spanId })}
              className={styles.link}
            >
              <code>{link.traceId}</code>
            </Link>
          </li>
        ))}
      </ul>
      {shown.length < detail.links.length ? (
        <button
          type="button"
          className={styles.link}
          onClick={() => {
            setAll(true);
          }}
        >
          Show all {detail.links.length}
        </button>
      ) : null}
    </>
  );
}
