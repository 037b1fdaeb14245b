/**
 * The fast lane: spans that are like those before them go through the kernel, many at a time. Here it
 * is told what all of them have in common (resource, scope, tenant, the rows' tables), and what it
 * noted on the way is passed on. The first span that is not usual ends the run; `SpanWriter` writes
 * it, and the lane goes on behind it.
 */
import type { AttributeWriter } from "./attributes.ts";
import type { Batches } from "./batches.ts";
import type { RequestContext } from "./decoder.ts";
import type { Devices } from "./devices.ts";
import * as limits from "./limits.ts";
import { allowedAt, engineNamesAt, newestMsAt, oldestMsAt, wantedAt } from "./memory-map.ts";
import { engines } from "../normalize/engines.ts";
import type { Resource } from "./resources.ts";
import type { Scope } from "./span-writer.ts";
import { engineNumber, pointToSpans, type State } from "./state.ts";
import type { StartClock } from "./start-clock.ts";
import type { Strings } from "./strings.ts";
import type { PayloadTable, SpanTable } from "./tables.ts";
import type { Wire } from "./wire.ts";

const dayMs = 86_400_000;
/** Field 2 of ScopeSpans. */
const spanTag = 0x12;

/** What became of a run of spans; the object is used again. */
export interface LaneCounts {
  accepted: number;
  unwanted: number;
  overLimit: number;
}

export class Lane {
  private readonly counts: LaneCounts = { accepted: 0, unwanted: 0, overLimit: 0 };
  private readonly wire: Wire;
  private readonly strings: Strings;
  private readonly state: State;
  private readonly batches: Batches;
  private readonly attributes: AttributeWriter;
  private readonly devices: Devices;
  private readonly hours: StartClock;
  private spans: SpanTable | undefined;
  private areNamesKnown = false;
  private spanTemplate: Uint32Array | undefined;
  private payloadTemplate: Uint32Array | undefined;

  constructor(deps: {
    wire: Wire;
    strings: Strings;
    state: State;
    batches: Batches;
    attributes: AttributeWriter;
    devices: Devices;
    hours: StartClock;
  }) {
    this.wire = deps.wire;
    this.strings = deps.strings;
    this.state = deps.state;
    this.batches = deps.batches;
    this.attributes = deps.attributes;
    this.devices = deps.devices;
    this.hours = deps.hours;
  }

  /** Interned strings were renumbered. */
  clear(): void {
    this.areNamesKnown = false;
  }

  /**
   * Writes at most `most` spans from the wire's position up to `end`, the end of their ScopeSpans, and leaves the
   * position behind them.
   */
  run(
    end: number,
    most: number,
    resource: Resource,
    scope: Scope,
    context: RequestContext,
  ): LaneCounts {
    const { wire, state, strings, batches, counts } = this;
    counts.accepted = 0;
    counts.unwanted = 0;
    counts.overLimit = 0;
    const tables = batches.touched(context.retentionClass, context.payloadRetentionClass);
    if (tables === undefined || !state.isKernelUsed || !batches.hasResource(resource))
      return counts;
    const { spans, payloads, day } = tables;
    const body = state.get("body");
    this.prepare(spans, payloads, resource, scope, context);
    state.set("day", day);
    state.set("hours", 0);
    state.set("missed", 0);
    state.set("unwanted", 0);
    state.set("overLimit", 0);
    counts.accepted = strings.heap.kernel.spans(body + wire.pos, body + end, most);
    counts.unwanted = state.get("unwanted");
    counts.overLimit = state.get("overLimit");
    wire.pos = state.get("next") - body;
    this.hours.touch(day, state.get("hours"));
    this.devices.miss(state.get("missed"), context);
    return counts;
  }

  /** Steps over all spans from the wire's position up to `end`; answers how many. */
  skip(end: number): number {
    const { wire, state, strings } = this;
    const body = state.get("body");
    let count = 0;
    while (wire.pos < end) {
      count += strings.heap.kernel.skipSpans(body + wire.pos, body + end);
      wire.pos = state.get("next") - body;
      if (wire.pos >= end) break;
      // Another field, or a length that takes the general way.
      const tag = wire.tag(end);
      wire.skip(tag, end);
      if (tag === spanTag) count += 1;
    }
    return count;
  }

  private prepare(
    spans: SpanTable,
    payloads: PayloadTable,
    resource: Resource,
    scope: Scope,
    context: RequestContext,
  ): void {
    const { state, attributes, strings } = this;
    attributes.capture = context.capture;
    attributes.expect(payloads, scope.name);
    if (this.spans !== spans) pointToSpans(state, spans);
    this.spans = spans;
    if (!this.areNamesKnown) this.nameEngines();
    state.set("engine", engineNumber(scope.engine === "" ? resource.engine : scope.engine));
    state.set("resourceMarks", resource.marks);
    state.set("service", resource.service);
    state.set("environment", resource.environment);
    state.set("namespace", resource.namespace);
    state.set("pod", resource.pod);
    state.set("node", resource.node);
    state.set("model", resource.model);
    state.set("tenant", context.tenantNum);
    state.set("retention", context.retentionClass);
    state.set("process", this.devices.processOf(resource, context));
    const { doubles } = strings.heap;
    doubles[oldestMsAt / 8] = context.receivedMs - context.retentionClass * dayMs;
    const { sampling } = context;
    state.set("isSampled", sampling === undefined ? 0 : 1);
    doubles[wantedAt / 8] = sampling?.wanted ?? 0;
    doubles[allowedAt / 8] = sampling?.allowed ?? 0;
    doubles[newestMsAt / 8] = context.receivedMs + limits.futureMs;
    this.spanTemplateOf(spans, resource, context);
    this.payloadTemplateOf(payloads, scope, context);
  }

  private nameEngines(): void {
    const { strings, state } = this;
    this.areNamesKnown = true;
    engines.forEach(({ name }, i) => {
      strings.heap.words[engineNamesAt / 4 + i + 1] = strings.constant(name);
    });
    state.set("textCompletion", strings.constant("text_completion"));
  }

  private spanTemplateOf(spans: SpanTable, resource: Resource, context: RequestContext): void {
    const words = (this.spanTemplate ??= this.strings.heap.uint32(spans.stride));
    const doubles = new Float64Array(words.buffer, words.byteOffset, words.length >> 1);
    this.state.set("spanTemplate", words.byteOffset);
    words[spans.tenant_id] = context.tenantNum;
    words[spans.retention] = context.retentionClass;
    doubles[spans.received >> 1] = context.receivedMs;
    writeResource(words, spans, 0, resource);
  }

  private payloadTemplateOf(payloads: PayloadTable, scope: Scope, context: RequestContext): void {
    const words = (this.payloadTemplate ??= this.strings.heap.uint32(payloads.stride));
    const doubles = new Float64Array(words.buffer, words.byteOffset, words.length >> 1);
    this.state.set("payloadTemplate", words.byteOffset);
    words[payloads.tenant_id] = context.tenantNum;
    words[payloads.retention] = context.payloadRetentionClass;
    doubles[payloads.received >> 1] = context.receivedMs;
    words[payloads.scope_name] = scope.name;
    words[payloads.scope_version] = scope.version;
  }
}

/** What a row of `spans` says of its resource. */
export function writeResource(
  words: Uint32Array,
  spans: SpanTable,
  row: number,
  resource: Resource,
): void {
  words[row + spans.service] = resource.service;
  words[row + spans.instance] = resource.instance;
  words[row + spans.environment] = resource.environment;
  words[row + spans.namespace] = resource.namespace;
  words[row + spans.pod_uid] = resource.podUid;
  words[row + spans.pod] = resource.pod;
  words[row + spans.node] = resource.node;
  words[row + spans.container] = resource.container;
  words[row + spans.resource_fp] = resource.fpLo;
  words[row + spans.resource_fp + 1] = resource.fpHi;
}
