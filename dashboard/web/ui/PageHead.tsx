/**
 * The head of a page about one thing (a request, a device): its name with marks, its facts, and its
 * figures at the right, below on a narrow screen.
 */
import type { ReactNode } from "react";
import styles from "./PageHead.module.css";

export function PageHead(props: {
  readonly title: string;
  readonly marks: ReactNode;
  readonly facts: ReactNode;
  readonly figures: ReactNode;
}): ReactNode {
  return (
    <header className={styles.header}>
      <div className={styles.identity}>
        <div className={styles.titleRow}>
          <h1 className={styles.title}>{props.title}</h1>
          {props.marks}
        </div>
        <div className={styles.facts}>{props.facts}</div>
      </div>
      <div className={styles.figures}>{props.figures}</div>
    </header>
  );
}
