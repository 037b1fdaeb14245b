/**
 * Who is behind a connection: asked once while it lives, again while unknown, waited for a moment, and
 * never about connections from elsewhere.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import { silentLog } from "@axonize/core/runtime/log";
import { createFakeClock } from "../../test/support/fake-clock.ts";
import type { Peer } from "../decode/facts.ts";
import { peerWaitMs } from "../limits.ts";
import { createPeers, type FindPeer } from "./peers.ts";

const peer: Peer = { node: "n", pid: 7, podUid: "", containerId: "" };

/** Our end of a connection over loopback. */
async function connected(): Promise<AsyncDisposable & { socket: Socket; peerPort: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(typeof address === "object" && address);
  const accepted = once(server, "connection");
  const theirs = connect(address.port, "127.0.0.1");
  await once(theirs, "connect");
  const [socket] = (await accepted) as [Socket]; // the event's one argument
  return {
    socket,
    peerPort: theirs.localPort ?? 0,
    async [Symbol.asyncDispose]() {
      theirs.destroy();
      socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
const deps = { clock: systemClock, log: silentLog };

test("a connection's peer is asked for once, by both ports, and again while it is unknown", async () => {
  await using connection = await connected();
  const asked: number[][] = [];
  const answers: (Peer | undefined | Error)[] = [undefined, new Error("no /proc"), peer];
  const find: FindPeer = (...ports) => {
    asked.push(ports);
    const answer = answers.shift();
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  const peers = createPeers(deps, find);
  const { socket, peerPort } = connection;
  assert.equal(await peers.of(socket), undefined);
  assert.equal(await peers.of(socket), undefined, "who cannot be asked is unknown");
  for (let request = 0; request < 3; request += 1) {
    assert.deepEqual(await peers.of(socket), peer);
  }
  assert.deepEqual(asked[0], [socket.localPort, peerPort]);
  assert.equal(asked.length, 3);
});

test("an answer that takes too long is not waited for, and counts once it has come", async () => {
  await using connection = await connected();
  const clock = createFakeClock();
  const late = Promise.withResolvers<Peer | undefined>();
  const peers = createPeers({ ...deps, clock }, () => late.promise);
  const first = peers.of(connection.socket);
  await clock.advance(peerWaitMs);
  assert.equal(await first, undefined);
  late.resolve(peer);
  assert.deepEqual(await peers.of(connection.socket), peer);
});

test("without anyone to ask, and for a connection that is gone, nobody is known", async () => {
  await using connection = await connected();
  assert.equal(await createPeers(deps, undefined).of(connection.socket), undefined);
  let asked = 0;
  const peers = createPeers(deps, () => {
    asked += 1;
    return Promise.resolve(peer);
  });
  assert.equal(await peers.of(undefined), undefined);
  connection.socket.destroy();
  await once(connection.socket, "close");
  assert.equal(await peers.of(connection.socket), undefined);
  assert.equal(asked, 0);
});
