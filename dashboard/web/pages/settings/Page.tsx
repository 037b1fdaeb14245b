/**
 * Tenants, their keys, capture, limits, retention and usage: what the admin key may change.
 */
import { useState, type ReactNode } from "react";
import type { Tenant } from "@axonize/core/contract/tenant";
import { call, ApiError } from "../../data/client.ts";
import { keys, saveKeys } from "../../data/keys.ts";
import { useEndpoint, useRefresh, useStore } from "../../data/queries.ts";
import { useSession } from "../../data/session.ts";
import { useUrlState } from "../../data/url.ts";
import { Chip } from "../../ui/Badge.tsx";
import { Button } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { EmptyState, ProblemView, SkeletonRows, problemFrom } from "../../ui/State.tsx";
import { Keys } from "./Keys.tsx";
import styles from "./Page.module.css";
import { Policy } from "./Policy.tsx";
import { Usage } from "./Usage.tsx";

export function Page(): ReactNode {
  const session = useSession();
  const { admin } = useStore(keys);
  if (!session.admin && admin === "") return <AskAdminKey />;
  return <Tenants />;
}

function Tenants(): ReactNode {
  const [url, setUrl] = useUrlState();
  const tenants = useEndpoint("listTenants");
  const refresh = useRefresh();
  const [creating, setCreating] = useState(false);
  if (tenants.isError && !tenants.data) {
    const refused = [401, 403].includes(problemFrom(tenants.error).status);
    return refused ? (
      <AskAdminKey problem={problemFrom(tenants.error).detail} />
    ) : (
      <ProblemView
        what="The tenants could not be loaded."
        error={tenants.error}
        onRetry={() => {
          refresh("listTenants");
        }}
      />
    );
  }
  if (!tenants.data) return <SkeletonRows rows={14} height={36} />;
  const { items } = tenants.data;
  const chosen = items.find(({ id }) => id === url.selected) ?? items[0];
  return (
    <div className={styles.page}>
      <nav className={styles.list} aria-label="Tenants">
        <div className={styles.listHead}>
          <h1 className={styles.title}>Tenants</h1>
          <Button
            onClick={() => {
              setCreating(true);
            }}
          >
            New
          </Button>
        </div>
        {items.map((tenant) => (
          <button
            key={tenant.id}
            type="button"
            className={styles.tenant}
            aria-current={tenant.id === chosen?.id}
            onClick={() => {
              setUrl({ selected: tenant.id }, { replace: true });
            }}
          >
            <span className={styles.tenantName}>{tenant.name}</span>
            <code>{tenant.id}</code>
            {tenant.owner === "operator" ? <Chip>custom resource</Chip> : null}
          </button>
        ))}
        {keys.get().admin === "" ? null : (
          <button
            type="button"
            className={styles.forget}
            onClick={() => {
              saveKeys({ admin: "" });
              refresh();
            }}
          >
            Forget the admin key
          </button>
        )}
      </nav>
      {chosen ? (
        <TenantDetail key={chosen.id} tenant={chosen} />
      ) : (
        <EmptyState title="No tenant yet">Create one to hand out keys.</EmptyState>
      )}
      <CreateTenant
        open={creating}
        onOpenChange={setCreating}
        onCreated={(id) => {
          setUrl({ selected: id }, { replace: true });
          refresh("listTenants");
        }}
      />
    </div>
  );
}

function TenantDetail({ tenant }: { readonly tenant: Tenant }): ReactNode {
  const owned = tenant.owner === "operator";
  return (
    <div className={styles.detail}>
      <header className={styles.head}>
        <h2 className={styles.name}>{tenant.name}</h2>
        <code>{tenant.id}</code>
        {owned ? (
          <p className={styles.note}>
            An AxonizeTenant custom resource owns this tenant: change it there. Here it can only be
            read.
          </p>
        ) : null}
      </header>
      <Usage tenantId={tenant.id} />
      <Keys tenantId={tenant.id} locked={owned} />
      <Policy tenant={tenant} locked={owned} />
    </div>
  );
}

function CreateTenant(props: {
  readonly open: boolean;
  readonly onOpenChange: (open: boolean) => void;
  readonly onCreated: (id: string) => void;
}): ReactNode {
  const [name, setName] = useState("");
  const [error, setError] = useState<unknown>(undefined);
  const [busy, setBusy] = useState(false);
  const create = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      const made = await call("createTenant", { body: { name: name.trim() } });
      setName("");
      props.onOpenChange(false);
      props.onCreated(made.id);
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog open={props.open} onOpenChange={props.onOpenChange} title="New tenant">
      <form
        className={styles.form}
        onSubmit={(event) => {
          event.preventDefault();
          void create();
        }}
      >
        <label className={styles.label}>
          Name
          <input
            className={styles.input}
            value={name}
            maxLength={128}
            placeholder="Team Vision"
            onChange={(event) => {
              setName(event.target.value);
            }}
          />
        </label>
        <p className={styles.note}>
          Its id is made from the name and never changes. Content is not captured until you allow
          it.
        </p>
        {error === undefined ? null : (
          <ProblemView compact what="It was not created." error={error} />
        )}
        <div className={styles.buttons}>
          <Button
            onClick={() => {
              props.onOpenChange(false);
            }}
          >
            Cancel
          </Button>
          <Button type="submit" tone="primary" disabled={busy || name.trim() === ""}>
            Create tenant
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** The admin key is asked for once per tab and checked before it is kept. */
function AskAdminKey({ problem }: { readonly problem?: string }): ReactNode {
  const session = useSession();
  const refresh = useRefresh();
  const [key, setKey] = useState("");
  const [error, setError] = useState(problem ?? "");
  const submit = async (): Promise<void> => {
    setError("");
    try {
      await call("listTenants", { key: key.trim() });
      saveKeys({ admin: key.trim() });
      refresh();
    } catch (failure) {
      setError(failure instanceof ApiError ? failure.problem.detail : String(failure));
    }
  };
  return (
    <div className={styles.ask}>
      <h1 className={styles.title}>Settings need the admin key</h1>
      <p className={styles.note}>
        Tenants, keys, limits and usage are an administrator’s.{" "}
        {session.mode === "standalone" ? (
          <>
            It is in the file <code>admin-key</code> of the data directory, which the start banner
            names, or what <code>AXONIZE_ADMIN_KEY</code> was set to.
          </>
        ) : (
          <>
            It is in the Secret of the release, or what <code>AXONIZE_ADMIN_KEY</code> was set to.
          </>
        )}
      </p>
      <form
        className={styles.askForm}
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <input
          className={styles.input}
          type="password"
          aria-label="Admin key"
          autoComplete="off"
          spellCheck={false}
          value={key}
          onChange={(event) => {
            setKey(event.target.value);
          }}
        />
        <Button type="submit" tone="primary" disabled={key.trim() === ""}>
          Continue
        </Button>
      </form>
      {error === "" ? null : (
        <p className={styles.error} role="alert">
          {error}
        </p>
      )}
      <p className={styles.note}>It stays in this tab and is forgotten when you close it.</p>
    </div>
  );
}
