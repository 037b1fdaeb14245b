/**
 * The one time range of the application: presets, absolute, or a pasted timestamp.
 */
import { Clock } from "lucide-react";
import { useState, type ReactNode } from "react";
import { nowMs } from "../data/clock.ts";
import { dateTime } from "../data/format.ts";
import { zone as zoneStore } from "../data/preferences.ts";
import { useStore } from "../data/queries.ts";
import {
  absolute,
  around,
  parseHumanTime,
  presets,
  rangeLabel,
  resolveRange,
  spanLabel,
} from "../data/time.ts";
import type { UrlRange } from "../data/url-state.ts";
import { Button, Kbd } from "../ui/Button.tsx";
import { Popover } from "../ui/Dialog.tsx";
import styles from "./TimePicker.module.css";

export interface TimePickerProps {
  readonly range: UrlRange;
  readonly open: boolean;
  readonly onOpenChange: (open: boolean) => void;
  readonly onChange: (range: UrlRange) => void;
}

export function TimePicker({ range, open, onOpenChange, onChange }: TimePickerProps): ReactNode {
  const zone = useStore(zoneStore);
  const now = nowMs();
  const label = rangeLabel(range, now, zone);
  const span = spanLabel(resolveRange(range, now), zone);
  const choose = (next: UrlRange): void => {
    onChange(next);
    onOpenChange(false);
  };
  return (
    <Popover
      open={open}
      onOpenChange={onOpenChange}
      align="end"
      label="Time range"
      trigger={
        <Button className={styles.trigger} aria-label={`Time range: ${label}`}>
          <Clock size={14} aria-hidden="true" />
          {label}
          {label === span ? null : <span className={styles.span}>{span}</span>}
          <span className={styles.key}>
            <Kbd>t</Kbd>
          </span>
        </Button>
      }
    >
      <div className={styles.panel}>
        <div className={styles.presets}>
          {presets.map((preset) => (
            <button
              key={preset.from}
              type="button"
              className={styles.preset}
              aria-pressed={range.from === preset.from && range.to === "now"}
              onClick={() => {
                choose({ from: preset.from, to: "now" });
              }}
            >
              {preset.label}
            </button>
          ))}
        </div>
        <AbsoluteForm range={range} onChoose={choose} />
      </div>
    </Popover>
  );
}

function AbsoluteForm({
  range,
  onChoose,
}: {
  readonly range: UrlRange;
  readonly onChoose: (range: UrlRange) => void;
}): ReactNode {
  const zone = useStore(zoneStore);
  const [resolved] = useState(() => resolveRange(range, nowMs()));
  const [from, setFrom] = useState(dateTime(resolved.fromMs, zone));
  const [to, setTo] = useState(dateTime(resolved.toMs, zone));
  const [pasted, setPasted] = useState("");
  const fromMs = parseHumanTime(from, nowMs(), zone);
  const toMs = to.trim() === "now" ? nowMs() : parseHumanTime(to, nowMs(), zone);
  const instant = pasted.trim() === "" ? undefined : parseHumanTime(pasted, nowMs(), zone);
  const valid = fromMs !== undefined && toMs !== undefined && fromMs < toMs;
  return (
    <div className={styles.forms}>
      <form
        className={styles.form}
        onSubmit={(event) => {
          event.preventDefault();
          if (!valid) return;
          onChoose(
            to.trim() === "now" ? { from: String(fromMs), to: "now" } : absolute({ fromMs, toMs }),
          );
        }}
      >
        <label className={styles.label}>
          From
          <input
            className={styles.input}
            value={from}
            spellCheck={false}
            onChange={(e) => {
              setFrom(e.target.value);
            }}
          />
        </label>
        <label className={styles.label}>
          To
          <input
            className={styles.input}
            value={to}
            spellCheck={false}
            onChange={(e) => {
              setTo(e.target.value);
            }}
          />
        </label>
        <div className={styles.row}>
          <span className={styles.help}>
            {zone === "utc" ? "UTC" : "Local time"}; also −2h, now
          </span>
          <Button type="submit" tone="primary" disabled={!valid}>
            Apply
          </Button>
        </div>
      </form>
      <form
        className={styles.form}
        onSubmit={(event) => {
          event.preventDefault();
          if (instant !== undefined) onChoose(around(instant));
        }}
      >
        <label className={styles.label}>
          Around a timestamp
          <input
            className={styles.input}
            value={pasted}
            placeholder="paste any: 2026-11-25T14:02:11Z, 1764079331"
            spellCheck={false}
            onChange={(e) => {
              setPasted(e.target.value);
            }}
          />
        </label>
        <div className={styles.row}>
          <span className={styles.help} role="status">
            {pasted.trim() === ""
              ? "10 min before to 5 min after"
              : instant === undefined
                ? "Not a time"
                : dateTime(instant, zone)}
          </span>
          <Button type="submit" disabled={instant === undefined}>
            Go
          </Button>
        </div>
      </form>
    </div>
  );
}
