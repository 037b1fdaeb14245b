/**
 * A 2-px line under the top bar while a query takes longer than 300 ms.
 */
import { useIsFetching } from "@tanstack/react-query";
import { useEffect, useState, type ReactNode } from "react";
import styles from "./Progress.module.css";

const patienceMs = 300;

export function Progress(): ReactNode {
  const busy = useIsFetching() > 0;
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    if (!busy) {
      setSlow(false);
      return undefined;
    }
    const timer = setTimeout(() => {
      setSlow(true);
    }, patienceMs);
    return () => {
      clearTimeout(timer);
    };
  }, [busy]);
  return slow ? <div className={styles.line} role="progressbar" aria-label="Loading" /> : null;
}
