/**
 * What an attempt to send ends with, and the few protobuf messages that servers answer with. A tolerant
 * reader: what it does not understand it skips, and it never reads past the end.
 */
import { DELAY_MAX_MS } from "./limits.ts";

export interface Outcome {
  readonly ok: boolean;
  /** Whether the same batch may be tried again. */
  readonly retry: boolean;
  /** What the server asked for. */
  readonly delayMs?: number | undefined;
  /** A short fixed word: log lines are one per cause. */
  readonly cause: string;
  readonly message: string;
  /** Of a batch that was taken: spans that were not. */
  readonly rejected: number;
}

export type Signal = "traces" | "metrics";

export interface Client {
  /** Sends one request by `deadlineMs` of the exporter's clock. Never rejects. */
  send(
    signal: Signal,
    body: Uint8Array,
    headers: readonly (readonly [name: string, value: string])[],
    deadlineMs: number,
  ): Promise<Outcome>;
  close(): void;
}

export function accepted(rejected: number, message: string): Outcome {
  return { ok: true, retry: false, cause: "", message, rejected };
}

export function failed(cause: string, message: string, retry: boolean, delayMs?: number): Outcome {
  return { ok: false, retry, delayMs, cause, message, rejected: 0 };
}

/** A delay that a server asked for, within reason. NaN and negative ones are none. */
export function boundedDelay(ms: number): number {
  return ms >= 0 ? Math.min(ms, DELAY_MAX_MS) : 0;
}

interface Field {
  readonly number: number;
  readonly value: number;
  readonly bytes: Uint8Array;
}

const empty = new Uint8Array();

/** Fields of a message; stops where it makes no sense. */
export function readFields(data: Uint8Array): Field[] {
  const found: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = data[at++];
      if (byte === undefined) return -1;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return -1;
  };
  while (at < data.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    const wire = key % 8;
    if (key < 8) break;
    if (wire === 0) {
      const value = varint();
      if (value < 0) break;
      found.push({ number, value, bytes: empty });
    } else if (wire === 2) {
      const length = varint();
      if (length < 0 || at + length > data.length) break;
      found.push({ number, value: 0, bytes: data.subarray(at, at + length) });
      at += length;
    } else if (wire === 1 || wire === 5) at += wire === 1 ? 8 : 4;
    else break;
  }
  return found;
}

/** Of an ExportTraceServiceResponse: how many spans were rejected and why. */
export function readPartialSuccess(body: Uint8Array): { rejected: number; reason: string } {
  let rejected = 0;
  let reason = "";
  for (const partial of readFields(body)) {
    if (partial.number !== 1) continue;
    for (const { number, value, bytes } of readFields(partial.bytes)) {
      if (number === 1) rejected = value < 2 ** 53 ? value : 0;
      if (number === 2) reason = Buffer.from(bytes).toString().slice(0, 300);
    }
  }
  return { rejected, reason };
}

/** RetryInfo.retry_delay of a google.rpc.Status, in ms. */
export function readRetryDelay(status: Uint8Array): number | undefined {
  for (const detail of readFields(status)) {
    if (detail.number !== 3) continue;
    const any = readFields(detail.bytes);
    const type = any.find(({ number }) => number === 1)?.bytes ?? empty;
    if (!Buffer.from(type).toString().endsWith("google.rpc.RetryInfo")) continue;
    const info = readFields(any.find(({ number }) => number === 2)?.bytes ?? empty);
    const duration = info.find(({ number }) => number === 1);
    if (duration === undefined) continue;
    const parts = readFields(duration.bytes);
    const part = (wanted: number): number =>
      parts.find(({ number }) => number === wanted)?.value ?? 0;
    return boundedDelay(part(1) * 1000 + part(2) / 1e6);
  }
  return undefined;
}
