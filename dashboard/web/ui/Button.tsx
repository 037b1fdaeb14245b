/**
 * Buttons: one quiet look, one primary, one for what destroys. At least 24 px to hit.
 */
import type { ButtonHTMLAttributes, ReactNode, Ref } from "react";
import styles from "./Button.module.css";

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  readonly tone?: "plain" | "primary" | "danger" | "ghost";
  readonly ref?: Ref<HTMLButtonElement>;
}

export function Button({
  tone = "plain",
  className,
  type = "button",
  ...rest
}: ButtonProps): ReactNode {
  return (
    <button
      // The type is "button" unless the caller says submit.
      type={type === "submit" ? "submit" : "button"}
      className={[styles.button, styles[tone], className].filter(Boolean).join(" ")}
      {...rest}
    />
  );
}

export function Kbd({ children }: { readonly children: ReactNode }): ReactNode {
  return <kbd className={styles.kbd}>{children}</kbd>;
}

/** One of several, as a row of words; arrow keys move. */
export interface SegmentedProps<T extends string> {
  readonly label: string;
  readonly value: T;
  readonly options: readonly { readonly value: T; readonly label: string }[];
  readonly onChange: (value: T) => void;
  readonly look?: "tabs" | "boxed";
}

export function Segmented<T extends string>(props: SegmentedProps<T>): ReactNode {
  const { label, value, options, onChange, look = "tabs" } = props;
  const move = (from: number, step: number, list: HTMLElement | null): void => {
    const index = (from + step + options.length) % options.length;
    const next = options[index];
    if (!next) return;
    onChange(next.value);
    const target = list?.children[index];
    if (target instanceof HTMLElement) target.focus();
  };
  return (
    <div
      role="radiogroup"
      aria-label={label}
      className={look === "tabs" ? styles.tabs : styles.boxed}
    >
      {options.map((option, index) => (
        <button
          key={option.value}
          type="button"
          role="radio"
          aria-checked={option.value === value}
          tabIndex={option.value === value ? 0 : -1}
          className={styles.option}
          onClick={() => {
            onChange(option.value);
          }}
          onKeyDown={(event) => {
            const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
            if (step === 0) return;
            event.preventDefault();
            event.stopPropagation();
            move(index, step, event.currentTarget.parentElement);
          }}
        >
          {option.label}
        </button>
      ))}
    </div>
  );
}
