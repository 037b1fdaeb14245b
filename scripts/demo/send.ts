/**
 * Sends OTLP/HTTP bodies and obeys what the receiver says: waits for Retry-After on 429 and 503,
 * counts partial successes, and turns what cannot be mended into one paragraph for the person.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { encodeMetrics, encodeTraces, type DemoPoint, type DemoSpan } from "./otlp.ts";

/** Something the person has to do; its message is all they need to see. */
export class DemoError extends Error {
  override readonly name = "DemoError";
}

export interface Sent {
  spans: number;
  points: number;
  bytes: number;
  /** What the receiver refused inside accepted requests, and its last reason. */
  refused: number;
  reason: string;
  /** How often it was asked to wait. */
  waits: number;
}

export interface Sender {
  readonly sent: Sent;
  spans(spans: readonly DemoSpan[]): Promise<void>;
  points(points: readonly DemoPoint[]): Promise<void>;
}

/** Tries of one body while Axonize restarts or is overloaded: about two minutes in all. */
const mostTries = 30;
const longestWaitMs = 5000;

export function createSender(options: {
  endpoint: string;
  key: string | undefined;
  signal: AbortSignal;
}): Sender {
  const sent: Sent = { spans: 0, points: 0, bytes: 0, refused: 0, reason: "", waits: 0 };
  const post = async (path: string, body: Uint8Array): Promise<void> => {
    for (let attempt = 1; ; attempt++) {
      const outcome = await postOnce(`${options.endpoint}${path}`, body, options);
      if ("ok" in outcome) {
        sent.bytes += body.length;
        sent.refused += outcome.refused;
        if (outcome.reason !== "") sent.reason = outcome.reason;
        return;
      }
      const first = sent.bytes === 0 && outcome.unreachable;
      if (first || attempt >= mostTries) throw new DemoError(outcome.problem);
      sent.waits += 1;
      await sleep(outcome.waitMs ?? Math.min(longestWaitMs, 200 * 2 ** attempt), undefined, {
        signal: options.signal,
      });
    }
  };
  return {
    sent,
    spans: async (spans) => {
      if (spans.length === 0) return;
      await post("/v1/traces", encodeTraces(spans));
      sent.spans += spans.length;
    },
    points: async (points) => {
      if (points.length === 0) return;
      await post("/v1/metrics", encodeMetrics(points));
      sent.points += points.length;
    },
  };
}

type Outcome =
  | { ok: true; refused: number; reason: string }
  | { problem: string; waitMs: number | undefined; unreachable: boolean };

async function postOnce(
  url: string,
  body: Uint8Array,
  options: { endpoint: string; key: string | undefined; signal: AbortSignal },
): Promise<Outcome> {
  let response: Response;
  try {
    response = await fetch(url, {
      method: "POST",
      headers: {
        "content-type": "application/x-protobuf",
        ...(options.key === undefined ? {} : { authorization: `Bearer ${options.key}` }),
      },
      // Node's fetch takes the bytes; its type asks for a plain ArrayBuffer behind them.
      body: body as Uint8Array<ArrayBuffer>,
      signal: AbortSignal.any([options.signal, AbortSignal.timeout(30_000)]),
    });
  } catch (error) {
    if (options.signal.aborted) throw error;
    const problem = `Nothing answers at ${options.endpoint}. Start Axonize with \`npm start\` first, or name its OTLP/HTTP address with --endpoint.`;
    return { problem, waitMs: undefined, unreachable: true };
  }
  const answer = new Uint8Array(await response.arrayBuffer());
  if (response.ok) return { ok: true, ...partialSuccess(answer) };
  const said = statusMessage(answer, response.headers.get("content-type") ?? "");
  if (response.status === 401 || response.status === 403) {
    throw new DemoError(
      `Axonize at ${options.endpoint} refused the key (${response.status}: ${said}). Pass one with --key or AXONIZE_API_KEY; Settings in the dashboard makes keys.`,
    );
  }
  const problem = `Axonize at ${options.endpoint} answered ${response.status}: ${said}`;
  if (![429, 502, 503, 504].includes(response.status)) throw new DemoError(problem);
  return { problem, waitMs: retryAfterMs(response.headers.get("retry-after")), unreachable: false };
}

/** Seconds or an HTTP date, as the specification allows. */
export function retryAfterMs(
  header: string | null,
  nowMs: number = Date.now(),
): number | undefined {
  if (header === null) return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

/** Export…ServiceResponse: field 1 partial_success { 1: rejected, 2: message }. */
function partialSuccess(answer: Uint8Array): { refused: number; reason: string } {
  const partial = readFields(answer).get(1);
  if (!(partial instanceof Uint8Array)) return { refused: 0, reason: "" };
  const fields = readFields(partial);
  const refused = fields.get(1);
  const reason = fields.get(2);
  return {
    refused: typeof refused === "number" ? refused : 0,
    reason: reason instanceof Uint8Array ? Buffer.from(reason).toString() : "",
  };
}

/** google.rpc.Status: field 2 is its message. Anything else is shown as text. */
function statusMessage(answer: Uint8Array, contentType: string): string {
  if (contentType.includes("protobuf")) {
    const message = readFields(answer).get(2);
    if (message instanceof Uint8Array) return Buffer.from(message).toString();
  }
  return Buffer.from(answer).toString().trim().slice(0, 300) || "no reason given";
}

/** The last value of each varint and length-delimited field; other types end the reading. */
function readFields(bytes: Uint8Array): Map<number, number | Uint8Array> {
  const fields = new Map<number, number | Uint8Array>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; at < bytes.length; scale *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < bytes.length) {
    const tag = varint();
    if ((tag & 7) === 0) fields.set(tag >>> 3, varint());
    else if ((tag & 7) === 2) {
      const length = varint();
      fields.set(tag >>> 3, bytes.subarray(at, at + length));
      at += length;
    } else break;
  }
  return fields;
}
