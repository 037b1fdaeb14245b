/**
 * ⌘K, Ctrl K: go to a page, set the range, paste an id, do things. Loaded when first opened.
 */
import { useNavigate } from "@tanstack/react-router";
import { Command } from "cmdk";
import { useState, type ReactNode } from "react";
import { nowMs } from "../data/clock.ts";
import { clock, duration, say, timeMs } from "../data/format.ts";
import {
  chooseTheme,
  chooseZone,
  zone as zoneStore,
  type ThemeChoice,
} from "../data/preferences.ts";
import { useEndpoint, useStore } from "../data/queries.ts";
import { around, parseHumanTime, presets } from "../data/time.ts";
import { carry, useScope, useUrlState } from "../data/url.ts";
import { requestUrl } from "../data/client.ts";
import { copyText } from "../ui/CopySnippet.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import styles from "./Palette.module.css";

export interface PaletteProps {
  readonly open: boolean;
  readonly onOpenChange: (open: boolean) => void;
  readonly onHelp: () => void;
}

const pages = [
  ["/overview", "Overview", "g o"],
  ["/requests", "Requests", "g r"],
  ["/fleet", "GPUs", "g f"],
  ["/start", "Start: send data", "g b"],
  ["/system", "System", "g y"],
  ["/settings", "Settings: tenants, keys, usage", "g s"],
] as const;
const themes: readonly ThemeChoice[] = ["system", "dark", "light"];

export function Palette({ open, onOpenChange, onHelp }: PaletteProps): ReactNode {
  const [text, setText] = useState("");
  const [url, setUrl] = useUrlState();
  const scope = useScope(url);
  const navigate = useNavigate();
  const zone = useStore(zoneStore);
  const recent = useEndpoint(
    "listTraces",
    { query: { ...scope.query, limit: 6 } },
    { enabled: open && scope.ready },
  );
  const done = (action: () => void) => () => {
    onOpenChange(false);
    setText("");
    action();
  };
  const traceId = /\b[0-9a-f]{32}\b/i.exec(text)?.[0].toLowerCase();
  const device = /\b(GPU|MIG)-[0-9a-f-]{8,}/i.exec(text)?.[0];
  const instant = text.trim().length >= 4 ? parseHumanTime(text, nowMs(), zone) : undefined;
  const apiUrl = `${window.location.origin}${requestUrl("/api/v1/traces", { query: scope.query })}`;
  return (
    <Dialog open={open} onOpenChange={onOpenChange} title="Command palette" hideTitle wide top>
      <Command className={styles.command} label="Command palette" loop>
        <Command.Input
          className={styles.input}
          value={text}
          onValueChange={setText}
          placeholder="Go to, do, or paste a trace id, device or time"
        />
        <Command.List className={styles.list}>
          <Command.Empty className={styles.empty}>Nothing matches.</Command.Empty>
          {traceId === undefined ? null : (
            <Item
              value={text}
              onSelect={done(
                () =>
                  void navigate({
                    to: "/requests/$traceId",
                    params: { traceId },
                    search: carry(url),
                  }),
              )}
              note="Enter"
            >
              Open request <code>{traceId}</code>
            </Item>
          )}
          {device === undefined ? null : (
            <Item
              value={text}
              onSelect={done(
                () =>
                  void navigate({
                    to: "/requests",
                    search: carry(url, { filter: `gpu:${device}` }),
                  }),
              )}
              note="Enter"
            >
              Requests on <code>{device}</code>
            </Item>
          )}
          {instant === undefined ? null : (
            <Item
              value={text}
              onSelect={done(() => {
                setUrl({ range: around(instant) });
              })}
              note="time"
            >
              Around {text.trim()}
            </Item>
          )}
          <Command.Group heading="Go to" className={styles.group}>
            {pages.map(([to, label, keysText]) => (
              <Item
                key={to}
                value={`go ${label}`}
                note={keysText}
                onSelect={done(() => void navigate({ to, search: carry(url) }))}
              >
                {label}
              </Item>
            ))}
          </Command.Group>
          <Command.Group heading="Recent requests" className={styles.group}>
            {(recent.data?.items ?? []).map((row) => (
              <Item
                key={row.traceId}
                value={`request ${row.name} ${row.model} ${row.traceId}`}
                note={`${say(duration(row.durationNs))} · ${clock(timeMs(row.startTime), zone)}`}
                onSelect={done(
                  () =>
                    void navigate({
                      to: "/requests/$traceId",
                      params: { traceId: row.traceId },
                      search: carry(url),
                    }),
                )}
              >
                {row.name} <span className={styles.muted}>{row.model}</span>
              </Item>
            ))}
          </Command.Group>
          <Command.Group heading="Do" className={styles.group}>
            {presets.map((preset) => (
              <Item
                key={preset.from}
                value={`range ${preset.label}`}
                onSelect={done(() => {
                  setUrl({ range: { from: preset.from, to: "now" } });
                })}
              >
                Range: {preset.label.toLowerCase()}
              </Item>
            ))}
            <Item
              value="show only errors"
              onSelect={done(
                () =>
                  void navigate({
                    to: "/requests",
                    search: carry(url, { filter: "status:error" }),
                  }),
              )}
            >
              Show failed requests
            </Item>
            <Item value="copy link" onSelect={done(() => void copyText(window.location.href))}>
              Copy link to this view
            </Item>
            <Item value="copy as curl" onSelect={done(() => void copyText(`curl '${apiUrl}'`))}>
              Copy the list as curl
            </Item>
            {themes.map((choice) => (
              <Item
                key={choice}
                value={`theme ${choice}`}
                onSelect={done(() => {
                  chooseTheme(choice);
                })}
              >
                Theme: {choice}
              </Item>
            ))}
            <Item
              value="time zone utc local"
              onSelect={done(() => {
                chooseZone(zone === "utc" ? "local" : "utc");
              })}
            >
              Times in {zone === "utc" ? "local time" : "UTC"}
            </Item>
            <Item value="help keyboard shortcuts" note="?" onSelect={done(onHelp)}>
              Keyboard and filter help
            </Item>
          </Command.Group>
        </Command.List>
      </Command>
    </Dialog>
  );
}

function Item(props: {
  readonly value: string;
  readonly onSelect: () => void;
  readonly note?: string;
  readonly children: ReactNode;
}): ReactNode {
  return (
    <Command.Item value={props.value} onSelect={props.onSelect} className={styles.item}>
      <span className={styles.what}>{props.children}</span>
      {props.note === undefined ? null : <span className={styles.muted}>{props.note}</span>}
    </Command.Item>
  );
}
