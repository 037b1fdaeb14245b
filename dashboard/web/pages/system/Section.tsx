/**
 * A titled part of the System page.
 */
import type { ReactNode } from "react";
import styles from "./Page.module.css";

export function Section({
  title,
  children,
}: {
  readonly title: string;
  readonly children: ReactNode;
}): ReactNode {
  return (
    <section className={styles.section}>
      <h2 className={styles.title}>{title}</h2>
      {children}
    </section>
  );
}
