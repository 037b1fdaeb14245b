/**
 * A process that opens many connections and says nothing on them, until it is killed.
 *
 * Arguments: port, count. Tells its parent how many are open once all are.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

const [port = 0, count = 0] = process.argv.slice(2).map(Number);
const sockets: Socket[] = [];
while (sockets.length < count) {
  // A few at a time: the listener's backlog is 1,024.
  const batch = Array.from({ length: Math.min(200, count - sockets.length) }, () =>
    connect(port, "127.0.0.1"),
  );
  for (const socket of batch) socket.on("error", () => undefined); // closed by the server in time
  await Promise.all(batch.map(async (socket) => await once(socket, "connect")));
  sockets.push(...batch);
}
process.send?.(sockets.length);
