/**
 * The names of devices that report now, for lists of calls that know UUIDs only. Of what reported before
 * the beginning of its UUID is shown: a name is no reason to look through a month of samples.
 */
import { useMemo } from "react";
import { deviceLabels } from "./device.ts";
import { useEndpoint } from "./queries.ts";

export function useDeviceLabels(enabled: boolean): ReadonlyMap<string, string> {
  const { data } = useEndpoint("listGpus", { query: { from: "-15m" } }, { enabled });
  return useMemo(() => deviceLabels(data?.items ?? []), [data]);
}
