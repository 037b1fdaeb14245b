/**
 * DRA's ResourceSlices of this node: which silicon a driver's device name stands for. A MIG device that is
 * made only when a claim is prepared has no UUID here; its name and the driver's own list find it.
 */
import * as z from "zod";

const Attributes = z.record(z.string(), z.object({ string: z.string().optional() }).loose());
const Device = z.object({
  name: z.string().max(253),
  attributes: Attributes.optional(),
  /** v1beta1 had them one level lower. */
  basic: z.object({ attributes: Attributes.optional() }).optional(),
});
const SliceObject = z.object({
  metadata: z.object({ name: z.string().max(253) }),
  spec: z.object({
    driver: z.string().max(253),
    pool: z.object({ name: z.string().max(253), generation: z.number().default(0) }),
    devices: z.array(Device).nullish(),
  }),
});

export interface ResourceSlice {
  readonly name: string;
  readonly driver: string;
  readonly pool: string;
  readonly generation: number;
  /** Device name → UUID. */
  readonly uuids: ReadonlyMap<string, string>;
}

/** undefined: it is no slice. */
export function resourceSliceFrom(object: unknown): ResourceSlice | undefined {
  const parsed = SliceObject.safeParse(object);
  if (!parsed.success) return undefined;
  const { metadata, spec } = parsed.data;
  const uuids = new Map<string, string>();
  for (const { name, attributes, basic } of spec.devices ?? []) {
    const all = attributes ?? basic?.attributes ?? {};
    // Drivers may qualify the attribute by their domain.
    const uuid = (all["uuid"] ?? all[`${spec.driver}/uuid`])?.string;
    if (uuid !== undefined && /^(GPU|MIG)-[0-9A-Za-z/-]{1,80}$/.test(uuid)) uuids.set(name, uuid);
  }
  return {
    name: metadata.name,
    driver: spec.driver,
    pool: spec.pool.name,
    generation: spec.pool.generation,
    uuids,
  };
}

/** Of a pool, only the newest generation holds. */
export function uuidOfDevice(
  slices: Iterable<ResourceSlice>,
  device: { driver: string; pool: string; device: string },
): string | undefined {
  const mine = [...slices].filter((s) => s.driver === device.driver && s.pool === device.pool);
  const newest = Math.max(...mine.map(({ generation }) => generation));
  return mine
    .filter(({ generation }) => generation === newest)
    .map(({ uuids }) => uuids.get(device.device))
    .find((uuid) => uuid !== undefined);
}
