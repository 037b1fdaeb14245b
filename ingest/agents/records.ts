/**
 * The records of a batch (identity, events, status) and the devices frame, as JSON from outside: each is
 * checked on its own, so that one bad record costs itself and nothing else.
 */
import * as z from "zod";
import { MalformedError } from "../points/wire.ts";
import * as limits from "./limits.ts";

const text = z.string().max(limits.textBytes);
const optionalText = text.optional();
const integer = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const texts = z.array(text).max(limits.listItems);
const owner = z.object({ namespace: text, pod: text, container: text }).optional();
const milliseconds = z.number().min(0).max(8e15);

const DeviceShape = z.object({
  number: integer.max(1e9),
  uuid: text.min(1),
  gpuUuid: text.min(1),
  kind: z.enum(["whole", "mig"]),
  model: text,
  driverVersion: text,
  index: integer.max(65_535).optional(),
  migProfile: text,
});
export type Device = z.infer<typeof DeviceShape>;

const layers = {
  placement: z.object({
    gpuUuid: text.min(1),
    bootId: text,
    driverEpoch: text,
    pciBusId: optionalText,
    minor: integer.max(1e6).optional(),
    index: integer.max(65_535),
    model: text,
    lost: z.boolean(),
  }),
  resource: z.object({
    uuid: text.min(1),
    gpuUuid: text.min(1),
    kind: z.enum(["whole", "mig"]),
    profile: text,
    gpuInstanceId: integer.max(1e6).optional(),
    computeInstanceId: integer.max(1e6).optional(),
    smCount: integer.max(1e6).optional(),
    memoryMib: integer.max(2e9).optional(),
    epochMs: milliseconds,
    gap: z.boolean(),
    lost: z.boolean(),
  }),
  allocation: z.object({
    namespace: text,
    pod: text,
    container: text,
    podUid: optionalText,
    resourceName: text,
    resourceId: text,
    resourceUuid: text.min(1),
    replica: integer.max(1e6).optional(),
    stale: z.boolean(),
  }),
  usage: z.object({
    bootId: text,
    pid: integer.max(2 ** 31 - 1),
    startTime: integer,
    ownPid: integer.max(2 ** 31 - 1),
    command: text,
    containerId: optionalText,
    podUid: optionalText,
    owner,
    resourceId: text,
    resourceUuid: text.min(1),
  }),
  ordinal: z.object({
    owner,
    podUid: optionalText,
    containerId: optionalText,
    process: z
      .object({
        bootId: text,
        pid: integer.max(2 ** 31 - 1),
        startTime: integer,
        ownPid: integer.max(2 ** 31 - 1),
      })
      .optional(),
    ordinal: integer.max(255).optional(),
    level: text,
    resourceUuids: texts,
    resourceIds: texts,
    candidates: texts,
    reason: optionalText,
    warnings: texts,
    evidence: texts,
  }),
};

const interval = {
  key: text.min(1),
  validFromMs: milliseconds,
  validToMs: milliseconds.optional(),
  closeReason: optionalText,
};
const ChangeShape = z.discriminatedUnion("layer", [
  z.object({ layer: z.literal("placement"), ...interval, value: layers.placement }),
  z.object({ layer: z.literal("resource"), ...interval, value: layers.resource }),
  z.object({ layer: z.literal("allocation"), ...interval, value: layers.allocation }),
  z.object({ layer: z.literal("usage"), ...interval, value: layers.usage }),
  z.object({ layer: z.literal("ordinal"), ...interval, value: layers.ordinal }),
]);
export type Change = z.infer<typeof ChangeShape>;

const EventShape = z.object({
  atMs: milliseconds,
  gpuUuid: text.min(1),
  deviceUuid: optionalText,
  kind: z.enum(["xid", "ecc", "throttle", "mig", "lost", "recovered"]),
  detail: z.record(text, z.union([text, z.number()])),
});
export type DeviceEvent = z.infer<typeof EventShape>;

/** Kept as told: it is shown, never acted upon. */
const StatusShape = z.record(text, z.unknown());

export interface Records {
  readonly identity: readonly Change[];
  readonly events: readonly DeviceEvent[];
  readonly status: Readonly<Record<string, unknown>> | undefined;
  /** Records that are none of the above. */
  readonly refused: number;
}

/** Throws MalformedError where the whole is not JSON of this shape. */
export function readRecords(json: string): Records {
  const told = objectOf(json);
  const identity = each(ChangeShape, told["identity"]);
  const events = each(EventShape, told["events"]);
  const status = StatusShape.safeParse(told["status"]);
  return {
    identity: identity.good,
    events: events.good,
    status: status.success ? status.data : undefined,
    refused: identity.refused + events.refused,
  };
}

export function readDevices(json: string): { good: Device[]; refused: number } {
  return each(DeviceShape, parse(json));
}

function each<T>(shape: z.ZodType<T>, list: unknown): { good: T[]; refused: number } {
  if (list === undefined) return { good: [], refused: 0 };
  if (!Array.isArray(list)) throw new MalformedError("a list is none");
  const items: unknown[] = list;
  const good: T[] = [];
  for (const item of items.slice(0, Math.max(limits.records, limits.devices))) {
    const parsed = shape.safeParse(item);
    if (parsed.success) good.push(parsed.data);
  }
  return { good, refused: items.length - good.length };
}

function objectOf(json: string): Record<string, unknown> {
  const told = parse(json);
  if (typeof told !== "object" || told === null) throw new MalformedError("no object");
  // Safe: an object has keys; every value is checked before it is used.
  return told as Record<string, unknown>;
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw new MalformedError("no JSON"); // the parser's words quote what was sent
  }
}
