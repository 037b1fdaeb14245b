/**
 * Writes one span as a row of `spans` and a row of `span_payloads`: checks its ids and times, picks
 * its partition, has its attributes stored and normalised, and adds what is new to the facets.
 *
 * A span that cannot be kept is answered with its reason before any column is touched.
 */
import { aliases } from "../normalize/aliases.ts";
import { modelSources, normalize, Normalized, type SpanFacts } from "../normalize/normalize.ts";
import { Slots } from "../normalize/slots.ts";
import type { JsonText } from "./any-value.ts";
import { AttributeWriter } from "./attributes.ts";
import type { Batches, SpanDay } from "./batches.ts";
import { textCut, textRepaired, type TextColumn } from "./columns.ts";
import type { RejectReason, RequestContext } from "./decoder.ts";
import { Devices } from "./devices.ts";
import { EventWriter } from "./events.ts";
import { bucketSeconds, facetNames, type Facets, type FacetScope } from "./facets.ts";
import * as limits from "./limits.ts";
import { label, type Resource } from "./resources.ts";
import { SpanScan } from "./span-scan.ts";
import type { Strings } from "./strings.ts";
import { StartClock } from "./start-clock.ts";
import type { PayloadTable, SpanTable } from "./tables.ts";
import type { Wire } from "./wire.ts";

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
  private readonly slots = new Slots(aliases.length);
  private readonly attributes: AttributeWriter;
  private readonly events: EventWriter;
  private readonly devices: Devices;
  private readonly normal = new Normalized();
  private readonly facts: SpanFacts;
  private durationLo = 0;
  private durationHi = 0;
  private marks = 0;
  private lastName = 0;
  private facetScope: FacetScope | undefined;
  private facetEpoch = -1;

  constructor(deps: {
    wire: Wire;
    strings: Strings;
    json: JsonText;
    batches: Batches;
    facets: Facets;
  }) {
    this.wire = deps.wire;
    this.strings = deps.strings;
    this.batches = deps.batches;
    this.facets = deps.facets;
    this.attributes = new AttributeWriter({ ...deps, slots: this.slots });
    this.events = new EventWriter(deps);
    this.devices = new Devices(deps.strings);
    this.facts = {
      startMs: 0,
      durationNs: 0,
      name: 0,
      service: 0,
      engine: "",
      read: (offset, length) => readText(this.wire.bytes, offset, length),
    };
  }

  /** Interned strings were renumbered. */
  clear(): void {
    this.attributes.clear();
    this.lastName = 0;
    this.facetScope = undefined;
  }

  write(
    start: number,
    end: number,
    resource: Resource,
    scope: Scope,
    context: RequestContext,
  ): RejectReason | undefined {
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
    this.slots.reset();
    this.attributes.capture = context.capture;
    this.attributes.marks = 0;
    this.attributes.write(scan, payloads, payloads.rows);
    this.marks |= this.attributes.marks;
    this.writePayload(payloads, scope, context);
    this.writeSpan(day.spans, resource, scope, context);
    this.addFacets(day, resource, context);
    batches.resource(resource, context.receivedMs);
    return undefined;
  }

  private refusal(context: RequestContext): RejectReason | undefined {
    const { scan, wire } = this;
    if (scan.traceIdLength !== 16 || isZero(wire.bytes, scan.traceId, 16))
      return "invalid_trace_id";
    if (scan.spanIdLength !== 8 || isZero(wire.bytes, scan.spanId, 8)) return "invalid_span_id";
    const startMs = (scan.startHi * 2 ** 32 + scan.startLo) / 1e6;
    const oldest = context.receivedMs - context.retentionClass * dayMs;
    if (startMs < oldest || startMs > context.receivedMs + limits.futureMs) {
      return "time_out_of_range";
    }
    return undefined;
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
    const { scan, wire } = this;
    const { view } = wire;
    const row = payloads.rows;
    payloads.rows = row + 1;
    payloads.tenant_id.set1(row, context.tenantNum);
    payloads.retention.set(row, context.payloadRetentionClass);
    payloads.minute.set1(row, this.hours.bucket(60));
    payloads.received.setNumber(row, context.receivedMs);
    const trace = scan.traceId;
    payloads.trace_id.push4(
      view.getUint32(trace, true),
      view.getUint32(trace + 4, true),
      view.getUint32(trace + 8, true),
      view.getUint32(trace + 12, true),
    );
    payloads.span_id.push2(
      view.getUint32(scan.spanId, true),
      view.getUint32(scan.spanId + 4, true),
    );
    this.text(payloads.trace_state, scan.traceState, scan.traceStateLength, limits.idBytes);
    this.text(payloads.status_message, scan.message, scan.messageLength, limits.messageBytes);
    payloads.scope_name.set(row, scope.name);
    payloads.scope_version.set(row, scope.version);
    this.marks |= this.events.write(scan, payloads, row, context.capture);
    const { attributes, events, links } = scan;
    payloads.dropped_attributes.set1(row, scan.droppedAttributes + attributes.dropped());
    payloads.dropped_events.set1(row, scan.droppedEvents + events.dropped());
    payloads.dropped_links.set1(row, scan.droppedLinks + links.dropped());
    if (attributes.dropped() + events.dropped() + links.dropped() > 0) {
      this.marks |= limits.marks.truncated;
    }
  }

  private writeSpan(
    spans: SpanTable,
    resource: Resource,
    scope: Scope,
    context: RequestContext,
  ): void {
    const { scan, facts, normal, wire } = this;
    const { view } = wire;
    facts.startMs = (scan.startHi * 2 ** 32 + scan.startLo) / 1e6;
    facts.durationNs = this.durationHi * 2 ** 32 + this.durationLo;
    facts.name = this.spanName();
    facts.service = resource.service;
    facts.engine = scope.engine === "" ? resource.engine : scope.engine;
    normalize(this.slots, facts, this.strings, normal);
    const row = spans.rows;
    spans.rows = row + 1;
    spans.tenant_id.set1(row, context.tenantNum);
    spans.retention.set(row, context.retentionClass);
    spans.start.push2(scan.startLo, scan.startHi);
    spans.received.setNumber(row, context.receivedMs);
    const trace = scan.traceId;
    spans.trace_id.push4(
      view.getUint32(trace, true),
      view.getUint32(trace + 4, true),
      view.getUint32(trace + 8, true),
      view.getUint32(trace + 12, true),
    );
    spans.span_id.push2(view.getUint32(scan.spanId, true), view.getUint32(scan.spanId + 4, true));
    this.parent(spans);
    spans.name.set(row, facts.name);
    spans.kind.set(row, scan.kind <= 5 ? scan.kind : 0);
    spans.status.set(row, scan.status <= 2 ? scan.status : 0);
    spans.duration_ns.push2(this.durationLo, this.durationHi);
    this.normalized(spans, row, resource);
    const { startMs } = facts;
    this.devices.write(spans, row, { slots: this.slots, normal, resource, startMs }, context);
    writeResource(spans, row, resource);
    spans.marks.set(row, this.marks);
  }

  private parent(spans: SpanTable): void {
    const { scan, wire } = this;
    if (scan.parentIdLength === 8) {
      const { view } = wire;
      spans.parent_span_id.push2(
        view.getUint32(scan.parentId, true),
        view.getUint32(scan.parentId + 4, true),
      );
      return;
    }
    // No parent; one of a wrong length names nobody, and the mark says that something was there.
    if (scan.parentIdLength !== 0) this.marks |= limits.marks.truncated;
    spans.parent_span_id.push2(0, 0);
  }

  private normalized(spans: SpanTable, row: number, resource: Resource): void {
    const { normal } = this;
    const ownModel = normal.model !== 0;
    // An instance serves its model in calls, not in its start-up or its tool spans.
    const instanceModel = !ownModel && resource.model !== 0 && normal.operation !== 0;
    if (instanceModel) normal.model = resource.model;
    spans.error_type.set(row, normal.errorType);
    spans.operation.set(row, normal.operation);
    spans.model.set(row, normal.model);
    spans.model_source.set(
      row,
      ownModel ? modelSources.span : instanceModel ? modelSources.instance : modelSources.none,
    );
    spans.provider.set(row, normal.provider);
    spans.engine.set(row, normal.engine);
    spans.ttft_ns.set(row, normal.ttftNs);
    spans.ttft_basis.set(row, normal.ttftBasis);
    spans.itl_ns.set(row, normal.itlNs);
    spans.queue_ns.set(row, normal.queueNs);
    spans.prefill_ns.set(row, normal.prefillNs);
    spans.decode_ns.set(row, normal.decodeNs);
    spans.kv_transfer_ns.set(row, normal.kvTransferNs);
    spans.input_tokens.set(row, normal.inputTokens);
    spans.output_tokens.set(row, normal.outputTokens);
    spans.cached_tokens.set(row, normal.cachedTokens);
    spans.reasoning_tokens.set(row, normal.reasoningTokens);
    spans.finish_reason.set(row, normal.finish);
    this.slotText(spans.session, normal.session);
    this.slotText(spans.user, normal.user);
  }

  private addFacets(day: SpanDay, resource: Resource, context: RequestContext): void {
    const { batches, facets, hours, normal } = this;
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
    facets.add(scope, facet.model, normal.model, ms, table, journal);
    facets.add(scope, facet.provider, normal.provider, ms, table, journal);
    facets.add(scope, facet.engine, normal.engine, ms, table, journal);
    facets.add(scope, facet.operation, normal.operation, ms, table, journal);
  }

  private slotText(column: TextColumn, alias: number): void {
    if (alias === -1) {
      column.pushEmpty();
      return;
    }
    const { offset, length } = this.slots;
    this.text(column, offset[alias] ?? 0, length[alias] ?? 0, limits.idBytes);
  }

  private text(column: TextColumn, offset: number, length: number, most: number): void {
    if (length === 0) {
      column.pushEmpty();
      return;
    }
    const did = column.push(this.wire.bytes, this.wire.view, offset, length, most);
    if ((did & textCut) !== 0) this.marks |= limits.marks.truncated;
    if ((did & textRepaired) !== 0) this.marks |= limits.marks.invalidUtf8;
  }

  private spanName(): number {
    const { scan, strings, wire } = this;
    const { name, nameLength } = scan;
    if (nameLength > limits.labelBytes) {
      this.marks |= limits.marks.truncated;
      return label(strings, wire, name, name + nameLength);
    }
    const id = strings.afterName(this.lastName, wire.bytes, wire.view, name, nameLength);
    this.lastName = id;
    const clean = strings.clean[id] ?? id;
    if (clean !== id) this.marks |= limits.marks.invalidUtf8;
    return clean;
  }
}

function writeResource(spans: SpanTable, row: number, resource: Resource): void {
  spans.service.set(row, resource.service);
  spans.instance.set(row, resource.instance);
  spans.environment.set(row, resource.environment);
  spans.namespace.set(row, resource.namespace);
  spans.pod_uid.set(row, resource.podUid);
  spans.pod.set(row, resource.pod);
  spans.node.set(row, resource.node);
  spans.container.set(row, resource.container);
  spans.resource_fp.set2(row, resource.fpLo, resource.fpHi);
}

function isZero(bytes: Uint8Array, offset: number, length: number): boolean {
  for (let i = 0; i < length; i += 1) if (bytes[offset + i] !== 0) return false;
  return true;
}

const decoder = new TextDecoder();
/** Numbers and moments as text are short; what is longer is neither. */
function readText(bytes: Uint8Array, offset: number, length: number): string {
  return decoder.decode(bytes.subarray(offset, offset + Math.min(length, 64)));
}
