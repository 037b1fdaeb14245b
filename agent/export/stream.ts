/**
 * One stream to the server, from connecting to its end: hello, welcome, frames within the window,
 * acknowledgements, pings. It never reconnects; `exporter.ts` makes the next one.
 *
 * grpc-js is the client. Its own keepalive finds a connection that is half open, our pings a server
 * that answers HTTP/2 and nothing else.
 */
import {
  Client,
  credentials,
  Metadata,
  status as codes,
  type ClientDuplexStream,
  type ServiceError,
} from "@grpc/grpc-js";
import { reportMethod } from "@axonize/core/contract/agent";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { OffsetMeter } from "./clock-offset.ts";
import { helloFrame, pingFrame, readServerFrame, type Durable } from "./frames.ts";
import * as limits from "./limits.ts";
import type { Spool } from "./spool.ts";

export type StreamEnd =
  | "unreachable"
  | "unauthenticated"
  | "refused"
  | "superseded"
  | "silent"
  | "unreadable"
  | "closed"
  | "stopped";

export interface StreamOptions {
  readonly endpoint: string;
  readonly node: string;
  readonly cluster: string;
  readonly version: string;
  readonly epoch: string;
  /** Default: `limits.keepaliveMs`. */
  readonly keepaliveMs?: number;
  /** The credential now: tokens are renewed while we run. */
  readonly credential: () => Promise<string | undefined>;
}

export interface StreamHandlers {
  welcomed(): void;
  acknowledged(durable: Durable): Promise<void>;
  configured(json: string): void;
  measured(meter: OffsetMeter): void;
}

export interface Stream {
  /** There may be more to send. */
  wake(): void;
  end(): void;
  /** Why it ended, and the words for the log. */
  readonly ended: Promise<{ reason: StreamEnd; detail: string }>;
}

type Call = ClientDuplexStream<Buffer, Buffer>;

export async function openStream(
  deps: { clock: Clock; spool: Spool; meter: OffsetMeter },
  options: StreamOptions,
  handlers: StreamHandlers,
): Promise<Stream> {
  const client = clientOf(options);
  const metadata = new Metadata();
  const credential = await options.credential();
  if (credential !== undefined) metadata.set("authorization", `Bearer ${credential}`);
  const same = (bytes: Buffer): Buffer => bytes;
  const call = client.makeBidiStreamRequest(reportMethod, same, same, metadata);
  return new ReportStream(deps, { client, call, options, handlers });
}

/** `host:port` and `grpc://` are plaintext, `grpcs://` is TLS by the system's authorities. */
function clientOf({ endpoint, keepaliveMs }: StreamOptions): Client {
  const secure = endpoint.startsWith("grpcs://");
  const address = endpoint.replace(/^grpcs?:\/\//, "");
  return new Client(address, secure ? credentials.createSsl() : credentials.createInsecure(), {
    "grpc.keepalive_time_ms": keepaliveMs ?? limits.keepaliveMs,
    "grpc.keepalive_timeout_ms": keepaliveMs ?? limits.keepaliveTimeoutMs,
    "grpc.keepalive_permit_without_calls": 1,
    // One connection, one attempt: pauses and attempts are counted by the exporter.
    "grpc.enable_retries": 0,
    "grpc.use_local_subchannel_pool": 1,
  });
}

class ReportStream implements Stream {
  readonly ended: Promise<{ reason: StreamEnd; detail: string }>;
  private readonly deps: { clock: Clock; spool: Spool; meter: OffsetMeter };
  private readonly call: Call;
  private readonly handlers: StreamHandlers;
  private readonly finish: (end: { reason: StreamEnd; detail: string }) => void;
  private readonly waiting: { epoch: string; sequence: number; bytes: number }[] = [];
  private readonly pings = new Map<number, { sentUs: number; startedMs: number }>();
  private readonly watch = new AbortController();
  private window: { batches: number; bytes: number } | undefined;
  private heardMs: number;
  private pingId = 0;
  private pumping = false;
  private wanted = false;

  constructor(
    deps: { clock: Clock; spool: Spool; meter: OffsetMeter },
    given: { client: Client; call: Call; options: StreamOptions; handlers: StreamHandlers },
  ) {
    const { client, call, options } = given;
    this.deps = deps;
    this.call = call;
    this.handlers = given.handlers;
    this.heardMs = deps.clock.monotonic();
    const done = Promise.withResolvers<{ reason: StreamEnd; detail: string }>();
    this.finish = (end) => {
      this.watch.abort();
      done.resolve(end);
      call.cancel();
      client.close();
    };
    this.ended = done.promise;
    call.on("data", (bytes: Buffer) => this.heard(bytes));
    call.on("error", (error: ServiceError) => this.finish(endOf(error)));
    call.on("end", () => this.finish({ reason: "closed", detail: "the server ended the stream" }));
    deps.spool.rewind();
    const { node, cluster, version, epoch } = options;
    const earlier = deps.spool.epochs().filter((each) => each !== epoch);
    call.write(helloFrame({ node, cluster, version, epochs: [epoch, ...earlier] }));
    void this.keepAlive();
  }

  wake(): void {
    this.wanted = true;
    if (!this.pumping && this.window !== undefined) void this.pump();
  }

  end(): void {
    this.finish({ reason: "stopped", detail: "the agent stops" });
  }

  /** Sends what the window has room for. */
  private async pump(): Promise<void> {
    this.pumping = true;
    try {
      while (this.wanted && !this.watch.signal.aborted && this.hasRoom()) {
        this.wanted = false;
        for (;;) {
          if (!this.hasRoom()) {
            this.wanted = true;
            break;
          }
          const next = await this.deps.spool.next();
          if (next === undefined || this.watch.signal.aborted) break;
          const { epoch, sequence, frame } = next;
          if (sequence > 0) this.waiting.push({ epoch, sequence, bytes: frame.length });
          this.call.write(frame);
        }
      }
    } catch (error) {
      this.finish({ reason: "unreadable", detail: errorMessage(error) });
    } finally {
      this.pumping = false;
    }
  }

  private hasRoom(): boolean {
    if (this.window === undefined) return false;
    const bytes = this.waiting.reduce((sum, each) => sum + each.bytes, 0);
    return this.waiting.length < this.window.batches && bytes < this.window.bytes;
  }

  private heard(bytes: Buffer): void {
    this.heardMs = this.deps.clock.monotonic();
    void this.take(bytes).catch((error: unknown) =>
      this.finish({ reason: "unreadable", detail: errorMessage(error) }),
    );
  }

  private async take(bytes: Buffer): Promise<void> {
    const frame = readServerFrame(bytes);
    if (frame.type === "welcome") {
      for (const durable of frame.durable) await this.handlers.acknowledged(durable);
      this.window = { batches: frame.windowBatches, bytes: frame.windowBytes };
      this.handlers.welcomed();
      this.ping();
      this.wake();
    } else if (frame.type === "ack") {
      const left = this.waiting.filter(
        ({ epoch, sequence }) => epoch !== frame.epoch || sequence > frame.sequence,
      );
      this.waiting.splice(0, this.waiting.length, ...left);
      await this.handlers.acknowledged(frame);
      this.wake();
    } else if (frame.type === "pong") {
      const ping = this.pings.get(frame.id);
      if (ping === undefined) return;
      this.pings.delete(frame.id);
      this.deps.meter.add({
        sentUs: ping.sentUs,
        roundTripUs: (this.heardMs - ping.startedMs) * 1000,
        receivedUs: frame.receivedUs,
        answeredUs: frame.sentUs,
      });
      this.handlers.measured(this.deps.meter);
    } else if (frame.type === "config") this.handlers.configured(frame.json);
  }

  private ping(): void {
    const { clock, meter } = this.deps;
    this.pingId += 1;
    const sentUs = Math.round(clock.now() * 1000);
    this.pings.clear(); // one at a time: an answer to an older one measures nothing
    this.pings.set(this.pingId, { sentUs, startedMs: clock.monotonic() });
    const best = meter.best();
    const offset = best && { us: best.us, errorUs: Math.round(best.errorUs) };
    this.call.write(pingFrame({ id: this.pingId, sentUs, offset }));
  }

  private async keepAlive(): Promise<void> {
    const { clock } = this.deps;
    const { signal } = this.watch;
    try {
      await clock.sleep(limits.welcomeMs, signal);
      while (!signal.aborted) {
        if (this.window === undefined) {
          this.finish({ reason: "silent", detail: "the server did not say welcome" });
          return;
        }
        if (clock.monotonic() - this.heardMs > limits.silenceMs) {
          this.finish({ reason: "silent", detail: "the server says nothing" });
          return;
        }
        this.ping();
        await clock.sleep(limits.pingMs, signal);
      }
    } catch {
      // Aborted: the stream ended otherwise, which is the only way sleep rejects.
    }
  }
}

function endOf(error: ServiceError): { reason: StreamEnd; detail: string } {
  const reasons: Partial<Record<codes, StreamEnd>> = {
    [codes.UNAUTHENTICATED]: "unauthenticated",
    [codes.PERMISSION_DENIED]: "unauthenticated",
    [codes.ALREADY_EXISTS]: "superseded",
    [codes.UNAVAILABLE]: "unreachable",
    [codes.DEADLINE_EXCEEDED]: "unreachable",
    [codes.CANCELLED]: "stopped",
  };
  return { reason: reasons[error.code] ?? "refused", detail: error.details };
}
