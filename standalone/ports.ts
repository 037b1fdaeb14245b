/**
 * Listening addresses, tried before the stores start: a taken port is said at once and, on Linux,
 * with the name of the process that has it.
 */
import { readdir, readFile, readlink } from "node:fs/promises";
import { createServer } from "node:net";
import { StartError } from "@axonize/core/runtime/error";

export interface Listener {
  /** What it is for, as a person would say it. */
  purpose: string;
  /** The variable that moves it. */
  variable: string;
  listen: { host: string; port: number };
}

export async function checkListeners(listeners: readonly Listener[]): Promise<void> {
  const fixed = listeners.filter(({ listen }) => listen.port !== 0);
  for (const [index, one] of fixed.entries()) {
    const twin = fixed.slice(0, index).find(({ listen }) => listen.port === one.listen.port);
    if (twin !== undefined && twin.listen.host === one.listen.host) {
      throw new StartError(
        `${twin.variable} and ${one.variable} are both ${addressOf(one.listen)}: give each a port of its own.`,
        { exitCode: 2 },
      );
    }
  }
  for (const listener of fixed) {
    try {
      await tryListen(listener.listen);
    } catch (error) {
      throw await listenError(listener, error);
    }
  }
}

/** A failed listen as a paragraph: what, why, what to do. */
export async function listenError(listener: Listener, error: unknown): Promise<StartError> {
  const { listen, purpose, variable } = listener;
  const address = addressOf(listen);
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  const move = `set ${variable} to another address, such as ${variable}=${addressOf({ ...listen, port: listen.port + 10_000 > 65_535 ? 0 : listen.port + 10_000 })}`;
  if (code === "EADDRINUSE") {
    const owner = await portOwner(listen.port);
    const by = owner === undefined ? "another process" : `${owner.name} (process ${owner.pid})`;
    return new StartError(
      `Port ${listen.port} for ${purpose} is taken by ${by}. Stop that process, or ${move}.`,
      { cause: error },
    );
  }
  if (code === "EACCES") {
    return new StartError(
      `This user may not listen on ${address} for ${purpose} (ports below 1024 need root); ${move}.`,
      { cause: error },
    );
  }
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return new StartError(
      `${address} for ${purpose} is not an address of this machine. Use 127.0.0.1 for this machine alone, or 0.0.0.0 for all of its interfaces: ${variable}=127.0.0.1:${listen.port}.`,
      { cause: error },
    );
  }
  return new StartError(`Cannot listen on ${address} for ${purpose} (${code}); ${move}.`, {
    cause: error,
  });
}

export const addressOf = (listen: { host: string; port: number }): string =>
  listen.host.includes(":") ? `[${listen.host}]:${listen.port}` : `${listen.host}:${listen.port}`;

async function tryListen(listen: { host: string; port: number }): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(listen.port, listen.host, resolve);
  });
  await new Promise((resolve) => server.close(resolve));
}

/** Who listens on `port`: /proc/net/tcp gives the socket's inode, one process has it open. */
async function portOwner(port: number): Promise<{ pid: number; name: string } | undefined> {
  if (process.platform !== "linux") return undefined;
  try {
    const inodes = new Set<string>();
    const wanted = port.toString(16).toUpperCase().padStart(4, "0");
    for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
      for (const line of (await readFile(table, "utf8")).split("\n").slice(1)) {
        const fields = line.trim().split(/\s+/);
        const listening = fields[3] === "0A";
        if (listening && fields[1]?.endsWith(`:${wanted}`) && fields[9] !== undefined)
          inodes.add(`socket:[${fields[9]}]`);
      }
    }
    for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
      if (await holds(pid, inodes)) {
        return { pid: Number(pid), name: await commandOf(pid) };
      }
    }
  } catch {
    return undefined; // /proc is closed to us or in motion; the name is a courtesy
  }
  return undefined;
}

/** The command line, because a process's short name may be its main thread's ("MainThread"). */
async function commandOf(pid: string): Promise<string> {
  const command = (await readFile(`/proc/${pid}/cmdline`, "utf8")).replaceAll("\0", " ").trim();
  return command === ""
    ? (await readFile(`/proc/${pid}/comm`, "utf8")).trim()
    : command.slice(0, 80);
}

async function holds(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  try {
    for (const fd of await readdir(`/proc/${pid}/fd`)) {
      if (inodes.has(await readlink(`/proc/${pid}/fd/${fd}`))) return true;
    }
  } catch {
    return false; // another user's process, or gone
  }
  return false;
}
