/**
 * A tenant's keys: made here and shown once, revoked here and refused everywhere within seconds.
 */
import { useState, type ReactNode } from "react";
import type { Key } from "@axonize/core/contract/tenant";
import { nowMs } from "../../data/clock.ts";
import { call } from "../../data/client.ts";
import { ago, day, timeMs } from "../../data/format.ts";
import { zone as zoneStore } from "../../data/preferences.ts";
import { useEndpoint, useRefresh, useStore } from "../../data/queries.ts";
import { Button } from "../../ui/Button.tsx";
import { CopySnippet } from "../../ui/CopySnippet.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { ProblemView, SkeletonRows } from "../../ui/State.tsx";
import styles from "./Section.module.css";

type ScopeName = Key["scopes"][number];
const scopeChoices: readonly { readonly label: string; readonly scopes: readonly ScopeName[] }[] = [
  { label: "Send and read", scopes: ["Ingest", "Query"] },
  { label: "Send only", scopes: ["Ingest"] },
  { label: "Read only", scopes: ["Query"] },
];

export function Keys({
  tenantId,
  locked,
}: {
  readonly tenantId: string;
  readonly locked: boolean;
}): ReactNode {
  const list = useEndpoint("listKeys", { params: { tenantId } }, { keep: false });
  const refresh = useRefresh();
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<Key | undefined>(undefined);
  const zone = useStore(zoneStore);
  return (
    <section className={styles.section}>
      <div className={styles.head}>
        <h3 className={styles.title}>Keys</h3>
        <Button
          disabled={locked}
          onClick={() => {
            setCreating(true);
          }}
        >
          New key
        </Button>
      </div>
      {list.isError && !list.data ? (
        <ProblemView
          compact
          what="The keys could not be loaded."
          error={list.error}
          onRetry={() => {
            refresh("listKeys");
          }}
        />
      ) : null}
      {list.isPending ? <SkeletonRows rows={3} /> : null}
      {list.data && list.data.items.length === 0 ? (
        <p className={styles.note}>No key yet. Clients beyond this machine need one.</p>
      ) : null}
      {list.data && list.data.items.length > 0 ? (
        <table className={styles.table}>
          <thead>
            <tr>
              <th scope="col">key</th>
              <th scope="col">name</th>
              <th scope="col">may</th>
              <th scope="col" className={styles.wide}>
                made
              </th>
              <th scope="col">last used</th>
              <th scope="col">
                <span className="visually-hidden">Revoke</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {list.data.items.map((key) => (
              <tr key={key.prefix} className={key.revokedAt === null ? undefined : styles.gone}>
                <td>
                  <code>axk_{key.prefix}_…</code>
                </td>
                <td>{key.name === "" ? "–" : key.name}</td>
                <td>{key.scopes.join(", ")}</td>
                <td className={styles.wide}>{day(timeMs(key.createdAt), zone)}</td>
                <td>{key.lastUsedAt === null ? "never" : ago(timeMs(key.lastUsedAt), nowMs())}</td>
                <td className={styles.end}>
                  {key.revokedAt === null ? (
                    <Button
                      tone="ghost"
                      disabled={locked}
                      onClick={() => {
                        setRevoking(key);
                      }}
                    >
                      Revoke
                    </Button>
                  ) : (
                    `revoked ${ago(timeMs(key.revokedAt), nowMs())}`
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : null}
      <NewKey
        open={creating}
        tenantId={tenantId}
        onOpenChange={(open) => {
          setCreating(open);
          if (!open) refresh("listKeys");
        }}
      />
      <RevokeKey
        tenantId={tenantId}
        target={revoking}
        onDone={() => {
          setRevoking(undefined);
          refresh("listKeys");
        }}
      />
    </section>
  );
}

function NewKey(props: {
  readonly open: boolean;
  readonly tenantId: string;
  readonly onOpenChange: (open: boolean) => void;
}): ReactNode {
  const [name, setName] = useState("");
  const [choice, setChoice] = useState(0);
  const [made, setMade] = useState("");
  const [error, setError] = useState<unknown>(undefined);
  const close = (open: boolean): void => {
    props.onOpenChange(open);
    if (open) return;
    // The key is shown once: closing forgets it.
    setMade("");
    setName("");
    setError(undefined);
  };
  const create = async (): Promise<void> => {
    setError(undefined);
    try {
      const answer = await call("createKey", {
        params: { tenantId: props.tenantId },
        body: { name: name.trim(), scopes: scopeChoices[choice]?.scopes },
      });
      setMade(answer.key);
    } catch (failure) {
      setError(failure);
    }
  };
  return (
    <Dialog
      open={props.open}
      onOpenChange={close}
      title={made === "" ? "New key" : "Copy the key now"}
    >
      {made === "" ? (
        <form
          className={styles.form}
          onSubmit={(event) => {
            event.preventDefault();
            void create();
          }}
        >
          <label className={styles.label}>
            Name, to tell it apart
            <input
              className={styles.input}
              value={name}
              maxLength={128}
              placeholder="production gateway"
              onChange={(event) => {
                setName(event.target.value);
              }}
            />
          </label>
          <fieldset className={styles.choices}>
            <legend>It may</legend>
            {scopeChoices.map(({ label }, i) => (
              <label key={label} className={styles.choice}>
                <input
                  type="radio"
                  name="scopes"
                  checked={choice === i}
                  onChange={() => {
                    setChoice(i);
                  }}
                />{" "}
                {label}
              </label>
            ))}
          </fieldset>
          {error === undefined ? null : (
            <ProblemView compact what="The key was not made." error={error} />
          )}
          <div className={styles.buttons}>
            <Button
              onClick={() => {
                close(false);
              }}
            >
              Cancel
            </Button>
            <Button type="submit" tone="primary">
              Create key
            </Button>
          </div>
        </form>
      ) : (
        <div className={styles.form}>
          <p className={styles.note}>This is the only time it is shown; only its hash is stored.</p>
          <CopySnippet code={made} label="the key" />
          <div className={styles.buttons}>
            <Button
              tone="primary"
              onClick={() => {
                close(false);
              }}
            >
              I have it
            </Button>
          </div>
        </div>
      )}
    </Dialog>
  );
}

function RevokeKey(props: {
  readonly tenantId: string;
  readonly target: Key | undefined;
  readonly onDone: () => void;
}): ReactNode {
  const [error, setError] = useState<unknown>(undefined);
  const { target } = props;
  const revoke = async (): Promise<void> => {
    if (!target) return;
    setError(undefined);
    try {
      await call("revokeKey", { params: { tenantId: props.tenantId, prefix: target.prefix } });
      props.onDone();
    } catch (failure) {
      setError(failure);
    }
  };
  return (
    <Dialog
      open={target !== undefined}
      onOpenChange={(open) => {
        if (!open) props.onDone();
      }}
      title={`Revoke axk_${target?.prefix ?? ""}_…`}
    >
      <div className={styles.form}>
        <p>
          {target?.name === "" ? "This key" : `“${target?.name ?? ""}”`} is refused everywhere
          within 5 s. What it sent stays. This cannot be taken back.
        </p>
        {error === undefined ? null : (
          <ProblemView compact what="It was not revoked." error={error} />
        )}
        <div className={styles.buttons}>
          <Button onClick={props.onDone}>Keep it</Button>
          <Button tone="danger" onClick={() => void revoke()}>
            Revoke key
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
