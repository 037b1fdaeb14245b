/**
 * The top bar: whose data this is, where one is, the filter, the time range, live, the palette.
 *
 * Filter and range are shown only on pages that they apply to; a page may put its own field into
 * the slot (the span search of a request).
 */
import { Link, useRouterState } from "@tanstack/react-router";
import { Pause } from "lucide-react";
import type { ReactNode } from "react";
import { saveKeys, keys } from "../data/keys.ts";
import { useEndpoint, useRefresh, useStore } from "../data/queries.ts";
import { useSession } from "../data/session.ts";
import { modK } from "../data/shortcuts.ts";
import { topSlot } from "../data/top-slot.ts";
import { isRelative } from "../data/time.ts";
import { carry, useUrlState } from "../data/url.ts";
import { Dot } from "../ui/Badge.tsx";
import { Button } from "../ui/Button.tsx";
import { FilterField } from "./FilterField.tsx";
import styles from "./TopBar.module.css";
import { Progress } from "./Progress.tsx";
import { TimePicker } from "./TimePicker.tsx";

export type TopBarFocus = "filter" | "time" | undefined;

export interface TopBarProps {
  readonly focus: TopBarFocus;
  readonly onFocusChange: (focus: TopBarFocus) => void;
  readonly onPalette: () => void;
}

/** Pages below the rail, and what of the bar applies to them. */
const bars: Readonly<
  Record<string, { readonly title: string; readonly filter: string; readonly time: boolean }>
> = {
  start: { title: "Start", filter: "", time: false },
  overview: {
    title: "Overview",
    filter: "filter everything, model:llama* status:error dur>500ms",
    time: true,
  },
  requests: {
    title: "Requests",
    filter: "filter requests, model:llama* status:error dur>500ms",
    time: true,
  },
  fleet: { title: "GPUs", filter: "filter devices, H100 node-7", time: true },
  settings: { title: "Settings", filter: "", time: false },
  system: { title: "System", filter: "", time: false },
};

export function TopBar({ focus, onFocusChange, onPalette }: TopBarProps): ReactNode {
  const [url, setUrl] = useUrlState();
  const path = useRouterState({ select: (state) => state.location.pathname });
  const [, first = "", second = "", third = ""] = path
    .split("/")
    .map((part) => decodeURIComponent(part));
  const bar = bars[first] ?? { title: "", filter: "", time: false };
  const isTrace = first === "requests" && second !== "";
  const isDevice = first === "fleet" && third !== "";
  return (
    <header className={styles.bar}>
      <Progress />
      <div className={styles.crumbs}>
        <ScopePicker />
        <span className={styles.separator}>›</span>
        {isTrace || isDevice ? (
          <>
            <Link
              className={styles.crumbLink}
              to={isTrace ? "/requests" : "/fleet"}
              search={carry(url)}
            >
              {bar.title}
            </Link>
            <span className={styles.separator}>›</span>
            <span className={styles.here}>
              {isTrace ? (
                <code>{second.slice(0, 8)}</code>
              ) : (
                <DeviceCrumb node={second} uuid={third} />
              )}
            </span>
          </>
        ) : (
          <span className={styles.here}>{bar.title}</span>
        )}
      </div>
      {isTrace || isDevice || bar.filter === "" ? (
        <div ref={fillTopSlot} className={styles.slot} />
      ) : (
        <FilterField
          value={url.filter}
          placeholder={bar.filter}
          from={url.range.from}
          to={url.range.to}
          focused={focus === "filter"}
          onFocusDone={() => {
            onFocusChange(undefined);
          }}
          onApply={(filter) => {
            if (filter !== url.filter) setUrl({ filter });
          }}
        />
      )}
      {bar.time && !isTrace ? (
        <>
          <TimePicker
            range={url.range}
            open={focus === "time"}
            onOpenChange={(open) => {
              onFocusChange(open ? "time" : undefined);
            }}
            onChange={(range) => {
              setUrl({ range, box: undefined });
            }}
          />
          <LiveButton
            live={url.live && isRelative(url.range)}
            onToggle={() => {
              setUrl(
                isRelative(url.range)
                  ? { live: !url.live }
                  : { live: true, range: { from: "-1h", to: "now" } },
              );
            }}
          />
        </>
      ) : null}
      <Button className={styles.palette} aria-label="Command palette" onClick={onPalette}>
        <span className={styles.paletteKey}>{modK}</span>
      </Button>
    </header>
  );
}

function LiveButton({
  live,
  onToggle,
}: {
  readonly live: boolean;
  readonly onToggle: () => void;
}): ReactNode {
  return (
    <Button
      className={styles.live}
      aria-pressed={live}
      aria-label="Live"
      title={live ? "Live: press l to pause" : "Paused: press l for live"}
      onClick={onToggle}
    >
      {live ? <Dot tone="ok" /> : <Pause size={12} aria-hidden="true" />}
      <span className={styles.liveWord}>{live ? "Live" : "Paused"}</span>
    </Button>
  );
}

/** The tenant's name; an administrator without a tenant of their own chooses one. */
function ScopePicker(): ReactNode {
  const session = useSession();
  const { tenant } = useStore(keys);
  const refresh = useRefresh();
  const all = useEndpoint("listTenants", {}, { enabled: session.admin });
  const choices = session.admin ? (all.data?.items ?? []) : session.tenants;
  if (choices.length === 0 || (!session.admin && choices.length === 1)) {
    return <span className={styles.scope}>{session.tenant?.id ?? "no tenant"}</span>;
  }
  return (
    <select
      className={styles.select}
      aria-label="Tenant"
      value={tenant === "" ? (session.tenant?.id ?? "") : tenant}
      onChange={(event) => {
        saveKeys({ tenant: event.target.value });
        refresh();
      }}
    >
      {session.tenant === null && tenant === "" ? <option value="">Choose a tenant</option> : null}
      {choices.map((item) => (
        <option key={item.id} value={item.id}>
          {item.id}
        </option>
      ))}
    </select>
  );
}

function DeviceCrumb({ node, uuid }: { readonly node: string; readonly uuid: string }): ReactNode {
  return (
    <>
      {node === "-" ? "" : `${node} / `}
      <code>{uuid.slice(0, 12)}</code>
    </>
  );
}

function fillTopSlot(element: HTMLDivElement | null): void {
  topSlot.set(element);
}
