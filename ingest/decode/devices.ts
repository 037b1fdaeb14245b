/**
 * The devices that the sender itself names for a span: by ordinal into its resource's UUIDs, or one
 * UUID on the span. Who really ran it is for attribution to say.
 *
 * A call without an ordinal belongs to all that its process was given (design §10): `exact.single`
 * if that is one device, else `exact.set`.
 */
import type { Normalized } from "../normalize/normalize.ts";
import type { Slots } from "../normalize/slots.ts";
import type { Resource } from "./resources.ts";
import type { Strings } from "./strings.ts";
import type { SpanTable } from "./tables.ts";

export function writeDevices(
  spans: SpanTable,
  row: number,
  span: { slots: Slots; normal: Normalized; resource: Resource; strings: Strings },
): void {
  const { slots, normal, resource, strings } = span;
  const { gpu_devices: deviceColumn, gpu_ordinals: ordinalColumn } = spans;
  let devices = 0;
  let kept = 0;
  for (const ordinal of slots.ordinals) {
    if (!(ordinal >= 0 && ordinal <= 255)) continue;
    kept += 1;
    ordinalColumn.items.push(ordinal);
    const uuid = resource.gpuUuids[ordinal];
    if (uuid === undefined || normal.gpuUuid !== 0) continue;
    devices += 1;
    deviceColumn.items.push(uuid);
  }
  let level = "exact.sdk";
  if (normal.gpuUuid !== 0) {
    devices += 1;
    deviceColumn.items.push(normal.gpuUuid);
  } else if (kept === 0 && normal.operation !== 0) {
    devices = resource.gpuUuids.length;
    for (const uuid of resource.gpuUuids) deviceColumn.items.push(uuid);
    level = devices === 1 ? "exact.single" : "exact.set";
  }
  ordinalColumn.endRow(row, kept);
  deviceColumn.endRow(row, devices);
  const told = normal.gpuLevel;
  spans.gpu_level.set(row, told !== 0 || devices === 0 ? told : strings.constant(level));
}
