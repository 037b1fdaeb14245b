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
import type { DecodeResult, RejectReason, RequestContext, TraceDecoder } from "./decoder.ts";
import { createFacets } from "./facets.ts";
import { protobufFromJson } from "./json.ts";
import * as limits from "./limits.ts";
import { createResources, label, type Resource } from "./resources.ts";
import { SpanWriter, type Scope } from "./span-writer.ts";
import { createState } from "./state.ts";
import { Strings } from "./strings.ts";
import { Malformed, Wire } from "./wire.ts";

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
  const wire = new Wire();
  const strings = new Strings(seed | 0);
  const { heap } = strings;
  const state = createState(heap, options.kernel ?? true);
  const json = new JsonText(wire, strings);
  const resources = createResources({ wire, strings, json });
  const facets = createFacets(strings);
  const batches = new Batches({ strings, facets, seed: seed | 0 });
  const writer = new SpanWriter({ wire, strings, json, batches, facets, state });
  const request = new Request({ wire, strings, resources, writer });

  const decodeProtobuf = (body: Uint8Array, context: RequestContext): DecodeResult => {
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
      if (!(error instanceof Malformed)) throw error;
      return { ok: false, reason: `The body is no ExportTraceServiceRequest: ${error.message}.` };
    } finally {
      wire.close();
      heap.releaseCopy(copy, body);
    }
    batches.accept(context.receivedMs);
    const { accepted, rejected, reasons, unwanted } = request;
    return { ok: true, accepted, rejected, reasons, unwanted, hoursTouched: writer.hours.touched };
  };
  return {
    decodeProtobuf,
    decodeJson: (body, context) => {
      const converted = protobufFromJson(body);
      return converted.ok ? decodeProtobuf(converted.bytes, context) : converted;
    },
    openBytes: () => batches.bytes,
    openRows: () => batches.rows,
    take: () => {
      const blocks = batches.take();
      if (strings.count > limits.internedStrings) {
        strings.clear();
        resources.clear();
        facets.clear();
        writer.clear();
      }
      return blocks;
    },
  };
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
    this.each(0, length, first, (start, end) => this.resourceSpans(start, end, context));
    this.reasons = this.counts ?? noReasons;
  }

  private resourceSpans(start: number, end: number, context: RequestContext): void {
    this.resource = undefined;
    this.head(start, end);
    const { headStart, headEnd } = this;
    this.each(start, end, second, (scopeStart, scopeEnd) => {
      this.isScopeRead = false;
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
    const { wire, writer, scope } = this;
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
      const usual = writer.writeUsual(end, this.resource, scope, context);
      this.accepted += usual.accepted;
      this.unwanted += usual.unwanted;
      this.reject("over_limit", usual.overLimit);
      if (wire.pos > at) continue;
      wire.tag(end);
      wire.block(end);
      const next = wire.end;
      this.span(wire.start, next, this.resource, context);
      wire.pos = next;
    }
  }

  private span(start: number, end: number, resource: Resource, context: RequestContext): void {
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
