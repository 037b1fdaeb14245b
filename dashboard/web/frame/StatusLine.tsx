/**
 * The last line: how fresh the data are, what the newest query cost, the time zone, hints.
 */
import { useRouterState } from "@tanstack/react-router";
import { useEffect, useState, type ReactNode } from "react";
import { lastQuery } from "../data/client.ts";
import { every, nowMs } from "../data/clock.ts";
import { ago, count, durationMs, say, timeMs } from "../data/format.ts";
import { chooseZone, zone as zoneStore } from "../data/preferences.ts";
import { livePeriodMs } from "../data/live.ts";
import { useEndpoint, useStore } from "../data/queries.ts";
import { modK } from "../data/shortcuts.ts";
import { Dot, type Tone } from "../ui/Badge.tsx";
import styles from "./StatusLine.module.css";

const hints: Readonly<Record<string, string>> = {
  overview: "drag a box on the heat map · t time · ? help",
  requests: "j k move · Enter open · / filter · ? help",
  trace: "w s zoom · a d pan · 0 fit · n match · e error · ? help",
  fleet: "← ↑ ↓ → move · 1–6 metric · Enter open · ? help",
};

/** Older than this, a stream that should be live is called quiet. */
const quietMs = 60_000;

export function StatusLine(): ReactNode {
  const path = useRouterState({ select: (state) => state.location.pathname });
  const query = useStore(lastQuery);
  const zone = useStore(zoneStore);
  const [, first = "", second = ""] = path.split("/");
  const hint =
    hints[first === "requests" && second !== "" ? "trace" : first] ?? `? help · ${modK} palette`;
  return (
    <footer className={styles.line}>
      <Freshness />
      {query === undefined ? null : (
        <span className={styles.query}>
          query {say(durationMs(Math.round(query.wallMs)))}
          {query.rowsRead === undefined ? "" : ` · ${say(count(query.rowsRead))} rows`}
        </span>
      )}
      <button
        type="button"
        className={styles.zone}
        title="Switch between local time and UTC"
        onClick={() => {
          chooseZone(zone === "utc" ? "local" : "utc");
        }}
      >
        {zone === "utc" ? "UTC" : localZoneName}
      </button>
      <span className={styles.space} />
      <span className={styles.hint}>{hint}</span>
    </footer>
  );
}

function Freshness(): ReactNode {
  const system = useEndpoint("getSystem", {}, { everyMs: livePeriodMs.system });
  const [now, setNow] = useState(nowMs);
  useEffect(
    () =>
      every(1000, () => {
        setNow(nowMs());
      }),
    [],
  );
  const [tone, text] = freshness(system.isError, system.data?.ingest.lastSpanAt, now);
  return (
    <span className={styles.fresh}>
      <Dot tone={tone} />
      {text}
    </span>
  );
}

function freshness(
  failed: boolean,
  lastSpanAt: string | null | undefined,
  now: number,
): readonly [Tone, string] {
  if (failed) return ["crit", "not connected"];
  if (lastSpanAt === undefined) return ["idle", "connecting"];
  if (lastSpanAt === null) return ["idle", "nothing received yet"];
  const lastMs = timeMs(lastSpanAt);
  return [now - lastMs < quietMs ? "ok" : "warn", `last span ${ago(lastMs, now)}`];
}

/** Once: making a formatter takes tens of milliseconds. */
const localZoneName = readZoneName();

function readZoneName(): string {
  const text = new Date(nowMs()).toTimeString();
  const offset = /GMT[+-]\d{4}/.exec(text)?.[0] ?? "";
  return offset === "GMT+0000"
    ? "UTC (local)"
    : offset === ""
      ? "local"
      : `UTC${offset.slice(3, 6)}:${offset.slice(6)}`;
}
