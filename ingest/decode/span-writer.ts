/**
 * Writes one span as a row of `spans` and a row of `span_payloads`: checks its ids and times, picks
 * its partition, has its attributes stored and normalised, and adds what is new to the facets.
 *
 * A span that cannot be kept is answered with its reason before any column is touched.
 */
import { createNormalizer, modelSources, type SpanFacts } from "../normalize/normalize.ts";
import { fields, Said } from "../normalize/said.ts";
import type { JsonText } from "./any-value.ts";
import { AttributeWriter } from "./attributes.ts";
import type { Batches, SpanDay } from "./batches.ts";
import { textCut, textRepaired } from "./columns.ts";
import type { RejectReason, RequestContext } from "./decoder.ts";
import { Devices } from "./devices.ts";
import { EventWriter } from "./events.ts";
import { bucketSeconds, facetNames } from "./facet-names.ts";
import type { Facets, FacetScope } from "./facets.ts";
import * as limits from "./limits.ts";
import { Lane, writeResource, type LaneCounts } from "./lane.ts";
import { label, type Resource } from "./resources.ts";
import { SpanScan } from "./span-scan.ts";
import { msOf, StartClock } from "./start-clock.ts";
import { saidMemory, type State } from "./state.ts";
import type { Strings } from "./strings.ts";
import type { Table } from "./table.ts";
import type { PayloadTable, SpanTable } from "./tables.ts";
import { traceHash } from "./trace-hash.ts";
import type { Wire } from "./wire.ts";
import { createWordNotes, type WordNotes } from "./word-notes.ts";

export interface Scope {
  name: number;
  version: number;
  /** Empty for none. */
  engine: string;
}

const facetOf = Object.fromEntries(facetNames.map((name, index) => [name, index]));
const facet = {
  service: facetOf["service"] ?? 0,
  environment: facetOf["environment"] ?? 0,
  model: facetOf["model"] ?? 0,
  provider: facetOf["provider"] ?? 0,
  engine: facetOf["engine"] ?? 0,
  operation: facetOf["operation"] ?? 0,
  namespace: facetOf["namespace"] ?? 0,
  pod: facetOf["pod"] ?? 0,
  node: facetOf["node"] ?? 0,
};
const dayMs = 86_400_000;

export class SpanWriter {
  readonly hours = new StartClock();
  private readonly wire: Wire;
  private readonly strings: Strings;
  private readonly batches: Batches;
  private readonly facets: Facets;
  private readonly scan = new SpanScan();
  private readonly said: Said;
  private readonly normalizer: ReturnType<typeof createNormalizer>;
  private readonly attributes: AttributeWriter;
  private readonly events: EventWriter;
  private readonly facts: SpanFacts = { durationNs: 0, name: 0, service: 0, engine: "" };
  private readonly devices: Devices;
  private readonly lane: Lane;
  private readonly notes: WordNotes;
  private durationLo = 0;
  private durationHi = 0;
  private marks = 0;
  private facetScope: FacetScope | undefined;
  private facetEpoch = -1;

  constructor(deps: {
    wire: Wire;
    strings: Strings;
    json: JsonText;
    batches: Batches;
    facets: Facets;
    state: State;
  }) {
    this.wire = deps.wire;
    this.strings = deps.strings;
    this.batches = deps.batches;
    this.facets = deps.facets;
    this.said = new Said(saidMemory(deps.strings.heap));
    this.normalizer = createNormalizer(deps.strings);
    this.attributes = new AttributeWriter({ ...deps, said: this.said });
    this.events = new EventWriter(deps);
    this.devices = new Devices(deps.strings);
    this.notes = createWordNotes(deps.strings);
    const { attributes, devices, hours } = this;
    this.lane = new Lane({ ...deps, attributes, devices, hours });
  }

  /** Interned strings were renumbered. */
  clear(): void {
    this.attributes.clear();
    this.normalizer.clear();
    this.devices.clear();
    this.notes.clear();
    this.lane.clear();
    this.facetScope = undefined;
  }

  /**
   * Writes the spans of a ScopeSpans from the wire's position up to `end`, at most `most`, as long
   * as they are like those before. The position is left at the first that is to be written alone.
   */
  writeUsual(
    end: number,
    most: number,
    resource: Resource,
    scope: Scope,
    context: RequestContext,
  ): LaneCounts {
    return this.lane.run(end, most, resource, scope, context);
  }

  /** Steps over all spans up to `end`; answers how many. */
  skip(end: number): number {
    return this.lane.skip(end);
  }

  /** Writes one span; answers why not, where it cannot be kept. */
  write(
    start: number,
    end: number,
    resource: Resource,
    scope: Scope,
    context: RequestContext,
  ): RejectReason | "unwanted" | undefined {
    const { scan, wire, hours, batches } = this;
    scan.scan(wire, start, end);
    const refusal = this.refusal(context);
    if (refusal !== undefined) return refusal;
    hours.set(scan.startLo, scan.startHi);
    if (
      batches.daysTouched() >= limits.daysPerRequest &&
      !batches.hasSpanDay(hours.day, context.retentionClass)
    ) {
      return "too_many_days";
    }
    const day = batches.spanDay(hours.day, context.retentionClass);
    const { payloads } = batches.payloadDay(hours.day, context.payloadRetentionClass);
    this.marks = resource.marks;
    this.measure(context);
    this.facts.name = this.spanName();
    this.writePayload(payloads, scope, context);
    this.writeSpan(day.spans, resource, scope, context);
    this.addFacets(day, resource, context);
    batches.resource(resource, context.receivedMs);
    return undefined;
  }

  private refusal(context: RequestContext): RejectReason | "unwanted" | undefined {
    const { scan, wire } = this;
    if (scan.traceIdLength !== 16 || isZero(wire.bytes, scan.traceId, 16))
      return "invalid_trace_id";
    if (scan.spanIdLength !== 8 || isZero(wire.bytes, scan.spanId, 8)) return "invalid_span_id";
    const startMs = msOf(scan.startLo, scan.startHi);
    const oldest = context.receivedMs - context.retentionClass * dayMs;
    if (startMs < oldest || startMs > context.receivedMs + limits.futureMs) {
      return "time_out_of_range";
    }
    const { sampling } = context;
    if (sampling === undefined) return undefined;
    const hash = traceHash(wire.view, scan.traceId);
    if (hash >= sampling.wanted) return "unwanted";
    return hash >= sampling.allowed ? "over_limit" : undefined;
  }

  /** End − start in words; what cannot be is 0 with a mark. */
  private measure(context: RequestContext): void {
    const { scan } = this;
    let lo = scan.endLo - scan.startLo;
    let hi = scan.endHi - scan.startHi;
    if (lo < 0) {
      lo += 2 ** 32;
      hi -= 1;
    }
    const endMs = (scan.endHi * 2 ** 32 + scan.endLo) / 1e6;
    if (scan.endLo === 0 && scan.endHi === 0) this.marks |= limits.marks.unfinished;
    else if (hi < 0) this.marks |= limits.marks.endBeforeStart;
    else if (endMs > context.receivedMs + limits.futureMs)
      this.marks |= limits.marks.timeOutOfRange;
    else {
      this.durationLo = lo;
      this.durationHi = hi;
      return;
    }
    this.durationLo = 0;
    this.durationHi = 0;
  }

  private writePayload(payloads: PayloadTable, scope: Scope, context: RequestContext): void {
    const { scan, said, attributes } = this;
    const row = payloads.begin();
    const { words, doubles } = payloads;
    said.reset();
    said.startMs = msOf(scan.startLo, scan.startHi);
    attributes.capture = context.capture;
    attributes.marks = 0;
    attributes.write(scan, payloads, row, scope.name);
    this.marks |= attributes.marks | this.events.write(scan, payloads, row, context.capture);
    words[row + payloads.tenant_id] = context.tenantNum;
    words[row + payloads.retention] = context.payloadRetentionClass;
    words[row + payloads.minute] = this.hours.bucket(60);
    doubles[(row + payloads.received) >> 1] = context.receivedMs;
    this.ids(words, row + payloads.trace_id, row + payloads.span_id);
    words[row + payloads.trace_state] = this.text(
      payloads,
      scan.traceState,
      scan.traceStateLength,
      limits.idBytes,
    );
    words[row + payloads.status_message] = this.text(
      payloads,
      scan.message,
      scan.messageLength,
      limits.messageBytes,
    );
    words[row + payloads.scope_name] = scope.name;
    words[row + payloads.scope_version] = scope.version;
    const leftOut = Math.max(0, scan.attributes - limits.attributesPerSpan);
    if (leftOut + scan.events.dropped() + scan.links.dropped() > 0) {
      this.marks |= limits.marks.truncated;
    }
    words[row + payloads.dropped_attributes] = scan.droppedAttributes + leftOut;
    words[row + payloads.dropped_events] = scan.droppedEvents + scan.events.dropped();
    words[row + payloads.dropped_links] = scan.droppedLinks + scan.links.dropped();
  }

  private writeSpan(
    spans: SpanTable,
    resource: Resource,
    scope: Scope,
    context: RequestContext,
  ): void {
    const { scan, facts, said } = this;
    facts.durationNs = this.durationHi * 2 ** 32 + this.durationLo;
    facts.service = resource.service;
    facts.engine = scope.engine === "" ? resource.engine : scope.engine;
    this.normalizer.normalize(said, facts);
    const row = spans.begin();
    const { words, doubles } = spans;
    words[row + spans.tenant_id] = context.tenantNum;
    words[row + spans.retention] = context.retentionClass;
    words[row + spans.start] = scan.startLo;
    words[row + spans.start + 1] = scan.startHi;
    doubles[(row + spans.received) >> 1] = context.receivedMs;
    this.ids(words, row + spans.trace_id, row + spans.span_id);
    this.parent(words, row + spans.parent_span_id);
    words[row + spans.name] = facts.name;
    words[row + spans.kind] = scan.kind <= 5 ? scan.kind : 0;
    words[row + spans.status] = scan.status <= 2 ? scan.status : 0;
    words[row + spans.duration_ns] = this.durationLo;
    words[row + spans.duration_ns + 1] = this.durationHi;
    this.labels(spans, row, resource);
    this.numbers(spans, row);
    words[row + spans.session] = this.idText(spans, fields.session);
    words[row + spans.user] = this.idText(spans, fields.user);
    this.devices.write(spans, row, said, resource, context);
    writeResource(words, spans, row, resource);
    words[row + spans.marks] = this.marks;
  }

  private ids(words: Uint32Array, trace: number, span: number): void {
    const { scan, wire } = this;
    copyWords(wire.view, scan.traceId, words, trace, 4);
    copyWords(wire.view, scan.spanId, words, span, 2);
  }

  private parent(words: Uint32Array, at: number): void {
    const { scan, wire } = this;
    if (scan.parentIdLength === 8) copyWords(wire.view, scan.parentId, words, at, 2);
    // No parent; one of a wrong length names nobody, and the mark says that something was there.
    else if (scan.parentIdLength !== 0) this.marks |= limits.marks.truncated;
  }

  private labels(spans: SpanTable, row: number, resource: Resource): void {
    const { words } = spans;
    const { labels, engine } = this.said;
    const operation = labels[fields.operation] ?? 0;
    const own = labels[fields.model] ?? 0;
    // An instance serves its model in calls, not in its start-up or its tool spans.
    const served = own === 0 && operation !== 0 ? resource.model : 0;
    if (served !== 0) labels[fields.model] = served;
    words[row + spans.error_type] = labels[fields.errorType] ?? 0;
    words[row + spans.operation] = operation;
    words[row + spans.model] = own + served;
    words[row + spans.model_source] =
      own !== 0 ? modelSources.span : served !== 0 ? modelSources.instance : modelSources.none;
    words[row + spans.provider] = labels[fields.provider] ?? 0;
    words[row + spans.engine] = engine;
    words[row + spans.finish_reason] = labels[fields.finish] ?? 0;
  }

  private numbers(spans: SpanTable, row: number): void {
    const { words, doubles } = spans;
    const { values, ttftBasis } = this.said;
    words[row + spans.ttft_basis] = ttftBasis;
    doubles[(row + spans.ttft_ns) >> 1] = values[fields.ttft] ?? NaN;
    doubles[(row + spans.itl_ns) >> 1] = values[fields.itl] ?? NaN;
    doubles[(row + spans.queue_ns) >> 1] = values[fields.queue] ?? NaN;
    doubles[(row + spans.prefill_ns) >> 1] = values[fields.prefill] ?? NaN;
    doubles[(row + spans.decode_ns) >> 1] = values[fields.decode] ?? NaN;
    doubles[(row + spans.kv_transfer_ns) >> 1] = values[fields.kvTransfer] ?? NaN;
    doubles[(row + spans.input_tokens) >> 1] = values[fields.inputTokens] ?? NaN;
    doubles[(row + spans.output_tokens) >> 1] = values[fields.outputTokens] ?? NaN;
    doubles[(row + spans.cached_tokens) >> 1] = values[fields.cachedTokens] ?? NaN;
    doubles[(row + spans.reasoning_tokens) >> 1] = values[fields.reasoningTokens] ?? NaN;
  }

  private idText(spans: SpanTable, field: number): number {
    const { said } = this;
    if (said.source(field) === undefined) return 0;
    const { offsets, lengths } = said;
    return this.text(spans, offsets[field] ?? 0, lengths[field] ?? 0, limits.idBytes);
  }

  private addFacets(day: SpanDay, resource: Resource, context: RequestContext): void {
    const { batches, facets, hours } = this;
    const { labels, engine } = this.said;
    const bucket = hours.bucket(bucketSeconds);
    let scope = this.facetScope;
    if (
      scope === undefined ||
      this.facetEpoch !== batches.facetEpoch ||
      scope.bucket !== bucket ||
      scope.tenant !== context.tenantNum ||
      scope.retention !== context.retentionClass
    ) {
      scope = facets.scope(context.tenantNum, bucket, context.retentionClass);
      this.facetScope = scope;
      this.facetEpoch = batches.facetEpoch;
    }
    const { journal } = day;
    const table = day.facets;
    const ms = context.receivedMs;
    if (resource.facetScope !== scope || resource.facetEpoch !== batches.facetEpoch) {
      resource.facetScope = scope;
      resource.facetEpoch = batches.facetEpoch;
      facets.add(scope, facet.service, resource.service, ms, table, journal);
      facets.add(scope, facet.environment, resource.environment, ms, table, journal);
      facets.add(scope, facet.namespace, resource.namespace, ms, table, journal);
      facets.add(scope, facet.pod, resource.pod, ms, table, journal);
      facets.add(scope, facet.node, resource.node, ms, table, journal);
    }
    facets.add(scope, facet.model, labels[fields.model] ?? 0, ms, table, journal);
    facets.add(scope, facet.provider, labels[fields.provider] ?? 0, ms, table, journal);
    facets.add(scope, facet.engine, engine, ms, table, journal);
    facets.add(scope, facet.operation, labels[fields.operation] ?? 0, ms, table, journal);
    facets.show(scope);
  }

  /** Appends a row's text; answers where it begins. */
  private text(table: Table, offset: number, length: number, most: number): number {
    if (length === 0) return 0;
    const { texts } = table;
    const at = texts.length;
    const did = texts.push(this.wire.bytes, this.wire.view, offset, length, most);
    if ((did & textCut) !== 0) this.marks |= limits.marks.truncated;
    if ((did & textRepaired) !== 0) this.marks |= limits.marks.invalidUtf8;
    return at;
  }

  private spanName(): number {
    const { scan, strings, wire } = this;
    const { name, nameLength } = scan;
    if (nameLength > limits.labelBytes) {
      this.marks |= limits.marks.truncated;
      return label(strings, wire, name, name + nameLength);
    }
    const id = strings.intern(wire.bytes, wire.view, name, nameLength);
    const clean = strings.clean[id] ?? id;
    if (clean !== id) this.marks |= limits.marks.invalidUtf8;
    return clean;
  }
}

function copyWords(
  from: DataView,
  offset: number,
  to: Uint32Array,
  at: number,
  count: number,
): void {
  for (let i = 0; i < count; i += 1) to[at + i] = from.getInt32(offset + i * 4, true);
}

function isZero(bytes: Uint8Array, offset: number, length: number): boolean {
  for (let i = 0; i < length; i += 1) if (bytes[offset + i] !== 0) return false;
  return true;
}
