/**
 * What is stored of a tenant, for how long, and how much it may send.
 */
import { useState, type ReactNode } from "react";
import type { Tenant } from "@axonize/core/contract/tenant";
import { call } from "../../data/client.ts";
import { useRefresh } from "../../data/queries.ts";
import { Button } from "../../ui/Button.tsx";
import { ProblemView } from "../../ui/State.tsx";
import { parseLimit, printLimit } from "./limits.ts";
import styles from "./Section.module.css";

const captureNotes: Readonly<Record<Tenant["capture"], string>> = {
  None: "Prompts and answers are dropped before storage.",
  Redacted: "Their length is kept, their words are not.",
  Full: "Prompts and answers are stored and shown.",
};
const captures: readonly Tenant["capture"][] = ["None", "Redacted", "Full"];

export function Policy({
  tenant,
  locked,
}: {
  readonly tenant: Tenant;
  readonly locked: boolean;
}): ReactNode {
  const refresh = useRefresh();
  const [capture, setCapture] = useState(tenant.capture);
  const [days, setDays] = useState(String(tenant.retentionDays));
  const [spans, setSpans] = useState(printLimit(tenant.limits.spansPerSecond));
  const [bytesText, setBytes] = useState(printLimit(tenant.limits.bytesPerDay));
  const [state, setState] = useState<"idle" | "saving" | "saved">("idle");
  const [error, setError] = useState<unknown>(undefined);
  const spansPerSecond = parseLimit(spans);
  const bytesPerDay = parseLimit(bytesText);
  const retentionDays = Number(days);
  const valid =
    spansPerSecond !== undefined &&
    bytesPerDay !== undefined &&
    Number.isInteger(retentionDays) &&
    retentionDays >= 1 &&
    retentionDays <= 3650;
  const save = async (): Promise<void> => {
    setState("saving");
    setError(undefined);
    try {
      await call("updateTenant", {
        params: { tenantId: tenant.id },
        body: { capture, retentionDays, limits: { spansPerSecond, bytesPerDay } },
      });
      setState("saved");
      refresh("listTenants");
    } catch (failure) {
      setError(failure);
      setState("idle");
    }
  };
  return (
    <section className={styles.section}>
      <div className={styles.head}>
        <h3 className={styles.title}>Content, retention, limits</h3>
      </div>
      <form
        className={styles.form}
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
        onChange={() => {
          setState("idle");
        }}
      >
        <div className={styles.grid}>
          <label className={styles.label}>
            Content capture
            <select
              className={styles.input}
              value={capture}
              disabled={locked}
              onChange={(event) => {
                setCapture(captures.find((c) => c === event.target.value) ?? "None");
              }}
            >
              {captures.map((c) => (
                <option key={c}>{c}</option>
              ))}
            </select>
            {captureNotes[capture]}
          </label>
          <label className={styles.label}>
            Keep for, days
            <input
              className={styles.input}
              value={days}
              inputMode="numeric"
              disabled={locked}
              onChange={(event) => {
                setDays(event.target.value);
              }}
            />
            1 to 3,650. Holds for what arrives from now on.
          </label>
          <label className={styles.label}>
            Spans per second
            <input
              className={styles.input}
              value={spans}
              placeholder="no limit"
              disabled={locked}
              onChange={(event) => {
                setSpans(event.target.value);
              }}
            />
            Beyond it senders are asked to wait.
          </label>
          <label className={styles.label}>
            Bytes per day
            <input
              className={styles.input}
              value={bytesText}
              placeholder="no limit"
              disabled={locked}
              onChange={(event) => {
                setBytes(event.target.value);
              }}
            />
            For example 500M or 20G.
          </label>
        </div>
        {error === undefined ? null : (
          <ProblemView compact what="Nothing was changed." error={error} />
        )}
        <div className={styles.buttons}>
          <span className={styles.saved} role="status">
            {state === "saved" ? "Saved" : ""}
          </span>
          <Button type="submit" tone="primary" disabled={locked || !valid || state === "saving"}>
            Save changes
          </Button>
        </div>
      </form>
    </section>
  );
}
