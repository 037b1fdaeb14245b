/**
 * A span's two rows. What is the same for all spans of a resource and a scope stands in a row that is
 * copied; the rest is written over it, at the places that `tables.ts` declares.
 */
import { copyShort } from "./bytes";
import * as devices from "./devices";
import * as layout from "./layout";
import { basis, engineName } from "./normalize";
import { grow, lengthOfPool, pushText } from "./pools";
import * as said from "./said";
import * as scan from "./scan";

/** Begins a row of a table with a copy; answers where it is. */
function begin(header: usize, template: usize, bytes: u32): usize {
  const rows = load<u32>(header, 4);
  if ((rows + 1) * bytes > load<u32>(header, 8) * 4) grow(header, 1);
  const row = <usize>load<u32>(header) + <usize>rows * bytes;
  memory.copy(row, template, bytes);
  return row;
}

/** How much longer the column became with this span, in units of 2^shift bytes. */
function added(pool: usize, shift: u32): u32 {
  const before = load<u32>(pool - layout.pools + layout.poolLengths);
  return (lengthOfPool(load<u32>(pool)) - before) >> shift;
}

/** Appends a row's text: 0 where it is empty; `failed` where it is no UTF-8. */
function text(pool: usize, at: usize, length: u32): u32 {
  if (length == 0) return 0;
  const header: usize = load<u32>(pool);
  const begins = lengthOfPool(header);
  return pushText(header, at, length) ? begins : failed;
}
const failed: u32 = u32.MAX_VALUE;

export function payloadRow(): bool {
  if (scan.traceStateLength > layout.idBytes || scan.messageLength > layout.messageBytes) {
    return false;
  }
  const state = text(layout.state_payloadTexts, scan.traceState, scan.traceStateLength);
  const message = text(layout.state_payloadTexts, scan.message, scan.messageLength);
  if (state == failed || message == failed) return false;
  const header: usize = load<u32>(layout.state_payload);
  const row = begin(header, load<u32>(layout.state_payloadTemplate), layout.payload_bytes);
  store<u32>(row, scan.minute * 60, layout.payload_minute);
  copyShort(row + layout.payload_trace_id, scan.trace, 16);
  copyShort(row + layout.payload_span_id, scan.id, 8);
  store<u32>(row, state, layout.payload_trace_state);
  store<u32>(row, message, layout.payload_status_message);
  store<u32>(row, added(layout.state_strKeys, 2), layout.payload_attrs_str);
  store<u32>(row, added(layout.state_intKeys, 2), layout.payload_attrs_int);
  store<u32>(row, added(layout.state_numKeys, 2), layout.payload_attrs_num);
  store<u32>(row, added(layout.state_boolKeys, 2), layout.payload_attrs_bool);
  store<u32>(row, added(layout.state_jsonKeys, 2), layout.payload_attrs_json);
  store<u32>(row, added(layout.state_contentKeys, 2), layout.payload_content);
  store<u32>(row, scan.events, layout.payload_event_time);
  store<u32>(row, scan.events, layout.payload_event_name);
  store<u32>(row, scan.events, layout.payload_event_attrs);
  store<u32>(row, scan.droppedAttributes, layout.payload_dropped_attributes);
  store<u32>(row, scan.droppedEvents, layout.payload_dropped_events);
  store<u32>(row, scan.droppedLinks, layout.payload_dropped_links);
  return true;
}

/** The last thing done for a span: from here on both rows count. */
export function spanRow(name: u32): bool {
  const session = idText(layout.field_session);
  const user = idText(layout.field_user);
  if (session == failed || user == failed) return false;
  const header: usize = load<u32>(layout.state_spans);
  const row = begin(header, load<u32>(layout.state_spanTemplate), layout.span_bytes);
  store<u64>(row, scan.start, layout.span_start);
  copyShort(row + layout.span_trace_id, scan.trace, 16);
  copyShort(row + layout.span_span_id, scan.id, 8);
  if (scan.parent != 0) copyShort(row + layout.span_parent_span_id, scan.parent, 8);
  store<u32>(row, name, layout.span_name);
  store<u32>(row, scan.kind <= 5 ? scan.kind : 0, layout.span_kind);
  store<u32>(row, scan.status <= 2 ? scan.status : 0, layout.span_status);
  store<u64>(row, scan.duration, layout.span_duration_ns);
  store<u32>(row, session, layout.span_session);
  store<u32>(row, user, layout.span_user);
  labels(row);
  numbers(row);
  ranOn(row);
  store<u32>(row, load<u32>(layout.state_marks), layout.span_marks);
  store<u32>(header, load<u32>(header, 4) + 1, 4);
  const payload: usize = load<u32>(layout.state_payload);
  store<u32>(payload, load<u32>(payload, 4) + 1, 4);
  store<u32>(layout.state_hours, load<u32>(layout.state_hours) | (1 << ((scan.minute / 60) % 24)));
  return true;
}

function idText(field: u32): u32 {
  if (said.rankOf(field) == said.noRank) return 0;
  const length = load<u32>(layout.said_lengths + ((<usize>field) << 2));
  if (length > layout.idBytes) return failed;
  const offset: usize = load<u32>(layout.said_offsets + ((<usize>field) << 2));
  return text(layout.state_spanTexts, <usize>load<u32>(layout.state_body) + offset, length);
}

function labels(row: usize): void {
  const operation = said.label(layout.field_operation);
  const own = said.label(layout.field_model);
  const served = own == 0 && operation != 0 ? load<u32>(layout.state_model) : 0;
  store<u32>(row, said.label(layout.field_errorType), layout.span_error_type);
  store<u32>(row, operation, layout.span_operation);
  store<u32>(row, own + served, layout.span_model);
  const source = own != 0 ? layout.source_span : served != 0 ? layout.source_instance : 0;
  store<u32>(row, source, layout.span_model_source);
  store<u32>(row, said.label(layout.field_provider), layout.span_provider);
  store<u32>(row, engineName(), layout.span_engine);
  store<u32>(row, said.label(layout.field_finish), layout.span_finish_reason);
}

function numbers(row: usize): void {
  store<u32>(row, basis, layout.span_ttft_basis);
  store<f64>(row, said.value(layout.field_ttft), layout.span_ttft_ns);
  store<f64>(row, said.value(layout.field_itl), layout.span_itl_ns);
  store<f64>(row, said.value(layout.field_queue), layout.span_queue_ns);
  store<f64>(row, said.value(layout.field_prefill), layout.span_prefill_ns);
  store<f64>(row, said.value(layout.field_decode), layout.span_decode_ns);
  store<f64>(row, said.value(layout.field_kvTransfer), layout.span_kv_transfer_ns);
  store<f64>(row, said.value(layout.field_inputTokens), layout.span_input_tokens);
  store<f64>(row, said.value(layout.field_outputTokens), layout.span_output_tokens);
  store<f64>(row, said.value(layout.field_cachedTokens), layout.span_cached_tokens);
  store<f64>(row, said.value(layout.field_reasoningTokens), layout.span_reasoning_tokens);
}

function ranOn(row: usize): void {
  const told = said.label(layout.field_gpuLevel);
  const answer = devices.answer;
  store<u32>(row, devices.ordinals, layout.span_gpu_ordinals);
  if (answer == 0) {
    store<u32>(row, told, layout.span_gpu_level);
    return;
  }
  const level = load<u32>(answer, layout.answer_level);
  store<u32>(row, level == 0 ? told : level, layout.span_gpu_level);
  store<u32>(row, load<u32>(answer, layout.answer_reason), layout.span_gpu_reason);
  const found = load<u32>(answer, layout.answer_devices);
  const candidates = load<u32>(answer, layout.answer_candidates);
  const evidence = load<u32>(answer, layout.answer_evidence);
  store<u32>(row, found, layout.span_gpu_devices);
  store<u32>(row, candidates, layout.span_gpu_candidates);
  store<u32>(row, evidence, layout.span_gpu_evidence);
  let at = answer + layout.answer_items;
  at = devices.pushAnswer(load<u32>(layout.state_devices), at, found);
  at = devices.pushAnswer(load<u32>(layout.state_candidates), at, candidates);
  devices.pushAnswer(load<u32>(layout.state_evidence), at, evidence);
}
