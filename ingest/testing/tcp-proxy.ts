/**
 * A TCP proxy that tests cut, freeze and mend: a store that is down, or that hangs.
 */
import { connect, createServer, type Socket } from "node:net";

export interface TcpProxy extends AsyncDisposable {
  port: number;
  /** Refuses and breaks every connection until `mend`. */
  cut(): void;
  /** Passes nothing on, and keeps connections open. */
  freeze(): void;
  mend(): void;
}

/** `port` as a function is asked at each connection. */
export async function startTcpProxy(target: {
  host: string;
  port: number | (() => number);
}): Promise<TcpProxy> {
  let state: "open" | "cut" | "frozen" = "open";
  const sockets = new Set<Socket>();
  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
  };
  const server = createServer((near) => {
    track(near);
    if (state === "cut") {
      near.destroy();
      return;
    }
    const { host, port } = target;
    const far = connect({ host, port: typeof port === "number" ? port : port() });
    track(far);
    const pass = (from: Socket, to: Socket): void => {
      from.on("data", (chunk: Buffer) => {
        if (state === "open") to.write(chunk);
      });
      from.once("close", () => to.destroy());
    };
    pass(near, far);
    pass(far, near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on TCP");
  const breakAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: address.port,
    cut: () => {
      state = "cut";
      breakAll();
    },
    freeze: () => {
      state = "frozen";
    },
    mend: () => {
      // What was swallowed is lost; those connections cannot go on.
      if (state === "frozen") breakAll();
      state = "open";
    },
    [Symbol.asyncDispose]: async () => {
      breakAll();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
