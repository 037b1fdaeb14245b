/**
 * Reads the span ring of the SDKs (sdk/python/docs/span-ring.md): its head, and records as finished OTLP
 * spans. Pure. The bytes are a stranger's: whatever does not fit ends the reading, and nothing throws.
 */
import * as limits from "./limits.ts";

export interface RingHead {
  readonly capacity: number;
  /** Bytes ever written, and bytes that have arrived. */
  readonly head: bigint;
  readonly tail: bigint;
  readonly owner: RingOwner;
}

/** Under whose key spans are sent, and of which resource they are. */
export interface RingOwner {
  /** Only what authenticates: nothing else of a stranger's headers is passed on. */
  readonly credentials: readonly (readonly [CredentialHeader, string])[];
  /** Field `resource` of ResourceSpans, tag included. */
  readonly resource: Buffer;
}

const credentialHeaders = ["authorization", "x-axonize-key"] as const;
type CredentialHeader = (typeof credentialHeaders)[number];

const magic = Buffer.from("AXRING1\0", "latin1");
const fixedHeadBytes = 64;
/** Where the tail lies: stored when spans have arrived, so that nobody sends them again. */
export const tailOffset = 32;

/** undefined: no ring, or one that was never finished being made. */
export function readHead(bytes: Buffer, fileBytes: number): RingHead | undefined {
  if (bytes.length < limits.headerBytes || !bytes.subarray(0, 8).equals(magic)) return undefined;
  const capacity = bytes.readBigUInt64LE(16);
  const [head, tail] = [bytes.readBigUInt64LE(24), bytes.readBigUInt64LE(tailOffset)];
  const ownerBytes = bytes.readUInt32LE(56);
  const fits =
    bytes.readUInt32LE(8) === 1 &&
    bytes.readUInt32LE(12) === limits.headerBytes &&
    capacity >= BigInt(limits.capacityMin) &&
    capacity <= BigInt(limits.capacityMax) &&
    (capacity & (capacity - 1n)) === 0n &&
    BigInt(fileBytes) >= capacity + BigInt(limits.headerBytes) &&
    head >= tail &&
    head - tail <= capacity &&
    ownerBytes <= limits.headerBytes - fixedHeadBytes;
  if (!fits) return undefined;
  const owner = readOwner(bytes.toString("utf8", fixedHeadBytes, fixedHeadBytes + ownerBytes));
  return owner && { capacity: Number(capacity), head, tail, owner };
}

function readOwner(text: string): RingOwner | undefined {
  let told: unknown;
  try {
    told = JSON.parse(text);
  } catch {
    return undefined; // cut short, or a stranger's
  }
  if (typeof told !== "object" || told === null) return undefined;
  const { headers, resource } = told as { headers?: unknown; resource?: unknown }; // looked at below
  if (!Array.isArray(headers) || typeof resource !== "string") return undefined;
  if (!/^([0-9a-f]{2})*$/.test(resource)) return undefined;
  const pairs: unknown[] = headers;
  return { credentials: pairs.flatMap(credential), resource: Buffer.from(resource, "hex") };
}

function credential(pair: unknown): (readonly [CredentialHeader, string])[] {
  if (!Array.isArray(pair)) return [];
  const [name, value]: unknown[] = pair;
  const found = credentialHeaders.find((each) => each === name);
  // What a header may hold: anything else would break the call, or end the header early.
  const valid = typeof value === "string" && /^[\x21-\x7e][\x20-\x7e]*$/.test(value);
  return found && valid && value.length <= limits.credentialBytes ? [[found, value]] : [];
}

export interface Records {
  /** Each a `spans` field of ScopeSpans, tag included. */
  readonly spans: readonly Buffer[];
  /** Bytes of the ring that these and fillers took. */
  readonly bytes: number;
  /** What follows makes no sense: the rest of the ring is lost. */
  readonly broken: boolean;
}

/** Whole records at the beginning of `bytes`, at most `spansMax`; a last one that is cut off is left. */
export function readRecords(bytes: Buffer, spansMax: number): Records {
  const spans: Buffer[] = [];
  let at = 0;
  while (spans.length < spansMax && at + 8 <= bytes.length) {
    const size = bytes.readUInt32LE(at);
    const isFiller = bytes.readUInt32LE(at + 4) !== 0;
    const longest = isFiller ? limits.capacityMax : limits.recordBytes;
    if (size < 16 || size % 16 !== 0 || size > longest) return { spans, bytes: at, broken: true };
    if (isFiller) {
      // The rest of the ring, however long: nothing of it is read.
      return { spans, bytes: at + size, broken: false };
    }
    if (at + size > bytes.length) break;
    const span = readRecord(bytes.subarray(at, at + size));
    if (span === undefined) return { spans, bytes: at, broken: true };
    spans.push(span);
    at += size;
  }
  return { spans, bytes: at, broken: false };
}

const recordHeadBytes = 96;

function readRecord(record: Buffer): Buffer | undefined {
  if (record.length < recordHeadBytes) return undefined;
  const parts: Buffer[] = [];
  let at = recordHeadBytes;
  for (const offset of [8, 12, 16, 20]) {
    const size = record.readUInt32LE(offset);
    if (size > record.length - at) return undefined;
    parts.push(record.subarray(at, at + size));
    at += size;
  }
  const [name, state, message, arena] = parts;
  if (!name || !state || !message || !arena) return undefined;
  const droppedAttributes = record.readUInt32LE(80);
  const droppedEvents = record.readUInt32LE(84);
  const [kind = 0, status = 0, hasParent = 0, remote = 0] = record.subarray(88, 92);
  const span = [
    field(0x0a, record.subarray(24, 40)),
    field(0x12, record.subarray(40, 48)),
    ...(state.length > 0 ? [field(0x1a, state)] : []),
    ...(hasParent ? [field(0x22, record.subarray(48, 56))] : []),
    field(0x2a, name),
    Buffer.from([0x30, kind & 7, 0x39]),
    record.subarray(56, 64),
    Buffer.from([0x41]),
    record.subarray(64, 72),
    arena,
    ...(droppedAttributes > 0 ? [Buffer.from([0x50, ...varint(droppedAttributes)])] : []),
    ...(droppedEvents > 0 ? [Buffer.from([0x60, ...varint(droppedEvents)])] : []),
    ...(status ? [statusField(status, message)] : []),
    // flags: the parent's remoteness is known, and what it is.
    Buffer.from([0x85, 0x01, 0x01, remote ? 0x03 : 0x01, 0, 0]),
  ];
  return field(0x12, Buffer.concat(span));
}

function statusField(status: number, message: Buffer): Buffer {
  const said = message.length > 0 ? [field(0x12, message)] : [];
  return field(0x7a, Buffer.concat([...said, Buffer.from([0x18, status & 3])]));
}

function field(tag: number, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag, ...varint(bytes.length)]), bytes]);
}

/** Of a number below 2^32. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}

const scope = field(0x0a, field(0x0a, Buffer.from("axonize")));

/** An ExportTraceServiceRequest of spans as `readRecords` gives them. */
export function requestOf(owner: RingOwner, spans: readonly Buffer[]): Buffer {
  const scopeSpans = field(0x12, Buffer.concat([scope, ...spans]));
  return field(0x0a, Buffer.concat([owner.resource, scopeSpans]));
}
