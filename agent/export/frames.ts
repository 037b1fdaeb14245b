/**
 * The frames of the stream as bytes: those of the agent are written, those of the server are read.
 * What a frame means is in `core/contract/agent.proto`.
 */
import { deflateRawSync } from "node:zlib";
import { readFields, text } from "../kubelet/wire.ts";
import { writeProtobuf, type ProtobufField } from "./protobuf.ts";
import type { AgentStatus, DeviceEvent, DeviceFacts, IdentityChange } from "../report.ts";

const kinds = { hello: 1, devices: 2, batch: 3, ping: 4 } as const;

export interface Records {
  readonly identity: readonly IdentityChange[];
  readonly events: readonly DeviceEvent[];
  readonly status: AgentStatus | undefined;
}

export function helloFrame(hello: {
  node: string;
  cluster: string;
  version: string;
  epochs: readonly string[];
}): Buffer {
  const epochs = hello.epochs.map((epoch) => [4, epoch] as const);
  return frame(kinds.hello, [[1, hello.node], [2, hello.cluster], [3, hello.version], ...epochs]);
}

export function devicesFrame(
  epoch: string,
  devices: readonly (DeviceFacts & { number: number })[],
): Buffer {
  return frame(kinds.devices, [
    [1, epoch],
    [2, JSON.stringify(devices)],
  ]);
}

export function batchFrame(
  epoch: string,
  sequence: number,
  content: { samples: Buffer } | { records: Buffer },
): Buffer {
  return frame(kinds.batch, [
    [1, epoch],
    [2, sequence],
    "samples" in content ? [3, content.samples] : [4, content.records],
  ]);
}

export const encodeRecords = (records: Records): Buffer =>
  deflateRawSync(Buffer.from(JSON.stringify(records)));

export function pingFrame(ping: {
  id: number;
  sentUs: number;
  offset: { us: number; errorUs: number } | undefined;
}): Buffer {
  const us = ping.offset?.us;
  return frame(kinds.ping, [
    [1, ping.id],
    [2, ping.sentUs],
    [3, us === undefined ? undefined : us < 0 ? -us * 2 - 1 : us * 2],
    [4, ping.offset?.errorUs],
  ]);
}

const frame = (kind: number, fields: readonly ProtobufField[]): Buffer =>
  writeProtobuf([[kind, writeProtobuf(fields)]]);

/** What the spool needs to know of a frame of ours. */
export interface FrameHead {
  readonly epoch: string;
  /** 0 for devices. */
  readonly sequence: number;
  /** Identity, events, status: they outlive samples. */
  readonly hasRecords: boolean;
}

/** Undefined where the bytes are neither devices nor a batch. Throws WireError on broken ones. */
export function headOf(bytes: Buffer): FrameHead | undefined {
  let head: FrameHead | undefined;
  readFields(bytes, (outer) => {
    if (outer.number !== kinds.devices && outer.number !== kinds.batch) return;
    const inner = { epoch: "", sequence: 0, hasRecords: false };
    readFields(outer.bytes, (field) => {
      if (field.number === 1) inner.epoch = text(field.bytes);
      else if (outer.number === kinds.devices) return;
      else if (field.number === 2) inner.sequence = Number(field.varint);
      else if (field.number === 4) inner.hasRecords = true;
    });
    head = inner;
  });
  return head;
}

export interface Durable {
  readonly epoch: string;
  readonly sequence: number;
}

export type ServerFrame =
  | {
      readonly type: "welcome";
      readonly durable: readonly Durable[];
      readonly windowBatches: number;
      readonly windowBytes: number;
    }
  | ({ readonly type: "ack" } & Durable)
  | {
      readonly type: "pong";
      readonly id: number;
      readonly receivedUs: number;
      readonly sentUs: number;
    }
  | { readonly type: "config"; readonly json: string }
  /** A newer server's. */
  | { readonly type: "other" };

/** Throws WireError on broken bytes. */
export function readServerFrame(bytes: Uint8Array): ServerFrame {
  let frameRead: ServerFrame = { type: "other" };
  readFields(bytes, ({ number, bytes: inner }) => {
    if (number === 1) frameRead = welcomeOf(inner);
    else if (number === 2) frameRead = { type: "ack", ...durableOf(inner) };
    else if (number === 3) {
      const [, id = 0, receivedUs = 0, sentUs = 0] = numbersOf(inner);
      frameRead = { type: "pong", id, receivedUs, sentUs };
    } else if (number === 4) {
      readFields(inner, (field) => {
        if (field.number === 1) frameRead = { type: "config", json: text(field.bytes) };
      });
    }
  });
  return frameRead;
}

function welcomeOf(bytes: Uint8Array): ServerFrame {
  const durable: Durable[] = [];
  readFields(bytes, (field) => {
    if (field.number === 1) durable.push(durableOf(field.bytes));
  });
  const [, , windowBatches = 1, windowBytes = 0] = numbersOf(bytes);
  return { type: "welcome", durable, windowBatches, windowBytes };
}

function durableOf(bytes: Uint8Array): Durable {
  let epoch = "";
  readFields(bytes, (field) => {
    if (field.number === 1) epoch = text(field.bytes);
  });
  const [, , sequence = 0] = numbersOf(bytes);
  return { epoch, sequence };
}

/** Values of the varint fields by number. */
function numbersOf(bytes: Uint8Array): number[] {
  const numbers: number[] = [];
  readFields(bytes, ({ number, varint }) => {
    if (number < 16) numbers[number] = Number(varint);
  });
  return numbers;
}
