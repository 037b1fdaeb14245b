/**
 * The first steps: send something, see it arrive, look at it. Or let the demo do it.
 */
import { Link } from "@tanstack/react-router";
import { Check } from "lucide-react";
import { useState, type ReactNode } from "react";
import type { Start } from "@axonize/core/contract/system";
import { nowMs } from "../../data/clock.ts";
import { clock, duration, say, timeMs } from "../../data/format.ts";
import { zone as zoneStore } from "../../data/preferences.ts";
import { useEndpoint, useRefresh, useStore } from "../../data/queries.ts";
import { carry, useUrlState } from "../../data/url.ts";
import { Segmented } from "../../ui/Button.tsx";
import { CopySnippet } from "../../ui/CopySnippet.tsx";
import { ProblemView, SkeletonRows } from "../../ui/State.tsx";
import type { Arrival } from "./arrivals.ts";
import styles from "./Page.module.css";
import { snippets } from "./snippets.ts";
import { useArrivals } from "./use-arrivals.ts";

export function Page(): ReactNode {
  const start = useEndpoint("getStart", {}, { everyMs: 5_000 });
  const refresh = useRefresh();
  if (start.isError && !start.data) {
    return (
      <ProblemView
        what="The first steps could not be loaded."
        error={start.error}
        onRetry={() => {
          refresh("getStart");
        }}
      />
    );
  }
  return (
    <div className={styles.page}>
      <header className={styles.head}>
        <h1 className={styles.title}>Send your first call</h1>
        <p className={styles.lead}>
          Axonize takes OpenTelemetry. What you send is here within two seconds, nothing leaves this
          installation.
        </p>
      </header>
      {start.data ? <Steps start={start.data} /> : <SkeletonRows rows={9} height={44} />}
    </div>
  );
}

function Steps({ start }: { readonly start: Start }): ReactNode {
  const { arrivals, streaming } = useArrivals();
  const received = start.firstSpanAt !== null || arrivals.length > 0;
  return (
    <ol className={styles.steps}>
      <Step n={1} title="Point a client here" done={received}>
        <Endpoints start={start} />
        <Send start={start} />
      </Step>
      <Step
        n={2}
        title={received ? "Spans are arriving" : "Waiting for the first span"}
        done={received}
      >
        <Console arrivals={arrivals} streaming={streaming} start={start} />
      </Step>
      <Step n={3} title="Look at it" done={false}>
        <Next start={start} arrivals={arrivals} />
      </Step>
    </ol>
  );
}

function Step(props: {
  readonly n: number;
  readonly title: string;
  readonly done: boolean;
  readonly children: ReactNode;
}): ReactNode {
  return (
    <li className={styles.step}>
      <span className={props.done ? styles.done : styles.number} aria-hidden="true">
        {props.done ? <Check size={14} strokeWidth={2.5} /> : props.n}
      </span>
      <div className={styles.stepBody}>
        <h2 className={styles.stepTitle}>
          {props.title}
          <span className="visually-hidden">{props.done ? " (done)" : ""}</span>
        </h2>
        {props.children}
      </div>
    </li>
  );
}

function Endpoints({ start }: { readonly start: Start }): ReactNode {
  return (
    <p className={styles.endpoints}>
      <span>
        OTLP/HTTP <code>{start.otlpHttpEndpoint}</code>
      </span>
      <span>
        OTLP/gRPC <code>{start.otlpGrpcEndpoint}</code>
      </span>
      <span>
        {start.keyNeeded ? "a key is needed: Settings, Keys" : "no key needed from this machine"}
      </span>
      <span>
        content:{" "}
        {start.capture === "Full"
          ? "stored in full"
          : start.capture === "Redacted"
            ? "stored redacted"
            : "not stored"}
      </span>
    </p>
  );
}

function Send({ start }: { readonly start: Start }): ReactNode {
  const [madeMs] = useState(nowMs);
  const [id, setId] = useState("curl");
  const all = snippets(start, madeMs);
  const shown = all.find((snippet) => snippet.id === id) ?? all[0];
  if (!shown) return null;
  return (
    <>
      <Segmented
        look="boxed"
        label="How to send"
        value={shown.id}
        options={all.map((s) => ({ value: s.id, label: s.label }))}
        onChange={setId}
      />
      {shown.steps.map((step) => (
        <div key={step.title} className={styles.snippet}>
          <p className={styles.snippetTitle}>{step.title}</p>
          <CopySnippet code={step.code} label={step.title} />
        </div>
      ))}
      <p className={styles.note}>{shown.note}</p>
    </>
  );
}

function Console(props: {
  readonly arrivals: readonly Arrival[];
  readonly streaming: boolean;
  readonly start: Start;
}): ReactNode {
  const [url] = useUrlState();
  const zone = useStore(zoneStore);
  return (
    <div className={styles.console} role="log" aria-live="polite" aria-label="Arriving spans">
      {props.arrivals.map((arrival) => (
        <Link
          key={arrival.traceId}
          to="/requests/$traceId"
          params={{ traceId: arrival.traceId }}
          search={carry(url)}
          className={styles.arrival}
        >
          <span className={styles.time}>
            {arrival.startTime === "" ? "" : clock(timeMs(arrival.startTime), zone)}
          </span>
          <span className={styles.what}>
            <b>{arrival.name}</b> {arrival.model}{" "}
            {arrival.durationNs === undefined ? "" : say(duration(arrival.durationNs))}
          </span>
          <span className={styles.from}>
            {arrival.service === "" ? "" : `from ${arrival.service}`}
          </span>
          <span className={styles.open}>Open</span>
        </Link>
      ))}
      <p className={styles.waiting}>
        <span className={styles.pulse} aria-hidden="true" />
        {props.arrivals.length > 0
          ? "listening for more"
          : props.start.firstSpanAt === null
            ? "listening, nothing yet"
            : "listening; earlier spans are under Requests"}
        {props.streaming ? "" : " (asking every 2 s)"}
      </p>
    </div>
  );
}

function Next({
  start,
  arrivals,
}: {
  readonly start: Start;
  readonly arrivals: readonly Arrival[];
}): ReactNode {
  const [url] = useUrlState();
  const newest = arrivals[0]?.traceId ?? start.firstTraceId;
  return (
    <>
      <div className={styles.links}>
        {newest === null ? null : (
          <Link
            className={styles.primary}
            to="/requests/$traceId"
            params={{ traceId: newest }}
            search={carry(url)}
          >
            Open this request
          </Link>
        )}
        <Link className={styles.link} to="/requests" search={carry(url)}>
          All requests
        </Link>
        <Link className={styles.link} to="/overview" search={carry(url)}>
          Overview
        </Link>
      </div>
      <p className={styles.note}>
        Nothing to instrument yet?{" "}
        <code>
          npm run demo
          {start.otlpHttpEndpoint.endsWith(":4318")
            ? ""
            : ` -- --endpoint ${start.otlpHttpEndpoint}`}
        </code>{" "}
        streams a made-up fleet through the same door: several models and engines, agents with
        tools, errors, and one incident worth finding. It is generated load, and its spans say so.
      </p>
    </>
  );
}
