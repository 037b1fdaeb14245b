/**
 * A span's events and links as parallel arrays in its payload row; their attributes as JSON text.
 * Events that carry prompts or answers follow the capture setting.
 */
import type { Capture, JsonText } from "./any-value.ts";
import { isContentEvent } from "./key-roles.ts";
import * as limits from "./limits.ts";
import { label } from "./resources.ts";
import type { SpanScan } from "./span-scan.ts";
import type { Strings } from "./strings.ts";
import type { PayloadTable } from "./tables.ts";
import type { Wire } from "./wire.ts";

/** Event: time = 1, name = 2, attributes = 3. Link: trace_id = 1, span_id = 2, attributes = 4. */
const eventTags = { time: 0x09, name: 0x12, attributes: 0x1a };
const linkTags = { traceId: 0x0a, spanId: 0x12, attributes: 0x22 };

export class EventWriter {
  private readonly wire: Wire;
  private readonly strings: Strings;
  private readonly json: JsonText;
  private marks = 0;

  constructor(deps: { wire: Wire; strings: Strings; json: JsonText }) {
    this.wire = deps.wire;
    this.strings = deps.strings;
    this.json = deps.json;
  }

  /** Fills the row whose words are at `row`; answers the marks that came of it. */
  write(scan: SpanScan, payloads: PayloadTable, row: number, capture: Capture): number {
    const { events, links } = scan;
    this.marks = 0;
    if (events.kept + links.kept === 0) return 0;
    this.json.capture = capture;
    this.json.marks = 0;
    for (let i = 0; i < events.kept; i += 1) {
      this.event(events.starts[i] ?? 0, events.ends[i] ?? 0, payloads);
    }
    const { words } = payloads;
    words[row + payloads.event_time.at] = events.kept;
    words[row + payloads.event_name.at] = events.kept;
    words[row + payloads.event_attrs.at] = events.kept;
    let kept = 0;
    for (let i = 0; i < links.kept; i += 1) {
      if (this.link(links.starts[i] ?? 0, links.ends[i] ?? 0, payloads)) kept += 1;
    }
    words[row + payloads.link_trace_id.at] = kept;
    words[row + payloads.link_span_id.at] = kept;
    words[row + payloads.link_attrs.at] = kept;
    return this.marks | this.json.marks;
  }

  private event(start: number, end: number, payloads: PayloadTable): void {
    const { wire, json, strings } = this;
    let lo = 0;
    let hi = 0;
    let name = 0;
    wire.pos = start;
    while (wire.pos < end) {
      const tag = wire.tag(end);
      if (tag === eventTags.time) {
        wire.fixed64(end);
        lo = wire.lo;
        hi = wire.hi;
      } else if (tag === eventTags.name) {
        wire.block(end);
        if (wire.end - wire.start > limits.labelBytes) this.marks |= limits.marks.truncated;
        name = label(strings, wire, wire.start, wire.end);
      } else wire.skip(tag, end);
    }
    payloads.event_time.items.push2(lo, hi);
    payloads.event_name.items.push1(name);
    json.reset();
    json.allContent = isContentEvent(strings.text(name));
    json.object(start, end, eventTags.attributes, 0);
    payloads.event_attrs.items.pushRange(json.out.bytes, json.out.view, 0, json.out.length);
  }

  /** A link whose ids are no ids points nowhere: it is left out, with a mark. */
  private link(start: number, end: number, payloads: PayloadTable): boolean {
    const { wire, json } = this;
    let trace = -1;
    let span = -1;
    wire.pos = start;
    while (wire.pos < end) {
      const tag = wire.tag(end);
      if (tag === linkTags.traceId) {
        wire.block(end);
        trace = wire.end - wire.start === 16 ? wire.start : -1;
      } else if (tag === linkTags.spanId) {
        wire.block(end);
        span = wire.end - wire.start === 8 ? wire.start : -1;
      } else wire.skip(tag, end);
    }
    if (trace === -1 || span === -1) {
      this.marks |= limits.marks.truncated;
      return false;
    }
    payloads.link_trace_id.items.pushFrom(wire.view, trace, 4);
    payloads.link_span_id.items.pushFrom(wire.view, span, 2);
    json.reset();
    json.object(start, end, linkTags.attributes, 0);
    payloads.link_attrs.items.pushRange(json.out.bytes, json.out.view, 0, json.out.length);
    return true;
  }
}
