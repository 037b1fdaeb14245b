/**
 * First pass over one span: where its fields are. Attributes, events and links are only located, so
 * that time, ids and partition are known before the first column is touched, whatever the order of
 * fields on the wire.
 */
import { attributesPerSpan, eventsPerSpan, linksPerSpan } from "./limits.ts";
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
    this.total += 1;
    if (this.kept === this.most) return;
    if (this.kept === this.starts.length) {
      this.starts = wider(this.starts);
      this.ends = wider(this.ends);
    }
    this.starts[this.kept] = start;
    this.ends[this.kept++] = end;
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
const tags = {
  traceId: 0x0a,
  spanId: 0x12,
  traceState: 0x1a,
  parentSpanId: 0x22,
  name: 0x2a,
  kind: 0x30,
  start: 0x39,
  end: 0x41,
  attributes: 0x4a,
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
  readonly attributes = new Bounds(attributesPerSpan);
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
    this.attributes.reset();
    this.events.reset();
    this.links.reset();
  }

  scan(wire: Wire, start: number, end: number): void {
    this.reset();
    wire.pos = start;
    while (wire.pos < end) {
      const tag = wire.tag(end);
      if (tag === tags.attributes) {
        wire.block(end);
        this.attributes.add(wire.start, wire.end);
      } else if ((tag & 7) === 2) this.block(wire, tag, end);
      else this.scalar(wire, tag, end);
    }
  }

  private block(wire: Wire, tag: number, end: number): void {
    wire.block(end);
    const { start } = wire;
    const length = wire.end - start;
    if (tag === tags.traceId) {
      this.traceId = start;
      this.traceIdLength = length;
    } else if (tag === tags.spanId) {
      this.spanId = start;
      this.spanIdLength = length;
    } else if (tag === tags.parentSpanId) {
      this.parentId = start;
      this.parentIdLength = length;
    } else if (tag === tags.name) {
      this.name = start;
      this.nameLength = length;
    } else if (tag === tags.events) this.events.add(start, wire.end);
    else if (tag === tags.status) this.scanStatus(wire, start, wire.end);
    else if (tag === tags.links) this.links.add(start, wire.end);
    else if (tag === tags.traceState) {
      this.traceState = start;
      this.traceStateLength = length;
    }
  }

  private scalar(wire: Wire, tag: number, end: number): void {
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
