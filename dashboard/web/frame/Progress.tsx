/**
 * A 2-px line under the top bar while a query takes longer than 300 ms (the delay is in the CSS).
 */
import { useIsFetching } from "@tanstack/react-query";
import type { ReactNode } from "react";
import styles from "./Progress.module.css";

export function Progress(): ReactNode {
  return useIsFetching() > 0 ? (
    <div className={styles.line} role="progressbar" aria-label="Loading" />
  ) : null;
}
