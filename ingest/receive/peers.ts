/**
 * Which process is at the other end of a connection from this very machine, asked once a connection. On a
 * host without Kubernetes that is how a sender that says nothing of itself is joined to its devices.
 *
 * Who can tell (the kernel's tables, through the agent's code) is given; without it nobody is known. A
 * request waits a moment for the answer and is taken without it after that.
 */
import type { Socket } from "node:net";
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Peer } from "../decode/facts.ts";
import { peerWaitMs } from "../limits.ts";
import { isLoopbackAddress } from "./door.ts";

/** The process whose socket has `peerPort` and is connected to our `ownPort`. */
export type FindPeer = (ownPort: number, peerPort: number) => Promise<Peer | undefined>;

export interface Peers {
  /** Never rejects. undefined at once: there is nobody to ask about. */
  of(socket: Socket | undefined): Promise<Peer | undefined> | undefined;
}

export function createPeers(deps: { clock: Clock; log: Log }, find: FindPeer | undefined): Peers {
  const known = new WeakMap<Socket, Promise<Peer | undefined>>();
  const ask = async (socket: Socket, ownPort: number, peerPort: number) => {
    let peer: Peer | undefined;
    try {
      peer = await find?.(ownPort, peerPort);
    } catch (error) {
      deps.log.debug({ event: "ingest.peer", error: errorMessage(error) }); // the spans are taken all the same
    }
    // Asked again with the next request: a process that has just forked may be found then.
    if (peer === undefined) known.delete(socket);
    return peer;
  };
  return {
    of(socket) {
      const { localPort, remotePort, remoteAddress } = socket ?? {};
      if (find === undefined || socket === undefined || !isLoopbackAddress(remoteAddress)) {
        return undefined;
      }
      if (localPort === undefined || remotePort === undefined) return undefined;
      const asked = known.get(socket) ?? ask(socket, localPort, remotePort);
      known.set(socket, asked);
      return atMost(deps.clock, asked);
    },
  };
}

async function atMost<T>(clock: Clock, answer: Promise<T>): Promise<T | undefined> {
  const over = new AbortController();
  const limit = clock.sleep(peerWaitMs, over.signal).then(
    () => undefined,
    () => undefined, // aborted: the answer came first
  );
  try {
    return await Promise.race([answer, limit]);
  } finally {
    over.abort();
  }
}
