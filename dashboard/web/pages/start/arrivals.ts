/**
 * One request that arrived, read from an event or a list row with whatever fields it has. Pure.
 */

export interface Arrival {
  readonly traceId: string;
  readonly name: string;
  readonly service: string;
  readonly model: string;
  readonly startTime: string;
  readonly durationNs: number | undefined;
}

/** Shown at once; older ones scroll away. */
const mostArrivals = 6;

export function arrivalFrom(json: string): Arrival | undefined {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    // A torn or foreign event: nothing to show.
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const read = (key: string): unknown => Reflect.get(value, key);
  const text = (key: string): string => {
    const field = read(key);
    return typeof field === "string" ? field : "";
  };
  if (!/^[0-9a-f]{32}$/.test(text("traceId"))) return undefined;
  const durationNs = read("durationNs");
  return {
    traceId: text("traceId"),
    name: text("name"),
    service: text("service"),
    model: text("model"),
    startTime: text("startTime"),
    durationNs: typeof durationNs === "number" ? durationNs : undefined,
  };
}

/** Newest first, one per request. */
export function mergeArrivals(
  before: readonly Arrival[],
  found: readonly Arrival[],
): readonly Arrival[] {
  const byId = new Map([...before, ...found].map((arrival) => [arrival.traceId, arrival]));
  return [...byId.values()]
    .sort((a, b) => (a.startTime < b.startTime ? 1 : -1))
    .slice(0, mostArrivals);
}
