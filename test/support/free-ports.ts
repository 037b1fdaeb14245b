/**
 * Ports for a process under test that must be told its ports before it starts.
 */
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";

/**
 * One TCP port for each name, on which nobody listens at any address of this machine. All are taken
 * together, so that they differ, and then released: the process under test takes them next.
 */
export async function freePorts<Name extends string>(
  ...names: readonly Name[]
): Promise<Record<Name, number>> {
  const servers = await Promise.all(
    names.map(async () => {
      const server = createServer().listen(0, "0.0.0.0");
      await once(server, "listening");
      return server;
    }),
  );
  // Servers on host and port have an AddressInfo.
  const ports = servers.map((server, at) => [names[at], (server.address() as AddressInfo).port]);
  await Promise.all(
    servers.map(async (server) => {
      const closed = once(server, "close");
      server.close();
      await closed;
    }),
  );
  return Object.fromEntries(ports) as Record<Name, number>; // one for each name, as mapped above
}
