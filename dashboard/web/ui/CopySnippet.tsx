/**
 * Code to copy, and the small copy button for ids. Says "Copied" in place; falls back to selecting
 * the text where the clipboard is not allowed (plain http).
 */
import { Check, Copy } from "lucide-react";
import { useEffect, useRef, useState, type ReactNode } from "react";
import styles from "./CopySnippet.module.css";

export function CopySnippet({
  code,
  label,
}: {
  readonly code: string;
  readonly label: string;
}): ReactNode {
  return (
    <div className={styles.snippet}>
      {/* Focusable: a region that scrolls must be reachable by keyboard. */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <pre className={styles.code} tabIndex={0} aria-label={label}>
        <code>{code}</code>
      </pre>
      <CopyButton text={code} label={`Copy ${label}`} words />
    </div>
  );
}

export function CopyButton(props: {
  readonly text: string;
  readonly label: string;
  readonly words?: boolean;
}): ReactNode {
  const [copied, setCopied] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(
    () => () => {
      clearTimeout(timer.current);
    },
    [],
  );
  const copy = async (): Promise<void> => {
    setCopied(await copyText(props.text));
    timer.current = setTimeout(() => {
      setCopied(false);
    }, 1500);
  };
  return (
    <button
      type="button"
      className={props.words ? styles.copyWords : styles.copy}
      aria-label={copied ? "Copied" : props.label}
      title={props.label}
      onClick={(event) => {
        event.stopPropagation();
        void copy();
      }}
    >
      {copied ? <Check size={13} aria-hidden="true" /> : <Copy size={13} aria-hidden="true" />}
      {props.words ? <span>{copied ? "Copied" : "Copy"}</span> : null}
    </button>
  );
}

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard outside a secure context: the old way through a selected field.
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
