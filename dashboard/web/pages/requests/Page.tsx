/**
 * The requests: facets with counts at the left, one row per request with its phases.
 */
import { useNavigate } from "@tanstack/react-router";
import { SlidersHorizontal } from "lucide-react";
import { useMemo, useState, type ReactNode } from "react";
import { useEndpoint, useRefresh } from "../../data/queries.ts";
import { carry, useScope, useUrlState, type Scope } from "../../data/url.ts";
import { useKeymap } from "../../data/use-keymap.ts";
import { Button, Segmented } from "../../ui/Button.tsx";
import { EmptyState, ProblemView, SkeletonRows } from "../../ui/State.tsx";
import { FacetColumn } from "./FacetColumn.tsx";
import styles from "./Page.module.css";
import { RequestList } from "./RequestList.tsx";
import { sortFromUrl, useRequestRows } from "./use-request-rows.ts";

export function Page(): ReactNode {
  const [url, setUrl] = useUrlState();
  const all = useScope(url);
  const shown = useShown(all, url.show);
  const scope = useMemo(
    () => (shown === "calls" ? { ...all, query: { ...all.query, calls: "true" } } : all),
    [all, shown],
  );
  const navigate = useNavigate();
  const refresh = useRefresh();
  const [showFacets, setShowFacets] = useState(false);
  const sort = sortFromUrl(url.sort);
  const list = useRequestRows(scope, sort);
  const open = (traceId: string): void => {
    void navigate({ to: "/requests/$traceId", params: { traceId }, search: carry(url) });
  };
  const selectedIndex = list.rows.findIndex((row) => row.traceId === url.selected);
  const move = (step: number): void => {
    const next = list.rows[Math.min(list.rows.length - 1, Math.max(0, selectedIndex + step))];
    if (next) setUrl({ selected: next.traceId }, { replace: true });
    if (selectedIndex + step >= list.rows.length - 5) list.more();
  };
  useKeymap({
    j: () => {
      move(1);
    },
    k: () => {
      move(-1);
    },
    arrowdown: () => {
      move(1);
    },
    arrowup: () => {
      move(-1);
    },
    enter: () => {
      if (url.selected !== "") open(url.selected);
    },
    o: () => {
      if (url.selected !== "") window.open(`/requests/${url.selected}`, "_blank", "noopener");
    },
    escape: () => {
      setUrl({ selected: "" }, { replace: true });
    },
  });
  return (
    <div className={styles.page}>
      <div className={showFacets ? styles.facetsOpen : styles.facets}>
        <FacetColumn
          scope={scope}
          filter={url.filter}
          onFilter={(filter) => {
            setUrl({ filter });
          }}
        />
      </div>
      <div className={styles.main}>
        <div className={styles.bar}>
          <Button
            className={styles.facetButton}
            aria-expanded={showFacets}
            onClick={() => {
              setShowFacets(!showFacets);
            }}
          >
            <SlidersHorizontal size={14} aria-hidden="true" /> Facets
          </Button>
          <h1 className={styles.title}>Requests</h1>
          <Segmented
            label="Which requests"
            look="boxed"
            value={shown}
            options={choices}
            onChange={(show) => {
              setUrl({ show, selected: "" });
            }}
          />
          <span className={styles.note} role="status">
            {list.status === "ready" ? listNote(list.rows.length, list.complete) : ""}
          </span>
          {scope.live && list.waiting > 0 ? (
            <Button onClick={list.showNew}>{list.waiting} new</Button>
          ) : null}
        </div>
        {list.status === "error" ? (
          <ProblemView
            what="The list could not be loaded."
            error={list.error}
            onRetry={() => {
              refresh("listTraces");
            }}
          />
        ) : list.status === "loading" ? (
          <SkeletonRows rows={24} height={30} />
        ) : list.rows.length === 0 ? (
          <NoRequests
            filtered={url.filter !== ""}
            callsOnly={shown === "calls"}
            onAll={() => {
              setUrl({ show: "all" });
            }}
            onClear={() => {
              setUrl({ filter: "" });
            }}
            onWiden={() => {
              setUrl({ range: { from: "-7d", to: "now" } });
            }}
          />
        ) : (
          <RequestList
            list={list}
            sort={sort}
            selected={url.selected}
            onSort={(next) => {
              setUrl({ sort: next });
            }}
            onSelect={(traceId) => {
              setUrl({ selected: traceId }, { replace: true });
            }}
            onOpen={open}
            search={carry(url)}
          />
        )}
      </div>
    </div>
  );
}

const choices = [
  { value: "calls", label: "Model calls" },
  { value: "all", label: "Everything" },
] as const;
type Shown = (typeof choices)[number]["value"];

/** Model calls, unless the person chose or the range has none: health checks would drown them. */
function useShown(scope: Scope, chosen: string): Shown {
  const { from, to } = scope.query;
  const probe = useEndpoint(
    "listTraces",
    { query: { from, to, calls: "true", limit: 1 } },
    { enabled: chosen === "", everyMs: scope.live ? 10_000 : undefined },
  );
  if (chosen === "calls" || chosen === "all") return chosen;
  return probe.data?.items.length === 0 ? "all" : "calls";
}

function listNote(shown: number, complete: boolean): string {
  return complete
    ? `${shown.toLocaleString("en-US")} in the range`
    : `first ${shown.toLocaleString("en-US")}, scroll for more`;
}

function NoRequests(props: {
  readonly filtered: boolean;
  readonly callsOnly: boolean;
  readonly onClear: () => void;
  readonly onAll: () => void;
  readonly onWiden: () => void;
}): ReactNode {
  const start = useEndpoint("getStart");
  const navigate = useNavigate();
  if (start.data && start.data.firstSpanAt === null) {
    return (
      <EmptyState
        title="Nothing has been received yet"
        actions={
          <Button tone="primary" onClick={() => void navigate({ to: "/start", search: {} })}>
            Send the first span
          </Button>
        }
      >
        Point an OpenTelemetry client at this address and its calls appear here within two seconds.
      </EmptyState>
    );
  }
  return props.filtered || props.callsOnly ? (
    <EmptyState
      title={props.filtered ? "No request matches" : "No model call in this range"}
      actions={
        <>
          {props.filtered ? <Button onClick={props.onClear}>Clear the filter</Button> : null}
          {props.callsOnly ? <Button onClick={props.onAll}>Show everything</Button> : null}
        </>
      }
    >
      {props.callsOnly
        ? "Only requests with a model call are listed just now."
        : "Nothing in this range fits the filter. The facets show which values exist."}
    </EmptyState>
  ) : (
    <EmptyState
      title="No requests in this range"
      actions={<Button onClick={props.onWiden}>Last 7 d</Button>}
    >
      Requests have arrived before, but none in the chosen time.
    </EmptyState>
  );
}
