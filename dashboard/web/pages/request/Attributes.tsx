/**
 * Attributes as a table, and captured content as a conversation or as text. Large values open on
 * demand; nothing is interpreted as HTML.
 */
import { useState, type ReactNode } from "react";
import type { SpanDetail } from "@axonize/core/contract/trace";
import { CopyButton } from "../../ui/CopySnippet.tsx";
import styles from "./Attributes.module.css";
import { parseConversation, valueText, type Message } from "./content.ts";

export function AttributeTable(props: {
  readonly values: Readonly<Record<string, unknown>>;
  readonly expired: boolean;
}): ReactNode {
  const names = Object.keys(props.values).sort();
  if (props.expired)
    return (
      <p className={styles.note}>
        Attributes have passed their retention; what is above was kept with the span.
      </p>
    );
  if (names.length === 0) return <p className={styles.note}>None were sent.</p>;
  return (
    <dl>
      {names.map((name) => (
        <Attribute key={name} name={name} value={props.values[name]} />
      ))}
    </dl>
  );
}

/** Longer values are cut until asked for. */
const longText = 400;

function Attribute({ name, value }: { readonly name: string; readonly value: unknown }): ReactNode {
  const text = valueText(value);
  return (
    <div className={styles.attribute}>
      <dt className={styles.name}>{name}</dt>
      <dd className={styles.value}>
        <LongText text={text} />
        <span className={styles.copy}>
          <CopyButton text={text} label={`Copy ${name}`} />
        </span>
      </dd>
    </div>
  );
}

function LongText({ text }: { readonly text: string }): ReactNode {
  const [open, setOpen] = useState(false);
  if (text.length <= longText || open)
    return <span className={styles.text}>{text === "" ? "“”" : text}</span>;
  return (
    <>
      <span className={styles.text}>{text.slice(0, longText)}…</span>{" "}
      <button
        type="button"
        className={styles.more}
        onClick={() => {
          setOpen(true);
        }}
      >
        Show all {text.length.toLocaleString("en-US")} characters
      </button>
    </>
  );
}

export function Content({ detail }: { readonly detail: SpanDetail }): ReactNode {
  const names = Object.keys(detail.content);
  if (detail.payloadExpired)
    return <p className={styles.note}>Content has passed its retention.</p>;
  if (names.length === 0) {
    return (
      <p className={styles.note}>
        {detail.capture === "None"
          ? "Content capture is off for this tenant: prompts and answers are dropped before storage. Settings, Tenants can turn it on for what arrives from then on."
          : "This span carried no prompt or answer. Many instrumentations send them only when asked, for example OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true."}
      </p>
    );
  }
  return (
    <>
      {detail.capture === "Redacted" ? (
        <p className={styles.note}>
          Redacted before storage: the length is real, the words are not.
        </p>
      ) : null}
      {names.map((name) => (
        <section key={name} className={styles.content}>
          <h3 className={styles.contentName}>
            <code>{name}</code>
            <CopyButton text={detail.content[name] ?? ""} label={`Copy ${name}`} />
          </h3>
          <ContentValue text={detail.content[name] ?? ""} />
        </section>
      ))}
    </>
  );
}

function ContentValue({ text }: { readonly text: string }): ReactNode {
  const messages = parseConversation(text);
  if (!messages) {
    return (
      <div className={styles.plain}>
        <LongText text={text} />
      </div>
    );
  }
  return (
    <ol className={styles.messages}>
      {Object.entries(messages).map(([place, message]: [string, Message]) => (
        <li key={place} className={styles.message}>
          <span className={styles.role}>{message.role}</span>
          <div className={styles.plain}>
            <LongText text={message.text} />
          </div>
        </li>
      ))}
    </ol>
  );
}
