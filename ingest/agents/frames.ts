/**
 * The stream's frames as bytes: those of agents are read and bounded, those of the server are written.
 * What a frame means is in `core/contract/agent.proto`.
 */
import { fieldsOf, MalformedError, type Field } from "../points/wire.ts";
import * as limits from "./limits.ts";

export interface Hello {
  readonly type: "hello";
  readonly node: string;
  readonly cluster: string;
  readonly version: string;
  /** The running one first. */
  readonly epochs: readonly string[];
}

export interface Batch {
  readonly type: "batch";
  readonly epoch: string;
  readonly sequence: number;
  /** Deflated. */
  readonly samples: Buffer | undefined;
  readonly records: Buffer | undefined;
}

export interface Ping {
  readonly type: "ping";
  readonly id: number;
  readonly sentUs: number;
  /** Agent minus server, and how wrong that may be. */
  readonly offset: { readonly ms: number; readonly errorMs: number } | undefined;
}

export type AgentFrame =
  | Hello
  | { readonly type: "devices"; readonly epoch: string; readonly json: string }
  | Batch
  | Ping
  /** A newer agent's. */
  | { readonly type: "other" };

/** Throws MalformedError. */
export function readAgentFrame(bytes: Buffer): AgentFrame {
  for (const outer of fieldsOf(bytes, 0, bytes.length)) {
    if (outer.wire !== 2) continue;
    const fields = [...fieldsOf(bytes, outer.start, outer.end)];
    const text = (number: number): string => textsOf(bytes, fields, number)[0] ?? "";
    if (outer.number === 1) {
      const epochs = textsOf(bytes, fields, 4).slice(0, limits.epochs);
      return { type: "hello", node: text(1), cluster: text(2), version: text(3), epochs };
    }
    if (outer.number === 2) {
      return { type: "devices", epoch: text(1), json: longTextOf(bytes, fields, 2) };
    }
    if (outer.number === 3) {
      return {
        type: "batch",
        epoch: text(1),
        sequence: numberOf(fields, 2) ?? 0,
        samples: bytesOf(bytes, fields, 3),
        records: bytesOf(bytes, fields, 4),
      };
    }
    if (outer.number === 4) return pingOf(fields);
  }
  return { type: "other" };
}

function pingOf(fields: readonly Field[]): Ping {
  const zigzag = numberOf(fields, 3);
  const offsetUs =
    zigzag === undefined ? undefined : zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
  return {
    type: "ping",
    id: numberOf(fields, 1) ?? 0,
    sentUs: numberOf(fields, 2) ?? 0,
    offset:
      offsetUs === undefined
        ? undefined
        : { ms: offsetUs / 1000, errorMs: (numberOf(fields, 4) ?? 0) / 1000 },
  };
}

function textsOf(bytes: Buffer, fields: readonly Field[], number: number): string[] {
  return fields
    .filter((field) => field.number === number && field.wire === 2)
    .map(({ start, end }) => {
      if (end - start > limits.textBytes) throw new MalformedError(`text ${number} is too long`);
      return bytes.toString("utf8", start, end);
    });
}

const longTextOf = (bytes: Buffer, fields: readonly Field[], number: number): string =>
  bytesOf(bytes, fields, number)?.toString("utf8") ?? "";

function bytesOf(bytes: Buffer, fields: readonly Field[], number: number): Buffer | undefined {
  const field = fields.findLast((each) => each.number === number && each.wire === 2);
  return field === undefined ? undefined : bytes.subarray(field.start, field.end);
}

function numberOf(fields: readonly Field[], number: number): number | undefined {
  const field = fields.findLast((each) => each.number === number && each.wire === 0);
  if (field === undefined) return undefined;
  if (field.bits > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new MalformedError(`number ${number} is too large`);
  }
  return Number(field.bits);
}

export interface Durable {
  readonly epoch: string;
  readonly sequence: number;
}

export const welcomeFrame = (durable: readonly Durable[]): Buffer =>
  message([
    [
      1,
      message([
        ...durable.map((each) => [1, ackBody(each)] as const),
        [2, limits.windowBatches],
        [3, limits.windowBytes],
      ]),
    ],
  ]);

export const ackFrame = (durable: Durable): Buffer => message([[2, ackBody(durable)]]);

export const pongFrame = (pong: { id: number; receivedUs: number; sentUs: number }): Buffer =>
  message([
    [
      3,
      message([
        [1, pong.id],
        [2, pong.receivedUs],
        [3, pong.sentUs],
      ]),
    ],
  ]);

export const configFrame = (json: string): Buffer => message([[4, message([[1, json]])]]);

const ackBody = ({ epoch, sequence }: Durable): Buffer =>
  message([
    [1, epoch],
    [2, sequence],
  ]);

/** Fields as protobuf: non-negative integers below 2^53, text, bytes. */
function message(fields: readonly (readonly [number, number | string | Buffer])[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([number, value]) => {
      if (typeof value === "number") return [varint(number * 8), varint(value)];
      const bytes = typeof value === "string" ? Buffer.from(value) : value;
      return [varint(number * 8 + 2), varint(bytes.length), bytes];
    }),
  );
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}
