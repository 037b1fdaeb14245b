/**
 * The search field of a request, shown in the top bar's slot: what matches stays bright, n and N go
 * from match to match.
 */
import { ChevronDown, ChevronUp, Search } from "lucide-react";
import { useRef, type ReactNode } from "react";
import { createPortal } from "react-dom";
import { useStore } from "../../data/queries.ts";
import { topSlot } from "../../data/top-slot.ts";
import { useKeymap } from "../../data/use-keymap.ts";
import { Kbd } from "../../ui/Button.tsx";
import field from "../../ui/SearchField.module.css";
import styles from "./SpanSearch.module.css";

export interface SpanSearchProps {
  readonly value: string;
  readonly total: number;
  readonly at: number;
  readonly onChange: (text: string) => void;
  readonly onNext: (step: 1 | -1) => void;
}

export function SpanSearch({ value, total, at, onChange, onNext }: SpanSearchProps): ReactNode {
  const slot = useStore(topSlot);
  const input = useRef<HTMLInputElement>(null);
  useKeymap({
    "/": () => {
      input.current?.focus();
      input.current?.select();
    },
  });
  if (!slot) return null;
  return createPortal(
    <search className={field.field}>
      <Search size={15} className={field.icon} aria-hidden="true" />
      <input
        ref={input}
        className={field.input}
        value={value}
        aria-label="Search spans"
        placeholder="search spans, status:error dur>500ms"
        spellCheck={false}
        onChange={(event) => {
          onChange(event.target.value);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") onNext(event.shiftKey ? -1 : 1);
          if (event.key === "Escape") {
            if (value === "") event.currentTarget.blur();
            else onChange("");
          }
        }}
      />
      {value.trim() === "" ? (
        <span className={field.hint}>
          <Kbd>/</Kbd>
        </span>
      ) : (
        <>
          <span className={styles.count} role="status">
            {total === 0 ? "no match" : at >= 0 ? `${at + 1} of ${total}` : `${total} matches`}
          </span>
          <button
            type="button"
            className={field.step}
            aria-label="Previous match"
            disabled={total === 0}
            onClick={() => {
              onNext(-1);
            }}
          >
            <ChevronUp size={14} aria-hidden="true" />
          </button>
          <button
            type="button"
            className={field.step}
            aria-label="Next match"
            disabled={total === 0}
            onClick={() => {
              onNext(1);
            }}
          >
            <ChevronDown size={14} aria-hidden="true" />
          </button>
        </>
      )}
    </search>,
    slot,
  );
}
