/**
 * The tables that decoding fills, column by column as in `migrations/clickhouse/`; a test compares
 * names and types with the migrated tables. `table.ts` says how rows are kept.
 */
import { Table } from "./table.ts";

export const modelSourceType = "Enum8('none' = 0, 'span' = 1, 'trace' = 2, 'instance' = 3)";
export const ttftBasisType = "Enum8('none' = 0, 'client' = 1, 'gateway' = 2, 'engine' = 3)";

/* Field names are the columns' names in SQL, hence the underscores. */
export class SpanTable extends Table {
  readonly tenant_id = this.number("UInt32", 4);
  readonly retention = this.number("UInt16", 2);
  readonly start = this.number("DateTime64(9, 'UTC')", 8);
  readonly received = this.integer("DateTime64(3, 'UTC')");
  readonly trace_id = this.number("FixedString(16)", 16);
  readonly span_id = this.number("FixedString(8)", 8);
  readonly parent_span_id = this.number("FixedString(8)", 8);
  readonly name = this.label();
  readonly kind = this.number("UInt8", 1);
  readonly status = this.number("UInt8", 1);
  readonly error_type = this.label();
  readonly duration_ns = this.number("UInt64", 8);
  readonly service = this.label();
  readonly instance = this.label();
  readonly environment = this.label();
  readonly operation = this.label();
  readonly model = this.label();
  readonly model_source = this.number(modelSourceType, 1);
  readonly provider = this.label();
  readonly engine = this.label();
  readonly ttft_ns = this.nullable("UInt64");
  readonly ttft_basis = this.number(ttftBasisType, 1);
  readonly itl_ns = this.nullable("UInt64");
  readonly queue_ns = this.nullable("UInt64");
  readonly prefill_ns = this.nullable("UInt64");
  readonly decode_ns = this.nullable("UInt64");
  readonly kv_transfer_ns = this.nullable("UInt64");
  readonly input_tokens = this.nullable("UInt32");
  readonly output_tokens = this.nullable("UInt32");
  readonly cached_tokens = this.nullable("UInt32");
  readonly reasoning_tokens = this.nullable("UInt32");
  readonly finish_reason = this.label();
  readonly session = this.text();
  readonly user = this.text();
  readonly namespace = this.label();
  readonly pod_uid = this.label();
  readonly pod = this.label();
  readonly node = this.label();
  readonly container = this.label();
  readonly gpu_ordinals = this.list("UInt8", 1);
  readonly gpu_devices = this.labelList();
  readonly gpu_level = this.label();
  readonly gpu_candidates = this.labelList();
  readonly gpu_reason = this.label();
  readonly gpu_evidence = this.labelList();
  readonly resource_fp = this.number("UInt64", 8);
  readonly marks = this.number("UInt16", 2);
}

export class PayloadTable extends Table {
  readonly tenant_id = this.number("UInt32", 4);
  readonly retention = this.number("UInt16", 2);
  /** The minute of the span's start: enough to find it, and 6 bytes less than the start again. */
  readonly minute = this.number("DateTime('UTC')", 4);
  readonly received = this.integer("DateTime64(3, 'UTC')");
  readonly trace_id = this.number("FixedString(16)", 16);
  readonly span_id = this.number("FixedString(8)", 8);
  readonly trace_state = this.text();
  readonly status_message = this.text();
  readonly scope_name = this.label();
  readonly scope_version = this.label();
  readonly attrs_str = this.textMap();
  readonly attrs_int = this.map("Int64");
  readonly attrs_num = this.map("Float64");
  readonly attrs_bool = this.map("Bool");
  readonly attrs_json = this.textMap();
  readonly content = this.textMap();
  readonly event_time = this.list("Int64", 8);
  readonly event_name = this.labelList();
  readonly event_attrs = this.textList();
  readonly link_trace_id = this.list("FixedString(16)", 16);
  readonly link_span_id = this.list("FixedString(8)", 8);
  readonly link_attrs = this.textList();
  readonly dropped_attributes = this.number("UInt32", 4);
  readonly dropped_events = this.number("UInt32", 4);
  readonly dropped_links = this.number("UInt32", 4);
  /** All that attributes go to. */
  readonly maps = [
    this.attrs_str,
    this.attrs_int,
    this.attrs_num,
    this.attrs_bool,
    this.attrs_json,
    this.content,
  ] as const;
}

export class ResourceTable extends Table {
  readonly tenant_id = this.number("UInt32", 4);
  readonly fp = this.number("UInt64", 8);
  readonly last_seen = this.number("DateTime('UTC')", 4);
  readonly attrs = this.text();
}

export class TraceIndexTable extends Table {
  readonly tenant_id = this.number("UInt32", 4);
  readonly trace_id = this.number("FixedString(16)", 16);
  readonly day = this.number("Date", 2);
  readonly retention = this.number("UInt16", 2);
  readonly min_start = this.number("DateTime64(9, 'UTC')", 8);
  readonly max_start = this.number("DateTime64(9, 'UTC')", 8);
  readonly max_end = this.number("DateTime64(9, 'UTC')", 8);
}

export class FacetTable extends Table {
  readonly tenant_id = this.number("UInt32", 4);
  readonly bucket = this.number("DateTime('UTC')", 4);
  readonly key = this.label();
  readonly value = this.text();
  readonly retention = this.number("UInt16", 2);
  readonly last_seen = this.number("DateTime('UTC')", 4);
}
