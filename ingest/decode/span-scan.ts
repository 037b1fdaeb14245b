/**
 * First pass over one span: where its fields are. Attributes, events and links are only located, so
 * that time, ids and partition are known before the first column is touched, whatever the order of
 * fields on the wire.
 */
import { eventsPerSpan, linksPerSpan } from "./limits.ts";
import type { Wire } from "./wire.ts";

/** Bounds of repeated submessages, of which at most `most` are kept and all are counted. */
export class Bounds {
  starts = new Uint32Array(32);
  ends = new Uint32Array(32);
  kept = 0;
  total = 0;
  private readonly most: number;

  constructor(most: number) {
    this.most = most;
  }
  reset(): void {
    this.kept = 0;
    this.total = 0;
  }
  add(start: number, end: number): void {
    const at = this.total;
    this.total = at + 1;
    if (at >= this.starts.length) {
      if (at >= this.most) return;
      this.starts = wider(this.starts);
      this.ends = wider(this.ends);
    }
    this.starts[at] = start;
    this.ends[at] = end;
    this.kept = at + 1;
  }
  dropped(): number {
    return this.total - this.kept;
  }
}

function wider(old: Uint32Array): Uint32Array<ArrayBuffer> {
  const wide = new Uint32Array(old.length * 2);
  wide.set(old);
  return wide;
}

/** Fields of opentelemetry.proto.trace.v1.Span as tags. */
export const attributeTag = 0x4a;
const tags = {
  traceId: 0x0a,
  spanId: 0x12,
  traceState: 0x1a,
  parentSpanId: 0x22,
  name: 0x2a,
  kind: 0x30,
  start: 0x39,
  end: 0x41,
  attributes: attributeTag,
  droppedAttributes: 0x50,
  events: 0x5a,
  droppedEvents: 0x60,
  links: 0x6a,
  droppedLinks: 0x70,
  status: 0x7a,
} as const;

export class SpanScan {
  traceId = 0;
  traceIdLength = 0;
  spanId = 0;
  spanIdLength = 0;
  parentId = 0;
  parentIdLength = 0;
  traceState = 0;
  traceStateLength = 0;
  name = 0;
  nameLength = 0;
  message = 0;
  messageLength = 0;
  kind = 0;
  status = 0;
  startLo = 0;
  startHi = 0;
  endLo = 0;
  endHi = 0;
  droppedAttributes = 0;
  droppedEvents = 0;
  droppedLinks = 0;
  /** Attributes lie here, and perhaps other fields between them; how many there are. */
  attributesStart = 0;
  attributesEnd = 0;
  attributes = 0;
  readonly events = new Bounds(eventsPerSpan);
  readonly links = new Bounds(linksPerSpan);

  private reset(): void {
    this.traceIdLength = 0;
    this.spanIdLength = 0;
    this.parentIdLength = 0;
    this.traceStateLength = 0;
    this.nameLength = 0;
    this.messageLength = 0;
    this.kind = 0;
    this.status = 0;
    this.startLo = 0;
    this.startHi = 0;
    this.endLo = 0;
    this.endHi = 0;
    this.droppedAttributes = 0;
    this.droppedEvents = 0;
    this.droppedLinks = 0;
    this.attributesStart = 0;
    this.attributesEnd = 0;
    this.attributes = 0;
    this.events.reset();
    this.links.reset();
  }

  scan(wire: Wire, start: number, end: number): void {
    this.reset();
    const { view } = wire;
    let pos = start;
    while (pos < end) {
      const head = pos + 1 < end ? view.getUint16(pos, true) : 0;
      const next = pos + 2 + (head >> 8);
      // Attributes are most of a span, and nearly all fields are shorter than 128 bytes.
      if ((head & 0x80ff) === tags.attributes && next <= end) this.attribute(pos, next);
      else if ((head & 0x8087) === 2 && (head & 0xff) > 7 && next <= end) {
        this.block(wire, head & 0xff, pos + 2, next);
      } else {
        wire.pos = pos;
        this.field(wire, end);
        pos = wire.pos;
        continue;
      }
      pos = next;
    }
  }

  private attribute(start: number, end: number): void {
    if (this.attributes === 0) this.attributesStart = start;
    this.attributes += 1;
    this.attributesEnd = end;
  }

  /** Any field, the general way. */
  private field(wire: Wire, end: number): void {
    const at = wire.pos;
    const tag = wire.tag(end);
    switch (tag) {
      case tags.start:
        wire.fixed64(end);
        this.startLo = wire.lo;
        this.startHi = wire.hi;
        return;
      case tags.end:
        wire.fixed64(end);
        this.endLo = wire.lo;
        this.endHi = wire.hi;
        return;
      case tags.kind:
        this.kind = wire.varint32(end);
        return;
      case tags.droppedAttributes:
        this.droppedAttributes = wire.varint32(end);
        return;
      case tags.droppedEvents:
        this.droppedEvents = wire.varint32(end);
        return;
      case tags.droppedLinks:
        this.droppedLinks = wire.varint32(end);
        return;
      default:
        wire.skip(tag, end);
        if (tag === tags.attributes) this.attribute(at, wire.end);
        else if ((tag & 7) === 2) this.block(wire, tag, wire.start, wire.end);
    }
  }

  private block(wire: Wire, tag: number, start: number, end: number): void {
    switch (tag) {
      case tags.traceId:
        this.traceId = start;
        this.traceIdLength = end - start;
        return;
      case tags.spanId:
        this.spanId = start;
        this.spanIdLength = end - start;
        return;
      case tags.parentSpanId:
        this.parentId = start;
        this.parentIdLength = end - start;
        return;
      case tags.name:
        this.name = start;
        this.nameLength = end - start;
        return;
      case tags.events:
        this.events.add(start, end);
        return;
      case tags.status:
        this.scanStatus(wire, start, end);
        return;
      case tags.links:
        this.links.add(start, end);
        return;
      case tags.traceState:
        this.traceState = start;
        this.traceStateLength = end - start;
        return;
      default:
      // Unknown fields are left out.
    }
  }

  /** Status: message = 2, code = 3. */
  private scanStatus(wire: Wire, start: number, end: number): void {
    wire.pos = start;
    while (wire.pos < end) {
      const tag = wire.tag(end);
      if (tag === 0x12) {
        wire.block(end);
        this.message = wire.start;
        this.messageLength = wire.end - wire.start;
      } else if (tag === 0x18) this.status = wire.varint32(end);
      else wire.skip(tag, end);
    }
    wire.pos = end;
  }
}
