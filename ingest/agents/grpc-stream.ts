/**
 * A bidirectional gRPC stream on node:http2: messages out of length-prefixed bytes, a bounded number of
 * them waiting, the socket paused beyond; messages in, the status in the trailers.
 */
import { constants, type ServerHttp2Stream } from "node:http2";

export type GrpcStatus =
  | "invalid-argument"
  | "already-exists"
  | "permission-denied"
  | "resource-exhausted"
  | "unavailable"
  | "unauthenticated";

const codes: Readonly<Record<GrpcStatus, number>> = {
  "invalid-argument": 3,
  "already-exists": 6,
  "permission-denied": 7,
  "resource-exhausted": 8,
  unavailable: 14,
  unauthenticated: 16,
};

export interface GrpcStream {
  /** The next message; undefined: the stream ended. */
  next(): Promise<Buffer | undefined>;
  send(message: Buffer): void;
  /** Ends it with a status, once. */
  end(status: GrpcStatus, message: string): void;
  /** The status with which we ended it. */
  ended(): GrpcStatus | undefined;
  /** When bytes came last, by the given clock. */
  heardMs(): number;
}

export interface StreamOptions {
  readonly frameBytes: number;
  /** Messages that wait before the socket is paused. */
  readonly waiting: number;
  readonly now: () => number;
}

const headers = { ":status": 200, "content-type": "application/grpc" };

/** One byte "compressed", four bytes of length. */
const prefixBytes = 5;

export function openGrpcStream(stream: ServerHttp2Stream, options: StreamOptions): GrpcStream {
  return new FramedStream(stream, options);
}

class FramedStream implements GrpcStream {
  private readonly stream: ServerHttp2Stream;
  private readonly options: StreamOptions;
  private readonly messages: Buffer[] = [];
  private bytes: Buffer = Buffer.alloc(0);
  private over = false;
  private status: GrpcStatus | undefined;
  private waiter: (() => void) | undefined;
  private heard: number;

  constructor(stream: ServerHttp2Stream, options: StreamOptions) {
    this.stream = stream;
    this.options = options;
    this.heard = options.now();
    stream.on("data", (chunk: Buffer) => this.take(chunk));
    for (const event of ["end", "aborted", "close"] as const) {
      stream.once(event, () => this.finish());
    }
  }

  heardMs(): number {
    return this.heard;
  }

  async next(): Promise<Buffer | undefined> {
    while (this.messages.length === 0 && !this.over) {
      await new Promise<void>((resolve) => {
        this.waiter = resolve;
      });
    }
    if (this.status !== undefined) return undefined;
    const message = this.messages.shift();
    if (this.messages.length < this.options.waiting && this.stream.isPaused()) {
      this.stream.resume();
    }
    return message;
  }

  send(message: Buffer): void {
    const { stream } = this;
    if (this.status !== undefined || stream.destroyed || stream.closed) return;
    this.respond();
    const frame = Buffer.allocUnsafe(prefixBytes + message.length);
    frame[0] = 0;
    frame.writeUInt32BE(message.length, 1);
    message.copy(frame, prefixBytes);
    stream.write(frame);
  }

  end(status: GrpcStatus, message: string): void {
    if (this.status !== undefined) return;
    this.status = status;
    this.finish();
    const { stream } = this;
    if (stream.destroyed || stream.closed) return;
    const trailers = {
      "grpc-status": String(codes[status]),
      "grpc-message": encodeURIComponent(message),
    };
    if (!stream.headersSent) {
      stream.respond({ ...headers, ...trailers }, { endStream: true });
      return;
    }
    stream.once("wantTrailers", () => stream.sendTrailers(trailers));
    stream.end();
  }

  ended(): GrpcStatus | undefined {
    return this.status;
  }

  private respond(): void {
    if (!this.stream.headersSent) this.stream.respond(headers, { waitForTrailers: true });
  }

  private take(chunk: Buffer): void {
    this.heard = this.options.now();
    if (this.status !== undefined) {
      // An agent that was told the end stops sending; whoever goes on is cut off.
      this.stream.close(constants.NGHTTP2_NO_ERROR);
      return;
    }
    this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk]);
    while (this.bytes.length >= prefixBytes) {
      const length = this.bytes.readUInt32BE(1);
      if (this.bytes[0] !== 0 || length > this.options.frameBytes) {
        this.end("resource-exhausted", "A message is too large or compressed.");
        return;
      }
      if (this.bytes.length < prefixBytes + length) break;
      this.messages.push(Buffer.from(this.bytes.subarray(prefixBytes, prefixBytes + length)));
      this.bytes = this.bytes.subarray(prefixBytes + length);
    }
    if (this.messages.length >= this.options.waiting) this.stream.pause();
    this.wake();
  }

  private finish(): void {
    this.over = true;
    this.wake();
  }

  private wake(): void {
    const waiter = this.waiter;
    this.waiter = undefined;
    waiter?.();
  }
}
