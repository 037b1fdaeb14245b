/**
 * What arrives while the page is open: the newest requests, from the event stream, else by asking.
 */
import { useEffect, useState } from "react";
import { startEventsPath } from "@axonize/core/contract/routes";
import { call } from "../../data/client.ts";
import { every } from "../../data/clock.ts";
import { basePath } from "../../data/base.ts";
import { keys } from "../../data/keys.ts";
import { followEvents } from "../../data/sse.ts";
import { arrivalFrom, mergeArrivals, type Arrival } from "./arrivals.ts";

const pollMs = 2_000;

export function useArrivals(): {
  readonly arrivals: readonly Arrival[];
  readonly streaming: boolean;
} {
  const [arrivals, setArrivals] = useState<readonly Arrival[]>([]);
  const [streaming, setStreaming] = useState(false);
  useEffect(() => {
    const { query, tenant } = keys.get();
    return followEvents({
      url: `${basePath}${startEventsPath}`,
      headers: {
        ...(query === "" ? {} : { authorization: `Bearer ${query}` }),
        ...(tenant === "" ? {} : { "x-axonize-tenant": tenant }),
      },
      onState: setStreaming,
      onEvent: ({ event, data }) => {
        const arrival = event === "span" ? arrivalFrom(data) : undefined;
        if (arrival) setArrivals((before) => mergeArrivals(before, [arrival]));
      },
    });
  }, []);
  useEffect(() => {
    if (streaming) return undefined;
    const ask = async (): Promise<void> => {
      try {
        const { items } = await call("listTraces", { query: { from: "-15m", limit: 5 } });
        const found = items.flatMap((row) => arrivalFrom(JSON.stringify(row)) ?? []);
        if (found.length > 0) setArrivals((before) => mergeArrivals(before, found));
      } catch {
        // The next turn asks again; the page's own query shows the failure.
      }
    };
    void ask();
    return every(pollMs, () => void ask());
  }, [streaming]);
  return { arrivals, streaming };
}
