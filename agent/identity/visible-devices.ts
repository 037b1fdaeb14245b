/**
 * CUDA_VISIBLE_DEVICES as CUDA reads it: integers, or (prefixes of) GPU and MIG UUIDs, in list order, cut
 * at the first entry that is not valid.
 */

interface Named {
  readonly uuid: string;
  readonly gpuUuid: string;
}

export type DeviceList<R extends Named> =
  | { readonly form: "uuids"; readonly resources: readonly R[] }
  /** undefined: the variable is not set, all devices in CUDA's order. */
  | { readonly form: "integers"; readonly indices: readonly number[] | undefined }
  | { readonly form: "mixed" };

export function deviceList<R extends Named>(
  value: string | undefined,
  seen: readonly R[],
): DeviceList<R> {
  if (value === undefined) return { form: "integers", indices: undefined };
  const entries = value.split(",").map((entry) => entry.trim());
  if (entries.every((entry) => entry === "" || /^-?\d+$/.test(entry))) {
    return { form: "integers", indices: integers(entries, seen.length) };
  }
  if (!entries.every((entry) => /^(GPU|MIG)-/.test(entry))) return { form: "mixed" };
  const resources: R[] = [];
  for (const entry of entries) {
    const matching = seen.filter(({ uuid }) => uuid.startsWith(entry));
    const [only] = matching;
    // A prefix must be unique; twice the same device is not valid either.
    if (matching.length !== 1 || only === undefined || resources.includes(only)) break;
    resources.push(only);
  }
  return { form: "uuids", resources };
}

function integers(entries: readonly string[], count: number): number[] {
  const indices: number[] = [];
  for (const entry of entries) {
    const index = Number(entry);
    const valid = entry !== "" && index >= 0 && index < count && !indices.includes(index);
    if (!valid) break;
    indices.push(index);
  }
  return indices;
}
