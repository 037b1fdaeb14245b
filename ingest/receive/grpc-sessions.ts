/**
 * The gRPC port's connections over time: closes idle and half-open ones, ends bodies that take too
 * long, and drains all of them when the process stops. One sweep looks at everything, so no
 * connection and no call has a timer of its own.
 */
import {
  constants,
  type Http2Session,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Clock } from "@axonize/core/runtime/clock";
import * as limits from "../limits.ts";
import type { IngestMetrics } from "../metrics.ts";
import { withinMs } from "../within.ts";

interface Seen {
  usedAt: number;
  aliveAt: number;
  pingedAt: number | undefined;
  streams: number;
}

export function createSessions(deps: { clock: Clock; metrics: IngestMetrics }) {
  const { clock } = deps;
  const seen = new Map<Http2Session, Seen>();
  const reading = new Map<ServerHttp2Stream, number>();
  const closed = (reason: string): void =>
    deps.metrics.connectionsClosed.inc({ transport: "grpc", reason });

  return {
    add: (session: ServerHttp2Session): void => {
      const now = clock.monotonic();
      seen.set(session, { usedAt: now, aliveAt: now, pingedAt: undefined, streams: 0 });
      session.setLocalWindowSize(limits.connectionWindowBytes);
      session.on("error", () => session.destroy());
      session.once("close", () => seen.delete(session));
    },
    /** A call began; the function it returns says that its answer is on the way. */
    began: (stream: ServerHttp2Stream, options: { isLong: boolean }): (() => void) => {
      const state = stream.session === undefined ? undefined : seen.get(stream.session);
      const now = clock.monotonic();
      // An agent's stream has no end that could be waited for; its silence is watched elsewhere.
      if (!options.isLong) reading.set(stream, now);
      stream.once("end", () => reading.delete(stream));
      stream.once("close", () => reading.delete(stream));
      if (state !== undefined) {
        state.streams += 1;
        state.usedAt = now;
      }
      return () => {
        if (state !== undefined) state.streams -= 1;
      };
    },
    sweep: (): void => {
      const now = clock.monotonic();
      for (const [stream, beganAt] of reading) {
        if (now - beganAt <= limits.bodyMs) continue;
        reading.delete(stream);
        closed("slow-body");
        stream.close(constants.NGHTTP2_CANCEL);
      }
      for (const [session, state] of seen) check({ clock, closed }, { session, state, now });
    },
    /** GOAWAY to who is connected now: calls under way are answered, new ones go to other connections. */
    goAway: (): void => {
      for (const session of seen.keys()) if (!session.destroyed) session.close();
    },
    /** GOAWAY to everyone; resolves when every call is answered, or after `ms`. */
    drain: async (ms: number): Promise<void> => {
      const all = [...seen.keys()].map(
        async (session) =>
          await new Promise<void>((resolve) => {
            // Not through close(): it forgets its callback where GOAWAY was sent before.
            session.once("close", resolve);
            if (session.destroyed) resolve();
            else session.close();
          }),
      );
      await withinMs(clock, ms, Promise.all(all));
    },
  };
}

function check(
  deps: { clock: Clock; closed: (reason: string) => void },
  { session, state, now }: { session: Http2Session; state: Seen; now: number },
): void {
  if (state.streams === 0 && now - state.usedAt > limits.idleConnectionMs) {
    deps.closed("idle");
    session.close();
    return;
  }
  if (state.pingedAt !== undefined && now - state.pingedAt > limits.pingMs) {
    deps.closed("half-open");
    session.destroy();
    return;
  }
  if (state.pingedAt === undefined && now - state.aliveAt > limits.pingMs) {
    state.pingedAt = now;
    session.ping(() => {
      state.pingedAt = undefined;
      state.aliveAt = deps.clock.monotonic();
    });
  }
}
