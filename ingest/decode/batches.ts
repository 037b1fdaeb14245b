/**
 * The open builders: one set per UTC day and retention class, because that is one partition and one
 * insert. A request marks each builder the first time it touches it; a malformed request returns
 * all of them to their marks.
 */
import type { BlockMemory } from "./block-memory.ts";
import type { NativeBlock, TraceTable } from "./decoder.ts";
import type { FacetJournal, Facets } from "./facets.ts";
import * as limits from "./limits.ts";
import type { Resource } from "./resources.ts";
import type { Strings } from "./strings.ts";
import type { Table } from "./table.ts";
import { FacetTable, PayloadTable, ResourceTable, SpanTable, TraceIndexTable } from "./tables.ts";
import { TraceIndex } from "./trace-index.ts";

/** What spans of one day and class fill. */
export interface SpanDay {
  day: number;
  retention: number;
  spans: SpanTable;
  index: TraceIndexTable;
  traces: TraceIndex;
  facets: FacetTable;
  journal: FacetJournal;
  /** Request that touched it last, and what was there before. */
  request: number;
  spansBefore: number;
  facetsBefore: number;
  bytes: number;
}

export interface PayloadDay {
  day: number;
  retention: number;
  payloads: PayloadTable;
  request: number;
  bytes: number;
}

export class Batches {
  /** Number of the open batch; grows with every take. */
  batch = 0;
  request = 0;
  /** Grows whenever facets that were added may be gone: with every take and rollback. */
  facetEpoch = 0;
  minReceivedMs = Infinity;
  rows = 0;
  bytes = 0;
  private readonly strings: Strings;
  private readonly facets: Facets;
  private readonly seed: number;
  private spanDays = new Map<number, SpanDay>();
  private payloadDays = new Map<number, PayloadDay>();
  private idleSpanDays: SpanDay[] = [];
  private idlePayloadDays: PayloadDay[] = [];
  private touchedSpans: SpanDay[] = [];
  private touchedPayloads: PayloadDay[] = [];
  /** Where the span before went, and the next one nearly always goes. */
  private lastSpans: SpanDay | undefined;
  private lastPayloads: PayloadDay | undefined;
  private readonly memory: BlockMemory;
  private readonly resources: ResourceTable;
  private emitted: Resource[] = [];
  private emittedBefore = 0;

  constructor(deps: { strings: Strings; facets: Facets; memory: BlockMemory; seed: number }) {
    this.memory = deps.memory;
    this.strings = deps.strings;
    this.facets = deps.facets;
    this.seed = deps.seed;
    this.resources = new ResourceTable(deps.strings);
  }

  begin(): void {
    this.request += 1;
    this.touchedSpans.length = 0;
    this.touchedPayloads.length = 0;
    this.resources.mark();
    this.emittedBefore = this.emitted.length;
  }

  /** Days that the request in progress has touched. */
  daysTouched(): number {
    return this.touchedSpans.length;
  }

  hasSpanDay(day: number, retention: number): boolean {
    return this.spanDays.get(day * 4096 + retention)?.request === this.request;
  }

  spanDay(day: number, retention: number): SpanDay {
    const last = this.lastSpans;
    if (last?.request === this.request && last.day === day && last.retention === retention) {
      return last;
    }
    const key = day * 4096 + retention;
    let found = this.spanDays.get(key);
    if (found === undefined) {
      found = this.idleSpanDays.pop() ?? this.newSpanDay();
      found.day = day;
      found.retention = retention;
      this.spanDays.set(key, found);
    }
    if (found.request !== this.request) {
      found.request = this.request;
      found.spansBefore = found.spans.rows;
      found.facetsBefore = found.journal.codes.length;
      found.spans.mark();
      found.facets.mark();
      this.touchedSpans.push(found);
    }
    this.lastSpans = found;
    return found;
  }

  payloadDay(day: number, retention: number): PayloadDay {
    const last = this.lastPayloads;
    if (last?.request === this.request && last.day === day && last.retention === retention) {
      return last;
    }
    const key = day * 4096 + retention;
    let found = this.payloadDays.get(key);
    if (found === undefined) {
      found = this.idlePayloadDays.pop() ?? {
        day,
        retention,
        payloads: new PayloadTable(this.strings),
        request: -1,
        bytes: 0,
      };
      found.day = day;
      found.retention = retention;
      this.payloadDays.set(key, found);
    }
    if (found.request !== this.request) {
      found.request = this.request;
      found.payloads.mark();
      this.touchedPayloads.push(found);
    }
    this.lastPayloads = found;
    return found;
  }

  /** The tables that the last span went to, if of these classes and of the request in progress. */
  touched(
    retention: number,
    payloadRetention: number,
  ): { spans: SpanTable; payloads: PayloadTable; day: number } | undefined {
    const { lastSpans, lastPayloads, request } = this;
    if (lastSpans?.request !== request || lastPayloads?.request !== request) return undefined;
    if (lastSpans.day !== lastPayloads.day || lastSpans.retention !== retention) return undefined;
    if (lastPayloads.retention !== payloadRetention) return undefined;
    return { spans: lastSpans.spans, payloads: lastPayloads.payloads, day: lastSpans.day };
  }

  /** Whether ClickHouse or the open batch has the resource's row. */
  hasResource(resource: Resource): boolean {
    return resource.stored || resource.batch === this.batch;
  }

  /** Writes the resource's row unless ClickHouse or the open batch has it. */
  resource(resource: Resource, receivedMs: number): void {
    if (this.hasResource(resource)) return;
    resource.batch = this.batch;
    this.emitted.push(resource);
    const { resources } = this;
    const row = resources.begin();
    const { words, texts } = resources;
    words[row + resources.tenant_id] = resource.tenant;
    words[row + resources.fp] = resource.fpLo;
    words[row + resources.fp + 1] = resource.fpHi;
    words[row + resources.last_seen] = receivedMs / 1000;
    words[row + resources.attrs] = texts.length;
    texts.pushValid(resource.json);
  }

  rollback(): void {
    this.facetEpoch += 1;
    for (const day of this.touchedSpans) {
      day.spans.rollback();
      day.facets.rollback();
      this.facets.rollback(day.journal, day.facetsBefore);
    }
    for (const { payloads } of this.touchedPayloads) payloads.rollback();
    this.resources.rollback();
    for (const resource of this.emitted.splice(this.emittedBefore)) resource.batch = -1;
  }

  /** The request was well formed: its traces are indexed and its bytes counted. */
  accept(receivedMs: number): void {
    for (const day of this.touchedSpans) {
      day.traces.add(day.spans, day.spansBefore, day.index, day);
      this.rows += day.spans.rows - day.spansBefore;
      const bytes = day.spans.heldBytes() + day.index.heldBytes() + day.facets.heldBytes();
      this.bytes += bytes - day.bytes;
      day.bytes = bytes;
    }
    for (const day of this.touchedPayloads) {
      const bytes = day.payloads.heldBytes();
      this.bytes += bytes - day.bytes;
      day.bytes = bytes;
    }
    this.minReceivedMs = Math.min(this.minReceivedMs, receivedMs);
  }

  take(): NativeBlock[] {
    const { emitted } = this;
    const blocks: NativeBlock[] = [];
    const add = (table: TraceTable, from: Table, committed: () => void): void => {
      if (from.rows === 0) return;
      const { minReceivedMs } = this;
      const bytes = from.block(this.memory);
      const { rows } = from;
      blocks.push({
        table,
        rows,
        bytes,
        minReceivedMs,
        committed: () => {
          committed();
          this.memory.give(bytes);
        },
      });
    };
    add("resources", this.resources, () => {
      for (const resource of emitted) resource.stored = true;
    });
    for (const { payloads } of this.payloadDays.values()) {
      add("span_payloads", payloads, nothingToLearn);
    }
    for (const { spans, index, facets, journal } of this.spanDays.values()) {
      add("trace_index", index, nothingToLearn);
      add("facets", facets, () => this.facets.committed(journal));
      add("spans", spans, nothingToLearn);
    }
    this.reset();
    return blocks;
  }

  private reset(): void {
    this.resources.clear();
    this.emitted = [];
    for (const day of this.spanDays.values()) {
      this.facets.close(day.journal);
      day.journal = { scopes: [], codes: [] };
      day.spans.clear();
      day.index.clear();
      day.facets.clear();
      day.traces.clear();
      day.bytes = 0;
      day.request = -1;
      if (this.idleSpanDays.length < limits.idleBuilders) this.idleSpanDays.push(day);
    }
    for (const day of this.payloadDays.values()) {
      day.payloads.clear();
      day.bytes = 0;
      day.request = -1;
      if (this.idlePayloadDays.length < limits.idleBuilders) this.idlePayloadDays.push(day);
    }
    this.spanDays = new Map();
    this.payloadDays = new Map();
    this.batch += 1;
    this.facetEpoch += 1;
    this.rows = 0;
    this.bytes = 0;
    this.minReceivedMs = Infinity;
  }

  private newSpanDay(): SpanDay {
    return {
      day: 0,
      retention: 0,
      spans: new SpanTable(this.strings),
      index: new TraceIndexTable(this.strings),
      traces: new TraceIndex(this.strings.heap, this.seed),
      facets: new FacetTable(this.strings),
      journal: { scopes: [], codes: [] },
      request: -1,
      spansBefore: 0,
      facetsBefore: 0,
      bytes: 0,
    };
  }
}

function nothingToLearn(): void {
  // Rows of these tables are written every time; there is nothing to remember.
}
