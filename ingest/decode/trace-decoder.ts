/**
 * OTLP traces to ClickHouse's Native blocks: the composition of this folder, one long-lived instance
 * per process. Requests are read in one pass over their bytes and in two steps: columns grow past a
 * mark, and a malformed byte anywhere returns them to it.
 *
 * It is pure: no clock, no I/O. JSON is turned into protobuf first, so both meet the same code.
 */
import { engineOfScope } from "../normalize/engines.ts";
import { JsonText } from "./any-value.ts";
import { Batches } from "./batches.ts";
import { createBlockMemory, type BlockMemory } from "./block-memory.ts";
import type { DecodeResult, RejectReason, RequestContext, TraceDecoder } from "./decoder.ts";
import { createFacets } from "./facets.ts";
import { protobufFromJson } from "./json.ts";
import * as limits from "./limits.ts";
import { createResources, label, type Resource } from "./resources.ts";
import { SpanWriter, type Scope } from "./span-writer.ts";
import { createState } from "./state.ts";
import { Strings } from "./strings.ts";
import { Malformed, Wire } from "./wire.ts";

/** Spans before the kernel is tried again, at most. */
const mostPause = 3;

/** Field 1 of ExportTraceServiceRequest and ResourceSpans' resource; field 2 holds what is inside. */
const first = 0x0a;
const second = 0x12;

export interface TraceDecoderOptions {
  /** Makes hash tables unpredictable to senders; a test passes its own. */
  seed?: number;
  /** Off: everything goes the general way, for tests that compare the two. */
  kernel?: boolean;
}

export function createTraceDecoder(options: TraceDecoderOptions = {}): TraceDecoder {
  const seed = options.seed ?? Math.floor(Math.random() * 2 ** 32);
  const memory = createBlockMemory();
  const make = (): Parts => createParts(seed | 0, options.kernel ?? true, memory);
  let parts = make();
  const decodeProtobuf = (body: Uint8Array, context: RequestContext): DecodeResult =>
    decode(parts, body, context);
  return {
    decodeProtobuf,
    decodeJson: (body, context) => {
      const converted = protobufFromJson(body);
      return converted.ok ? decodeProtobuf(converted.bytes, context) : converted;
    },
    openBytes: () => parts.batches.bytes,
    openRows: () => parts.batches.rows,
    take: () => {
      const { strings, resources, facets, writer, batches, heap } = parts;
      const used = batches.bytes;
      const blocks = batches.take();
      if (heap.size > limits.idleHeapBytes && used * limits.heapSlack < heap.size) {
        // Such memory cannot be given back in part: what is learned is learned anew.
        parts = make();
      } else if (strings.count > limits.internedStrings) {
        strings.clear();
        resources.clear();
        facets.clear();
        writer.clear();
      }
      return blocks;
    },
  };
}

type Parts = ReturnType<typeof createParts>;

/** All that decoding consists of, around one memory. */
function createParts(seed: number, kernel: boolean, memory: BlockMemory) {
  const wire = new Wire();
  const strings = new Strings(seed);
  const { heap } = strings;
  const state = createState(heap, kernel);
  const json = new JsonText(wire, strings);
  const resources = createResources({ wire, strings, json });
  const facets = createFacets(strings);
  const batches = new Batches({ strings, facets, memory, seed });
  const writer = new SpanWriter({ wire, strings, json, batches, facets, state });
  const request = new Request({ wire, strings, resources, writer });
  return { wire, strings, heap, state, resources, facets, batches, writer, request };
}

function decode(parts: Parts, body: Uint8Array, context: RequestContext): DecodeResult {
  const { wire, heap, state, batches, writer, request } = parts;
  // The kernel reads a copy in its own memory; what is read here is read from the body itself.
  const copy = heap.copyOf(body);
  state.set("body", copy);
  wire.open(body);
  batches.begin();
  writer.hours.begin();
  try {
    request.read(body.length, context);
  } catch (error) {
    batches.rollback();
    // A trap of the kernel is a fault of ours that this body brings out, and no reason to stop.
    if (error instanceof WebAssembly.RuntimeError) {
      return { ok: false, reason: `The body cannot be decoded: ${error.message}.` };
    }
    if (!(error instanceof Malformed)) throw error;
    return { ok: false, reason: `The body is no ExportTraceServiceRequest: ${error.message}.` };
  } finally {
    wire.close();
    heap.releaseCopy(copy, body);
  }
  batches.accept(context.receivedMs);
  const { accepted, rejected, reasons, unwanted } = request;
  return { ok: true, accepted, rejected, reasons, unwanted, hoursTouched: writer.hours.touched };
}

const noReasons: ReadonlyMap<RejectReason, number> = new Map();

/** Walks one request down to its spans and counts what becomes of them. */
class Request {
  accepted = 0;
  rejected = 0;
  unwanted = 0;
  reasons = noReasons;
  private readonly wire: Wire;
  private readonly strings: Strings;
  private readonly resources: ReturnType<typeof createResources>;
  private readonly writer: SpanWriter;
  private readonly scope: Scope = { name: 0, version: 0, engine: "" };
  private counts: Map<RejectReason, number> | undefined;
  private resource: Resource | undefined;
  private isScopeRead = false;
  private headStart = 0;
  private headEnd = 0;
  /** Resources and scopes, and spans, that the request has had so far. */
  private groups = 0;
  private spanCount = 0;
  /** Spans for which the kernel is not tried, and for how many it will be next time. */
  private pause = 0;
  private nextPause = 0;

  constructor(deps: {
    wire: Wire;
    strings: Strings;
    resources: ReturnType<typeof createResources>;
    writer: SpanWriter;
  }) {
    this.wire = deps.wire;
    this.strings = deps.strings;
    this.resources = deps.resources;
    this.writer = deps.writer;
  }

  read(length: number, context: RequestContext): void {
    this.accepted = 0;
    this.rejected = 0;
    this.unwanted = 0;
    this.counts = undefined;
    this.groups = 0;
    this.spanCount = 0;
    this.each(0, length, first, (start, end) => this.resourceSpans(start, end, context));
    this.reasons = this.counts ?? noReasons;
  }

  private resourceSpans(start: number, end: number, context: RequestContext): void {
    this.resource = undefined;
    this.countGroup();
    this.head(start, end);
    const { headStart, headEnd } = this;
    this.each(start, end, second, (scopeStart, scopeEnd) => {
      this.isScopeRead = false;
      this.countGroup();
      this.spans(scopeStart, scopeEnd, { start: headStart, end: headEnd }, context);
    });
  }

  /** The spans of one ScopeSpans; `head` is its resource. */
  private spans(
    start: number,
    end: number,
    head: { start: number; end: number },
    context: RequestContext,
  ): void {
    const { wire, writer } = this;
    wire.pos = start;
    while (wire.pos < end) {
      const at = wire.pos;
      const found = wire.tag(end);
      if (found !== second) {
        wire.skip(found, end);
        continue;
      }
      // What has no spans is not worth a look: a body may hold a million of it.
      this.resource ??= this.resources.of(head.start, head.end, context);
      if (!this.isScopeRead) this.readScope(start, end);
      wire.pos = at;
      if (this.spanCount >= limits.spansPerRequest) {
        this.reject("too_many_spans", writer.skip(end));
      } else if (!this.usual(end, this.resource, context)) {
        wire.tag(end);
        wire.block(end);
        const next = wire.end;
        this.span(wire.start, next, this.resource, context);
        wire.pos = next;
      }
    }
  }

  /** Writes as many spans as the kernel takes; false for none. */
  private usual(end: number, resource: Resource, context: RequestContext): boolean {
    if (this.pause > 0) {
      this.pause -= 1;
      return false;
    }
    const { wire, writer, scope } = this;
    const at = wire.pos;
    const most = limits.spansPerRequest - this.spanCount;
    const { accepted, unwanted, overLimit } = writer.writeUsual(
      end,
      most,
      resource,
      scope,
      context,
    );
    this.accepted += accepted;
    this.unwanted += unwanted;
    this.reject("over_limit", overLimit);
    this.spanCount += accepted + unwanted + overLimit;
    const isTaken = wire.pos > at;
    // Where one span after the other is unusual, trying in vain adds a quarter to writing.
    this.pause = isTaken ? 0 : this.nextPause;
    this.nextPause = isTaken ? 0 : Math.min(this.nextPause * 2 + 1, mostPause);
    return isTaken;
  }

  /** A body of empty groups is no request: each costs as much as a span. */
  private countGroup(): void {
    this.groups += 1;
    if (this.groups <= limits.groupsPerRequest) return;
    throw new Malformed(`more than ${limits.groupsPerRequest} resources and scopes`);
  }

  private span(start: number, end: number, resource: Resource, context: RequestContext): void {
    this.spanCount += 1;
    const reason = this.writer.write(start, end, resource, this.scope, context);
    if (reason === undefined) this.accepted += 1;
    else if (reason === "unwanted") this.unwanted += 1;
    else this.reject(reason);
  }

  /**
   * Finds the field before the repeated ones, a resource or a scope, that says whose they are. All
   * encoders write it first; where it is not, it is looked for in the whole message.
   */
  private head(start: number, end: number): void {
    const { wire } = this;
    this.headStart = 0;
    this.headEnd = 0;
    wire.pos = start;
    while (wire.pos < end) {
      const tag = wire.tag(end);
      wire.skip(tag, end);
      if (tag === first) {
        this.headStart = wire.start;
        this.headEnd = wire.end;
      } else if (tag === second && this.headEnd !== 0) return;
    }
  }

  /** InstrumentationScope: name = 1, version = 2. */
  private readScope(start: number, end: number): void {
    const { wire, scope, strings } = this;
    this.head(start, end);
    this.isScopeRead = true;
    scope.name = 0;
    scope.version = 0;
    wire.pos = this.headStart;
    while (wire.pos < this.headEnd) {
      const tag = wire.tag(this.headEnd);
      wire.skip(tag, this.headEnd);
      if (tag === first) scope.name = label(strings, wire, wire.start, wire.end);
      else if (tag === second) scope.version = label(strings, wire, wire.start, wire.end);
    }
    scope.engine = engineOfScope(strings.text(scope.name));
  }

  private reject(reason: RejectReason, count = 1): void {
    if (count === 0) return;
    this.rejected += count;
    this.counts ??= new Map();
    this.counts.set(reason, (this.counts.get(reason) ?? 0) + count);
  }

  /** Calls back for every field with `tag` in the message, and skips the others. */
  private each(
    start: number,
    end: number,
    tag: number,
    visit: (start: number, end: number) => void,
  ): void {
    const { wire } = this;
    wire.pos = start;
    while (wire.pos < end) {
      const found = wire.tag(end);
      if (found !== tag) {
        wire.skip(found, end);
        continue;
      }
      wire.block(end);
      const next = wire.end;
      visit(wire.start, next);
      wire.pos = next;
    }
  }
}
