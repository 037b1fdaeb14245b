/**
 * Asks who somebody is: by the provider of the people here, or by a key, which stays in this tab
 * (session storage).
 */
import { useState, type ReactNode } from "react";
import type { Session } from "@axonize/core/contract/system";
import { basePath } from "../data/base.ts";
import { ApiError, call } from "../data/client.ts";
import { saveKeys } from "../data/keys.ts";
import { useRefresh } from "../data/queries.ts";
import { Button } from "../ui/Button.tsx";
import styles from "./Login.module.css";

export function Login({ session }: { readonly session: Session }): ReactNode {
  const { mode, version, login } = session;
  const [key, setKey] = useState("");
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const refresh = useRefresh();
  const submit = async (): Promise<void> => {
    setBusy(true);
    setError("");
    try {
      const session = await call("getSession", { key: key.trim() });
      if (!session.authenticated)
        throw new Error(
          "This key is not known, or it was revoked. Paste the whole of it: a tenant’s key from axk_ to the end, the admin key as its file or Secret has it.",
        );
      saveKeys({
        query: key.trim(),
        admin: session.admin ? key.trim() : "",
        tenant: "",
      });
      refresh();
    } catch (failure) {
      setError(
        failure instanceof ApiError
          ? failure.problem.detail
          : failure instanceof Error
            ? failure.message
            : String(failure),
      );
    } finally {
      setBusy(false);
    }
  };
  return (
    <main className={styles.page}>
      <form
        className={styles.form}
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <svg
          width="28"
          height="28"
          viewBox="0 0 32 32"
          fill="none"
          className={styles.mark}
          aria-hidden="true"
        >
          <path
            d="M5 27 16 5l11 22M11 19h10"
            stroke="currentColor"
            strokeWidth="3.4"
            strokeLinecap="round"
            strokeLinejoin="round"
          />
        </svg>
        <h1 className={styles.title}>Axonize</h1>
        <p className={styles.text}>
          {login === null
            ? "This Axonize can be reached from beyond its own machine, so it asks who you are."
            : "Log in to see the tenants that your groups may read, or use a key."}
        </p>
        {login === null ? null : (
          <a className={styles.provider} href={loginUrl()}>
            Log in with {login.label}
          </a>
        )}
        <label className={styles.label} htmlFor="key">
          Key with scope Query, or the admin key
        </label>
        <input
          id="key"
          className={styles.input}
          type="password"
          autoComplete="off"
          placeholder="axk_…"
          spellCheck={false}
          value={key}
          aria-invalid={error !== ""}
          aria-describedby="key-help"
          onChange={(event) => {
            setKey(event.target.value);
          }}
        />
        {error === "" ? null : (
          <p className={styles.error} role="alert">
            {error}
          </p>
        )}
        <Button
          type="submit"
          tone="primary"
          disabled={busy || key.trim() === ""}
          className={styles.submit}
        >
          {busy ? "Checking …" : "Continue"}
        </Button>
        <p id="key-help" className={styles.help}>
          It stays in this tab and is forgotten when you close it. An administrator makes keys under
          Settings
          {mode === "standalone"
            ? "; the admin key is in the file admin-key of the data directory."
            : "."}
        </p>
        <p className={styles.help}>Version {version}</p>
      </form>
    </main>
  );
}

/** The page that was asked for is shown after the log-in. */
function loginUrl(): string {
  const { pathname, search } = window.location;
  const next = `${pathname.slice(basePath.length)}${search}`;
  return `${basePath}/auth/login?next=${encodeURIComponent(next)}`;
}
