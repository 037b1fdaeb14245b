/**
 * Pages are about one tenant's data. An administrator has none of their own: theirs is the first tenant
 * until they choose another at the top; where there is none yet, the way to make one is shown instead of
 * a refusal on every page.
 */
import { useNavigate, useRouterState } from "@tanstack/react-router";
import { useEffect, type ReactNode } from "react";
import { keys, saveKeys } from "../data/keys.ts";
import { useEndpoint, useRefresh, useStore } from "../data/queries.ts";
import { useSession } from "../data/session.ts";
import { Button } from "../ui/Button.tsx";
import { EmptyState } from "../ui/State.tsx";

export function WhoseData({ children }: { readonly children: ReactNode }): ReactNode {
  const session = useSession();
  const { tenant } = useStore(keys);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const navigate = useNavigate();
  const refresh = useRefresh();
  const isNobodys = session.admin && session.tenant === null && tenant === "";
  const tenants = useEndpoint("listTenants", {}, { enabled: isNobodys });
  const first = isNobodys ? tenants.data?.items[0]?.id : undefined;
  useEffect(() => {
    if (first === undefined) return;
    saveKeys({ tenant: first });
    refresh();
  }, [first, refresh]);
  if (!isNobodys || path === "/settings" || tenants.isError) return children;
  if (tenants.data === undefined || first !== undefined) return null;
  return (
    <EmptyState
      title="There is no tenant yet"
      actions={
        <Button tone="primary" onClick={() => void navigate({ to: "/settings", search: {} })}>
          Make the first
        </Button>
      }
    >
      What is sent belongs to a tenant: make one under Settings, or apply an{" "}
      <code>AxonizeTenant</code> in the cluster.
    </EmptyState>
  );
}
