/**
 * Listening on TCP, with the port that was really taken and an error a person understands.
 */
import type { Server } from "node:net";
import process from "node:process";
import { errorMessage, StartError } from "@axonize/core/runtime/error";
import { connections, filesBesideConnections } from "../limits.ts";

export async function listenOn(
  server: Server,
  options: { listen: { host: string; port: number }; purpose: string; variable: string },
): Promise<{ host: string; port: number }> {
  const { host, port } = options.listen;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port, backlog: 1024 }, () => {
        server.off("error", reject);
        resolve();
      });
    });
  } catch (error) {
    const taken = error instanceof Error && "code" in error && error.code === "EADDRINUSE";
    throw new StartError(
      taken
        ? `Port ${port} on ${host} is taken, and ${options.purpose} needs it. Stop what listens there, or set ${options.variable} to another address.`
        : `${options.purpose} cannot listen on ${host}:${port}: ${errorMessage(error)}. Set ${options.variable} to an address of this machine.`,
      { cause: error },
    );
  }
  const address = server.address();
  return typeof address === "object" && address !== null
    ? { host: address.address, port: address.port }
    : { host, port };
}

/**
 * How many connections one of the two listeners may hold: the bound, or half of the files that the
 * system lets this process open where that is less. Beyond it the stores' own connections would fail.
 */
export function connectionLimit(): number {
  Object.assign(process.report, { excludeNetwork: true }); // else it looks up the names of peers
  // Untyped by Node; the shape is documented ("userLimits" of a diagnostic report).
  const report = process.report.getReport() as { userLimits?: Record<string, { soft?: unknown }> };
  const files = Number(report.userLimits?.["open_files"]?.soft ?? Number.POSITIVE_INFINITY);
  if (Number.isNaN(files)) return connections; // "unlimited"
  return Math.max(16, Math.min(connections, Math.floor((files - filesBesideConnections) / 2)));
}
