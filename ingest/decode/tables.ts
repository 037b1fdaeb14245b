/**
 * The builders of each table that decoding fills, column by column as in `migrations/clickhouse/`.
 *
 * A table here is a set of columns with one name each; a test compares names and types with the
 * migrated tables. Rows are written by `span-writer.ts` and its neighbours, which touch a column only
 * where its value is not the one before: most of a span's columns repeat, and a loop over fifty of
 * them would cost more than reading the span.
 */
import { ByteColumn, NullableColumn, ShortColumn, TextColumn, WordColumn } from "./columns.ts";
import { ArrayColumn, LowCardinalityColumn, MapColumn } from "./composite-columns.ts";
import { nativeBlock, type Column, type NamedColumn } from "./native.ts";
import type { Strings } from "./strings.ts";

/** Behaviour that all tables share; `columns` is filled by the subclass's own fields. */
export class Table {
  rows = 0;
  private markedRows = 0;
  private list: NamedColumn[] | undefined;

  get columns(): readonly NamedColumn[] {
    this.list ??= Object.entries(this)
      .filter((entry): entry is [string, Column] => isColumn(entry[1]))
      .map(([name, column]) => ({ name, column }));
    return this.list;
  }
  /** Columns may lag behind while rows are written; this makes all of them as long as the table. */
  settle(): void {
    for (const { column } of this.columns) column.fill(this.rows);
  }
  mark(): void {
    this.settle();
    this.markedRows = this.rows;
    for (const { column } of this.columns) column.mark();
  }
  rollback(): void {
    this.rows = this.markedRows;
    for (const { column } of this.columns) column.rollback();
  }
  clear(): void {
    this.rows = 0;
    for (const { column } of this.columns) column.clear();
  }
  heldBytes(): number {
    let sum = 0;
    for (const { column } of this.columns) sum += column.heldBytes();
    return sum;
  }
  block(): Uint8Array {
    return nativeBlock(this.columns, this.rows);
  }
}

function isColumn(value: unknown): value is Column {
  return typeof value === "object" && value !== null && "heldBytes" in value && "prefix" in value;
}

export const modelSourceType = "Enum8('none' = 0, 'span' = 1, 'trace' = 2, 'instance' = 3)";
export const ttftBasisType = "Enum8('none' = 0, 'client' = 1, 'gateway' = 2, 'engine' = 3)";

/* Field names are the columns' names in SQL, hence the underscores. */
export class SpanTable extends Table {
  readonly tenant_id = new WordColumn("UInt32", 1);
  readonly retention = new ShortColumn("UInt16");
  readonly start = new WordColumn("DateTime64(9, 'UTC')");
  readonly received = new WordColumn("DateTime64(3, 'UTC')");
  readonly trace_id = new WordColumn("FixedString(16)", 4);
  readonly span_id = new WordColumn("FixedString(8)");
  readonly parent_span_id = new WordColumn("FixedString(8)");
  readonly name: LowCardinalityColumn;
  readonly kind = new ByteColumn("UInt8");
  readonly status = new ByteColumn("UInt8");
  readonly error_type: LowCardinalityColumn;
  readonly duration_ns = new WordColumn("UInt64");
  readonly service: LowCardinalityColumn;
  readonly instance: LowCardinalityColumn;
  readonly environment: LowCardinalityColumn;
  readonly operation: LowCardinalityColumn;
  readonly model: LowCardinalityColumn;
  readonly model_source = new ByteColumn(modelSourceType);
  readonly provider: LowCardinalityColumn;
  readonly engine: LowCardinalityColumn;
  readonly ttft_ns = new NullableColumn("UInt64");
  readonly ttft_basis = new ByteColumn(ttftBasisType);
  readonly itl_ns = new NullableColumn("UInt64");
  readonly queue_ns = new NullableColumn("UInt64");
  readonly prefill_ns = new NullableColumn("UInt64");
  readonly decode_ns = new NullableColumn("UInt64");
  readonly kv_transfer_ns = new NullableColumn("UInt64");
  readonly input_tokens = new NullableColumn("UInt32");
  readonly output_tokens = new NullableColumn("UInt32");
  readonly cached_tokens = new NullableColumn("UInt32");
  readonly reasoning_tokens = new NullableColumn("UInt32");
  readonly finish_reason: LowCardinalityColumn;
  readonly session = new TextColumn();
  readonly user = new TextColumn();
  readonly namespace: LowCardinalityColumn;
  readonly pod_uid: LowCardinalityColumn;
  readonly pod: LowCardinalityColumn;
  readonly node: LowCardinalityColumn;
  readonly container: LowCardinalityColumn;
  readonly gpu_ordinals = new ArrayColumn(new ByteColumn("UInt8"));
  readonly gpu_devices: ArrayColumn<LowCardinalityColumn>;
  readonly gpu_level: LowCardinalityColumn;
  readonly gpu_candidates: ArrayColumn<LowCardinalityColumn>;
  readonly gpu_reason: LowCardinalityColumn;
  readonly gpu_evidence: ArrayColumn<LowCardinalityColumn>;
  readonly resource_fp = new WordColumn("UInt64");
  readonly marks = new ShortColumn("UInt16");

  constructor(strings: Strings) {
    super();
    this.name = new LowCardinalityColumn(strings);
    this.error_type = new LowCardinalityColumn(strings);
    this.service = new LowCardinalityColumn(strings);
    this.instance = new LowCardinalityColumn(strings);
    this.environment = new LowCardinalityColumn(strings);
    this.operation = new LowCardinalityColumn(strings);
    this.model = new LowCardinalityColumn(strings);
    this.provider = new LowCardinalityColumn(strings);
    this.engine = new LowCardinalityColumn(strings);
    this.finish_reason = new LowCardinalityColumn(strings);
    this.namespace = new LowCardinalityColumn(strings);
    this.pod_uid = new LowCardinalityColumn(strings);
    this.pod = new LowCardinalityColumn(strings);
    this.node = new LowCardinalityColumn(strings);
    this.container = new LowCardinalityColumn(strings);
    this.gpu_devices = new ArrayColumn(new LowCardinalityColumn(strings));
    this.gpu_level = new LowCardinalityColumn(strings);
    this.gpu_candidates = new ArrayColumn(new LowCardinalityColumn(strings));
    this.gpu_reason = new LowCardinalityColumn(strings);
    this.gpu_evidence = new ArrayColumn(new LowCardinalityColumn(strings));
  }
}

export class PayloadTable extends Table {
  readonly tenant_id = new WordColumn("UInt32", 1);
  readonly retention = new ShortColumn("UInt16");
  /** The minute of the span's start: enough to find it, and 6 bytes less than the start again. */
  readonly minute = new WordColumn("DateTime('UTC')", 1);
  readonly received = new WordColumn("DateTime64(3, 'UTC')");
  readonly trace_id = new WordColumn("FixedString(16)", 4);
  readonly span_id = new WordColumn("FixedString(8)");
  readonly trace_state = new TextColumn();
  readonly status_message = new TextColumn();
  readonly scope_name: LowCardinalityColumn;
  readonly scope_version: LowCardinalityColumn;
  readonly attrs_str: MapColumn<TextColumn>;
  readonly attrs_int: MapColumn<WordColumn>;
  readonly attrs_num: MapColumn<WordColumn>;
  readonly attrs_bool: MapColumn<ByteColumn>;
  readonly attrs_json: MapColumn<TextColumn>;
  readonly content: MapColumn<TextColumn>;
  readonly event_time = new ArrayColumn(new WordColumn("Int64"));
  readonly event_name: ArrayColumn<LowCardinalityColumn>;
  readonly event_attrs = new ArrayColumn(new TextColumn());
  readonly link_trace_id = new ArrayColumn(new WordColumn("FixedString(16)", 4));
  readonly link_span_id = new ArrayColumn(new WordColumn("FixedString(8)"));
  readonly link_attrs = new ArrayColumn(new TextColumn());
  readonly dropped_attributes = new WordColumn("UInt32", 1);
  readonly dropped_events = new WordColumn("UInt32", 1);
  readonly dropped_links = new WordColumn("UInt32", 1);

  constructor(strings: Strings) {
    super();
    this.scope_name = new LowCardinalityColumn(strings);
    this.scope_version = new LowCardinalityColumn(strings);
    this.attrs_str = new MapColumn(strings, new TextColumn());
    this.attrs_int = new MapColumn(strings, new WordColumn("Int64"));
    this.attrs_num = new MapColumn(strings, new WordColumn("Float64"));
    this.attrs_bool = new MapColumn(strings, new ByteColumn("Bool"));
    this.attrs_json = new MapColumn(strings, new TextColumn());
    this.content = new MapColumn(strings, new TextColumn());
    this.event_name = new ArrayColumn(new LowCardinalityColumn(strings));
  }
}

export class ResourceTable extends Table {
  readonly tenant_id = new WordColumn("UInt32", 1);
  readonly fp = new WordColumn("UInt64");
  readonly last_seen = new WordColumn("DateTime('UTC')", 1);
  readonly attrs = new TextColumn();
}

export class TraceIndexTable extends Table {
  readonly tenant_id = new WordColumn("UInt32", 1);
  readonly trace_id = new WordColumn("FixedString(16)", 4);
  readonly day = new ShortColumn("Date");
  readonly retention = new ShortColumn("UInt16");
  readonly min_start = new WordColumn("DateTime64(9, 'UTC')");
  readonly max_start = new WordColumn("DateTime64(9, 'UTC')");
  readonly max_end = new WordColumn("DateTime64(9, 'UTC')");
}

export class FacetTable extends Table {
  readonly tenant_id = new WordColumn("UInt32", 1);
  readonly bucket = new WordColumn("DateTime('UTC')", 1);
  readonly key: LowCardinalityColumn;
  readonly value = new TextColumn();
  readonly retention = new ShortColumn("UInt16");
  readonly last_seen = new WordColumn("DateTime('UTC')", 1);

  constructor(strings: Strings) {
    super();
    this.key = new LowCardinalityColumn(strings);
  }
}
