/**
 * NVML's struct layouts as explicit offsets, the same on x86-64 and aarch64 (LP64, little endian), and
 * the readers for them. Sizes are proven against a C compiler by the false driver's own assertions.
 */

export const sizes = {
  pciInfo: 68,
  memory: 24,
  memoryV2: 40,
  utilization: 8,
  temperatureV1: 12,
  attributes: 40,
  fieldValue: 40,
  processDetail: 32,
  processDetailList: 24,
  processUtilization: 32,
  eventData: 32,
  gpmSupport: 8,
  gpmMetricsGet: 24,
  gpmMetric: 40,
  gpuInstanceInfo: 24,
} as const;

/** sizeof | version << 24: what a versioned struct begins with. Another value answers 25. */
export const versions = {
  memoryV2: 0x02000028,
  temperatureV1: 0x0100000c,
  processDetailListV1: 0x01000018,
  /** GPM does not follow the formula. */
  gpm: 1,
} as const;

export const textSizes = { uuid: 96, name: 96, version: 80, serial: 30 } as const;

/** Fields read by one call. Scope: the link for NVLink, or all of them; 0 (the GPU) otherwise. */
export const fieldIds = {
  memoryTemperature: 82,
  energyMillijoules: 83,
  nvlinkCount: 91,
  nvlinkTxKib: 138,
  nvlinkRxKib: 139,
  remappedCorrected: 142,
  remappedUncorrected: 143,
  remapPending: 144,
  remapFailed: 145,
  pcieTxBytes: 197,
  pcieRxBytes: 198,
} as const;
export const allLinks = 0xffffffff;

export const gpmMetricIds = { graphics: 1, sm: 2, occupancy: 3, anyTensor: 5, dram: 10 } as const;

/** 0xFFFFFFFF in a gpu or compute instance id: the whole device. */
export const noInstance = 0xffffffff;
/** All ones in a memory figure: the driver does not tell it. */
const notAvailable = 0xffffffffffffffffn;

export function textOf(buffer: Buffer): string {
  const end = buffer.indexOf(0);
  return buffer.toString("utf8", 0, end === -1 ? buffer.length : end);
}

export function u32(view: DataView, offset: number): number {
  return view.getUint32(offset, true);
}

/** NVML's u64 values stay far below 2^53 (energy in mJ: 285 years at 1 kW), so a number holds them. */
export function u64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 4294967296;
}

/** A memory figure that may be "not available". */
export function memoryBytes(view: DataView, offset: number): number | undefined {
  const value = view.getBigUint64(offset, true);
  return value === notAvailable ? undefined : Number(value);
}

/** An id that may mean "none". */
export function instanceId(view: DataView, offset: number): number | undefined {
  const value = u32(view, offset);
  return value === noInstance ? undefined : value;
}

/** The value of one entry of nvmlFieldValue_t[]; the union's arm is told by its valueType. */
export function fieldValue(view: DataView, offset: number): number {
  const at = offset + 32;
  switch (u32(view, offset + 24)) {
    case 0:
      return view.getFloat64(at, true);
    case 1:
      return view.getUint32(at, true);
    case 4:
      return Number(view.getBigInt64(at, true));
    case 5:
      return view.getInt32(at, true);
    case 6:
      return view.getUint16(at, true);
    default:
      return u64(view, at);
  }
}

/** That entry's own code. */
export function fieldReturned(view: DataView, offset: number): number {
  return view.getInt32(offset + 28, true);
}

/** Makes an entry's answer invalid before a call, so that one the driver skips is not read again. */
export function forgetField(view: DataView, offset: number): void {
  view.setInt32(offset + 28, 999, true);
}
