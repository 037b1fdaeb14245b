/**
 * What a fresh connection on the gRPC port speaks, told from its first bytes: HTTP/2 by prior
 * knowledge, or something else that gets a sentence (HTTP/1.1) or is closed (TLS, noise, silence).
 */
import type { Socket } from "node:net";
import type { Clock } from "@axonize/core/runtime/clock";
import * as limits from "../limits.ts";

/** The beginning of HTTP/2's connection preface; no HTTP/1 method begins like it. */
const preface = Buffer.from("PRI * HTTP/2.0\r\n");

export function sniffProtocol(
  socket: Socket,
  options: { clock: Clock; onHttp2: () => void; onOther: (reason: string) => void },
): void {
  const abort = new AbortController();
  let seen: Buffer = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const length = Math.min(seen.length, preface.length);
    const isHttp2 = seen.compare(preface, 0, length, 0, length) === 0;
    if (isHttp2 && length < preface.length) return;
    abort.abort();
    socket.off("data", onData);
    if (isHttp2) {
      socket.pause();
      socket.unshift(seen);
      options.onHttp2();
    } else {
      refuse(socket, seen, options.onOther);
    }
  };
  socket.on("data", onData);
  socket.once("close", () => abort.abort());
  void closeIfSilent();

  async function closeIfSilent(): Promise<void> {
    try {
      await options.clock.sleep(limits.firstBytesMs, abort.signal);
    } catch {
      return; // aborted: it has spoken, or it is gone
    }
    options.onOther("silent");
    socket.destroy();
  }
}

function refuse(socket: Socket, seen: Buffer, onOther: (reason: string) => void): void {
  const isHttp1 = /^[A-Z]{3,7} /.test(seen.toString("latin1", 0, 8));
  onOther(isHttp1 ? "http1" : "unknown-protocol");
  if (!isHttp1) {
    socket.destroy();
    return;
  }
  const body =
    "This port takes OTLP over gRPC (HTTP/2). Send OTLP over HTTP to the other port, 4318 by default.\n";
  socket.end(
    `HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroySoon(),
  );
}
