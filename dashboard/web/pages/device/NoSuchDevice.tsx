/**
 * What stands where a device's page would: nothing of it was received in the range of times chosen.
 */
import type { ReactNode } from "react";
import { EmptyState } from "../../ui/State.tsx";

export function NoSuchDevice(props: { readonly uuid: string }): ReactNode {
  return (
    <EmptyState title="No such device in this range">
      <code>{props.uuid}</code> has not reported between these times. A wider range may have it.
    </EmptyState>
  );
}
