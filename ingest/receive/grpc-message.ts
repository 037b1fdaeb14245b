/**
 * gRPC's framing on one HTTP/2 stream: five bytes of prefix before the message, the status in the
 * trailers, `google.rpc.Status` with its retry hint in `grpc-status-details-bin`.
 */
import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { bodyBytes } from "../limits.ts";
import { statusBody, successBody } from "./answer.ts";
import type { Ticket } from "./door.ts";
import { tooLarge } from "./inflate.ts";
import { refusalCodes, refused, type Outcome, type Refused, type Signal } from "./outcome.ts";

/** One byte "compressed", four bytes of length. */
const prefixBytes = 5;

export type Message = { kind: "message"; body: Buffer; gzip: boolean } | { kind: "gone" } | Refused;

/** Reads the one message of a unary call. Stops reading at the first thing wrong with it. */
export async function readMessage(
  stream: ServerHttp2Stream,
  options: { ticket: Ticket; gzip: boolean },
): Promise<Message> {
  return await new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let received = 0;
    const settle = (message: Message): void => {
      stream.off("data", onData);
      stream.pause();
      resolve(message);
    };
    const onData = (chunk: Buffer): void => {
      const known = received >= prefixBytes;
      received += chunk.length;
      chunks.push(chunk);
      const refusal =
        options.ticket.take(chunk.length) ??
        (known || received < prefixBytes ? undefined : checkPrefix(chunks, received));
      if (refusal !== undefined) settle(refusal);
    };
    if (stream.closed || stream.destroyed) {
      resolve({ kind: "gone" });
      return;
    }
    stream.on("data", onData);
    stream.once("end", () => settle(messageOf(chunks, received, options.gzip)));
    stream.once("aborted", () => settle({ kind: "gone" }));
    stream.once("close", () => settle({ kind: "gone" }));
  });
}

function checkPrefix(chunks: readonly Buffer[], received: number): Refused | undefined {
  const length = Buffer.concat(chunks, Math.min(received, prefixBytes)).readUInt32BE(1);
  return length > bodyBytes ? tooLarge() : undefined;
}

function messageOf(chunks: readonly Buffer[], received: number, gzip: boolean): Message {
  const all = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
  if (received < prefixBytes) return refused("malformed", "The call carries no message.");
  const compressed = all[0] === 1;
  const length = all.readUInt32BE(1);
  if (received - prefixBytes !== length) {
    return refused(
      "malformed",
      `The message says it has ${length} bytes and has ${received - prefixBytes}; one call carries one message.`,
    );
  }
  if (compressed && !gzip) {
    return refused(
      "malformed",
      "The message is marked compressed, but the call names no encoding.",
    );
  }
  return { kind: "message", body: all.subarray(prefixBytes), gzip: compressed };
}

const headers: OutgoingHttpHeaders = {
  ":status": 200,
  "content-type": "application/grpc",
  "grpc-accept-encoding": "identity,gzip",
};

export function sendOutcome(stream: ServerHttp2Stream, outcome: Outcome, signal: Signal): void {
  if (stream.destroyed || stream.closed) return;
  if (outcome.kind === "refused") {
    sendRefusal(stream, outcome);
    return;
  }
  const body = successBody(outcome, signal, "protobuf");
  const frame = Buffer.allocUnsafe(prefixBytes + body.length);
  frame[0] = 0;
  frame.writeUInt32BE(body.length, 1);
  body.copy(frame, prefixBytes);
  stream.respond(headers, { waitForTrailers: true });
  stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(frame);
}

function sendRefusal(stream: ServerHttp2Stream, refusal: Refused): void {
  const code = refusalCodes[refusal.code].grpc;
  const trailersOnly = {
    ...headers,
    "grpc-status": String(code),
    "grpc-message": percentEncode(refusal.message),
    "grpc-status-details-bin": statusBody(refusal, "protobuf")
      .toString("base64")
      .replace(/=+$/, ""),
  };
  stream.respond(trailersOnly, { endStream: true });
  // The rest of an unread body is not wanted: RST_STREAM(NO_ERROR), as HTTP/2 has it (RFC 9113 8.1).
  if (!stream.readableEnded) {
    stream.once("finish", () => {
      if (!stream.closed) stream.close(constants.NGHTTP2_NO_ERROR);
    });
  }
}

/** gRPC's percent-encoding: everything but printable ASCII without `%`. */
function percentEncode(message: string): string {
  return [...Buffer.from(message)]
    .map((byte) =>
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
    )
    .join("");
}
