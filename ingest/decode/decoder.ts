/**
 * What decoding offers the rest of ingest: requests in, finished Native blocks out.
 *
 * Types only. A block is one partition of one table; a request is taken whole or, where its bytes
 * are malformed, not at all, while single bad spans are left out and counted with a reason.
 */

import type { Attributor } from "./devices.ts";
import type { Peer } from "./facts.ts";

/** Why a span of a well-formed request was not kept. */
export const rejectReasons = [
  "invalid_trace_id",
  "invalid_span_id",
  "time_out_of_range",
  "too_many_days",
  "over_limit",
  "too_many_spans",
] as const;
export type RejectReason = (typeof rejectReasons)[number];

export interface RequestContext {
  tenantNum: number;
  capture: "None" | "Redacted" | "Full";
  /** Days; names the partition of spans, trace_index and facets. */
  retentionClass: number;
  /** Days; names the partition of span_payloads. */
  payloadRetentionClass: number;
  receivedMs: number;
  /** The namespace that the sender's key was made for. */
  binding?: ResourceBinding | undefined;
  /** Which traces are kept; without it all are. */
  sampling?: TraceSampling | undefined;
  /** Who knows which devices a process ran on; without it the process's word stands alone. */
  attributor?: Attributor | undefined;
  /** The sender, where the kernel tells. */
  peer?: Peer | undefined;
}

export interface ResourceBinding {
  /** Differs for every namespace and environment. */
  id: string;
  namespace: string;
  /** Of resources that name none; empty: none. */
  environment: string;
}

/** Bounds of a hash of the trace id, 0 … 2^32: every process decides the same for a trace. */
export interface TraceSampling {
  /** From here on the tenant does not want a trace. */
  wanted: number;
  /** From here on it is beyond the tenant's limit; at most `wanted`. */
  allowed: number;
}

export type DecodeResult =
  | {
      ok: true;
      accepted: number;
      rejected: number;
      reasons: ReadonlyMap<RejectReason, number>;
      /** Of traces that the tenant does not want; neither accepted nor rejected. */
      unwanted: number;
      /** Epoch hours of the accepted spans' starts, for usage. */
      hoursTouched: ReadonlySet<number>;
    }
  | { ok: false; reason: string };

export type TraceTable = "spans" | "span_payloads" | "resources" | "trace_index" | "facets";

export interface NativeBlock {
  table: TraceTable;
  rows: number;
  /** One block of ClickHouse's Native format; column names are those of the migrations. */
  bytes: Uint8Array;
  minReceivedMs: number;
  /**
   * To be called once ClickHouse has the block: only then are its resources and facets remembered
   * and left out of later blocks, and its memory is used again: nobody may read `bytes` any more. A
   * block that fails is simply dropped; nothing is lost by it.
   */
  committed(): void;
}

export interface TraceDecoder {
  /** Decodes one ExportTraceServiceRequest into the open batches. All or nothing on malformed bytes. */
  decodeProtobuf(body: Uint8Array, context: RequestContext): DecodeResult;
  decodeJson(body: Uint8Array, context: RequestContext): DecodeResult;
  /** Bytes and rows held in open builders. */
  openBytes(): number;
  openRows(): number;
  /** Everything decoded since the last take, one block per table, UTC day and retention class. */
  take(): NativeBlock[];
}
