/**
 * The filter of the top bar: the query is editable text, with keys and values offered at the caret.
 *
 * Enter applies, Escape gives up the edit. A part that is not understood is named under the field
 * and the rest applies.
 */
import { Search, X } from "lucide-react";
import {
  useEffect,
  useId,
  useMemo,
  useRef,
  useState,
  type KeyboardEvent,
  type ReactNode,
} from "react";
import { parseFilter } from "../data/filter.ts";
import { useEndpoint } from "../data/queries.ts";
import { applyOption, tokenAt, wantedAt, type Option } from "../data/suggest.ts";
import { count, say } from "../data/format.ts";
import { Kbd } from "../ui/Button.tsx";
import field from "../ui/SearchField.module.css";
import styles from "./FilterField.module.css";

export interface FilterFieldProps {
  readonly value: string;
  readonly placeholder: string;
  readonly from: string;
  readonly to: string;
  readonly focused: boolean;
  readonly onFocusDone: () => void;
  readonly onApply: (text: string) => void;
}

export function FilterField(props: FilterFieldProps): ReactNode {
  const { value, onApply, focused, onFocusDone } = props;
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState(value);
  const [caret, setCaret] = useState(0);
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const listId = useId();
  const [applied, setApplied] = useState(value);
  // Another filter from outside (a facet, the back button) replaces the text.
  if (applied !== value) {
    setApplied(value);
    setText(value);
  }
  useEffect(() => {
    if (!focused) return;
    input.current?.focus();
    input.current?.select();
    onFocusDone();
  }, [focused, onFocusDone]);

  const token = tokenAt(text, caret);
  const options = useOptions(open, token.text, props.from, props.to);
  const problems = useMemo(() => parseFilter(text).problems, [text]);

  const apply = (next: string): void => {
    setText(next);
    setOpen(false);
    setActive(-1);
    onApply(next.trim());
  };
  const choose = (option: Option): void => {
    const next = applyOption(text, token, option);
    setText(next.text);
    setCaret(next.caret);
    setActive(-1);
    requestAnimationFrame(() => input.current?.setSelectionRange(next.caret, next.caret));
    if (option.complete) onApply(next.text.trim());
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (options.length === 0) return;
      event.preventDefault();
      setOpen(true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      setActive((before) => (before + step + options.length) % options.length);
    } else if (event.key === "Enter" || (event.key === "Tab" && active >= 0)) {
      const option = options[active];
      event.preventDefault();
      if (open && option) choose(option);
      else {
        apply(text);
        input.current?.blur();
      }
    } else if (event.key === "Escape") {
      event.stopPropagation();
      setText(value);
      setOpen(false);
      input.current?.blur();
    }
  };
  const shown = open && options.length > 0;
  return (
    <search className={field.field}>
      <Search size={15} className={field.icon} aria-hidden="true" />
      <input
        ref={input}
        className={`${field.input} ${styles.invalid}`}
        value={text}
        placeholder={props.placeholder}
        spellCheck={false}
        autoComplete="off"
        role="combobox"
        aria-label="Filter"
        aria-expanded={shown}
        aria-controls={listId}
        aria-autocomplete="list"
        aria-activedescendant={shown && active >= 0 ? `${listId}-${active}` : undefined}
        aria-invalid={problems.length > 0}
        onChange={(event) => {
          setText(event.target.value);
          setCaret(event.target.selectionStart ?? event.target.value.length);
          setOpen(true);
          setActive(-1);
        }}
        onSelect={(event) => {
          setCaret(event.currentTarget.selectionStart ?? 0);
        }}
        onFocus={() => {
          setOpen(true);
        }}
        onBlur={() => {
          setOpen(false);
          if (text.trim() !== value) onApply(text.trim());
        }}
        onKeyDown={onKeyDown}
      />
      {text === "" ? (
        <span className={field.hint}>
          <Kbd>/</Kbd>
        </span>
      ) : (
        <button
          type="button"
          className={field.step}
          aria-label="Clear the filter"
          onMouseDown={(event) => {
            event.preventDefault();
          }}
          onClick={() => {
            apply("");
          }}
        >
          <X size={14} aria-hidden="true" />
        </button>
      )}
      <div className={styles.drop} hidden={!shown && !(open && problems.length > 0)}>
        {problems.map((problem) => (
          <p key={problem.at} className={styles.problem} role="status">
            {problem.message}
          </p>
        ))}
        <div role="listbox" id={listId} aria-label="Suggestions">
          {options.map((option, index) => (
            // Keyboard: arrows and Enter in the field (aria-activedescendant).
            // oxlint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/interactive-supports-focus
            <div
              key={option.insert}
              id={`${listId}-${index}`}
              role="option"
              aria-selected={index === active}
              className={styles.option}
              onMouseDown={(event) => {
                event.preventDefault();
              }}
              onClick={() => {
                choose(option);
              }}
            >
              <code>{option.label}</code>
              <span className={styles.note}>{option.note}</span>
            </div>
          ))}
        </div>
      </div>
    </search>
  );
}

/** Options at the caret; values come from the facets of the range. */
function useOptions(open: boolean, tokenText: string, from: string, to: string): readonly Option[] {
  const wanted = useMemo(() => wantedAt(tokenText), [tokenText]);
  const values = wanted.kind === "values" ? wanted : undefined;
  const facets = useEndpoint(
    "listFacets",
    {
      query: {
        from,
        to,
        key: values?.key,
        prefix: values?.prefix === "" ? undefined : values?.prefix,
        limit: 8,
      },
    },
    { enabled: open && values !== undefined },
  );
  return useMemo(() => {
    if (wanted.kind === "keys") return wanted.options.slice(0, 16);
    if (wanted.kind === "nothing") return [];
    const facet = facets.data?.items.find((item) => item.key === wanted.key);
    return (facet?.values ?? [])
      .filter(({ value }) => value !== "")
      .map(({ value, count: n }) => ({
        insert: `${wanted.minus}${wanted.key}:${/[\s"]/.test(value) ? JSON.stringify(value) : value}`,
        label: value,
        note: `${say(count(n))} spans`,
        complete: true,
      }));
  }, [wanted, facets.data]);
}
