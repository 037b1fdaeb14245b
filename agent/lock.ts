/**
 * One agent on a node: a socket in the state folder that the living agent listens on. It works across
 * containers that share the folder, where neither pids nor ports would tell, and a killed agent leaves no
 * lock behind, because nobody answers its socket.
 */
import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { errorMessage, StartError } from "@axonize/core/runtime/error";

/** The other side is on this machine: an answer takes less than a millisecond. */
const answerMs = 2_000;
const attempts = 3;

/** Takes the lock, or says who has it. */
export async function lockNode(stateDir: string): Promise<AsyncDisposable> {
  const path = join(stateDir, "agent.sock");
  const token = randomBytes(16).toString("hex");
  await makeDir(stateDir);
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const server = await listen(path, token);
    // Two may have found the same dead socket at once: the one whose socket is there now has the lock.
    if (server && (await ask(path)) === token) return release(server);
    server?.close();
    if ((await ask(path)) !== undefined) {
      throw new StartError(
        `Another agent runs on this node: it answers on ${path}. Two would report every device twice. ` +
          "Stop the other one (in Kubernetes: a second DaemonSet or pool selects this node), " +
          "or give this one a folder of its own with AXONIZE_AGENT_STATE_DIR if it is another node's.",
      );
    }
    await rm(path, { force: true });
  }
  throw new StartError(`The agent's lock ${path} could not be taken: others keep taking it, too.`);
}

async function makeDir(stateDir: string): Promise<void> {
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new StartError(
      `The agent cannot make its state folder: ${errorMessage(error)}. ` +
        "Set AXONIZE_AGENT_STATE_DIR to a folder that it may write to.",
      { cause: error },
    );
  }
}

/** undefined: something has that path already. */
function listen(path: string, token: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      socket.end(token);
    });
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(new StartError(`The agent's lock ${path} cannot be made: ${error.message}.`));
    });
    server.listen(path, () => resolve(server));
  });
}

/** What the one who listens there says; undefined: nobody does. */
function ask(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    let said = "";
    socket.setEncoding("utf8");
    socket.setTimeout(answerMs, () => {
      // It accepted and says nothing: somebody is there.
      socket.destroy();
      resolve(said);
    });
    socket.on("data", (text: string) => {
      said += text.slice(0, 64);
    });
    socket.on("end", () => resolve(said));
    socket.on("error", () => resolve(undefined));
  });
}

function release(server: Server): AsyncDisposable {
  server.unref();
  return {
    // Closing removes the socket's file, too.
    [Symbol.asyncDispose]: async () =>
      await new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
