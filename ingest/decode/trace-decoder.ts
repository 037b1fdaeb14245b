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
import { Strings } from "./strings.ts";
import { Malformed, Wire } from "./wire.ts";

/** Field 1 of ExportTraceServiceRequest and ResourceSpans' resource; field 2 holds what is inside. */
const first = 0x0a;
const second = 0x12;

export interface TraceDecoderOptions {
  /** Makes hash tables unpredictable to senders; a test passes its own. */
  seed?: number;
}

export function createTraceDecoder(options: TraceDecoderOptions = {}): TraceDecoder {
  const seed = options.seed ?? Math.floor(Math.random() * 2 ** 32);
  const wire = new Wire();
  const strings = new Strings(seed | 0);
  const json = new JsonText(wire, strings);
  const resources = createResources({ wire, strings, json });
  const facets = createFacets(strings);
  const batches = new Batches({ strings, facets, seed: seed | 0 });
  const writer = new SpanWriter({ wire, strings, json, batches, facets });
  const request = new Request({ wire, strings, resources, writer });

  const decodeProtobuf = (body: Uint8Array, context: RequestContext): DecodeResult => {
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
    }
    batches.accept(context.receivedMs);
    const { accepted, rejected, reasons } = request;
    return { ok: true, accepted, rejected, reasons, hoursTouched: writer.hours.touched };
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
        batches.forgetIdle();
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
  reasons = noReasons;
  private readonly wire: Wire;
  private readonly strings: Strings;
  private readonly resources: ReturnType<typeof createResources>;
  private readonly writer: SpanWriter;
  private readonly scope: Scope = { name: 0, version: 0, engine: "" };
  private counts: Map<RejectReason, number> | undefined;

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
    this.counts = undefined;
    this.each(0, length, first, (start, end) => this.resourceSpans(start, end, context));
    this.reasons = this.counts ?? noReasons;
  }

  private resourceSpans(start: number, end: number, context: RequestContext): void {
    let from = 0;
    let to = 0;
    this.each(start, end, first, (resourceStart, resourceEnd) => {
      from = resourceStart;
      to = resourceEnd;
    });
    const resource = this.resources.of(from, to, context.tenantNum, context.capture);
    this.each(start, end, second, (scopeStart, scopeEnd) =>
      this.scopeSpans(scopeStart, scopeEnd, resource, context),
    );
  }

  private scopeSpans(
    start: number,
    end: number,
    resource: Resource,
    context: RequestContext,
  ): void {
    this.readScope(start, end);
    const { wire, writer, scope } = this;
    wire.pos = start;
    while (wire.pos < end) {
      const tag = wire.tag(end);
      if (tag !== second) {
        wire.skip(tag, end);
        continue;
      }
      wire.block(end);
      const next = wire.end;
      const reason = writer.write(wire.start, next, resource, scope, context);
      wire.pos = next;
      if (reason === undefined) this.accepted += 1;
      else this.reject(reason);
    }
  }

  /** InstrumentationScope: name = 1, version = 2. */
  private readScope(start: number, end: number): void {
    const { wire, scope, strings } = this;
    scope.name = 0;
    scope.version = 0;
    this.each(start, end, first, (from, to) => {
      wire.pos = from;
      while (wire.pos < to) {
        const tag = wire.tag(to);
        if (tag !== first && tag !== second) {
          wire.skip(tag, to);
          continue;
        }
        wire.block(to);
        const id = label(strings, wire, wire.start, wire.end);
        if (tag === first) scope.name = id;
        else scope.version = id;
      }
    });
    scope.engine = engineOfScope(strings.text(scope.name));
  }

  private reject(reason: RejectReason): void {
    this.rejected += 1;
    this.counts ??= new Map();
    this.counts.set(reason, (this.counts.get(reason) ?? 0) + 1);
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
