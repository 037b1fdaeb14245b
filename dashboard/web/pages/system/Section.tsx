/**
 * A titled part of the System page. What tells of the whole installation says so to a tenant's key,
 * which is answered none of it: an empty list there is no finding.
 */
import type { ReactNode } from "react";
import type { System } from "@axonize/core/contract/system";
import styles from "./Page.module.css";

export function Section({
  title,
  of,
  children,
}: {
  readonly title: string;
  /** The answer, where the part tells of the whole installation. */
  readonly of?: System;
  readonly children: ReactNode;
}): ReactNode {
  return (
    <section className={styles.section}>
      <h2 className={styles.title}>{title}</h2>
      {of?.scope === "tenant" ? (
        <p className={styles.quiet}>
          Tells of all tenants: log in with the admin key, or as an administrator, to see it.
        </p>
      ) : (
        children
      )}
    </section>
  );
}
