/**
 * As whom PostgreSQL runs: it refuses root. A normal user runs it as itself; root runs it as an
 * existing unprivileged account (`postgres`, else `nobody`) instead of adding one to the system.
 *
 * That account must reach binaries and data. Where a folder on the way is closed to it (below
 * `/root`, say), `setpriv` lets it keep the right to pass, and nothing else of root's.
 */
import { constants, accessSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { StartError } from "@axonize/core/runtime/error";

export interface Account {
  /** undefined: this process' own. */
  ids: { uid: number; gid: number } | undefined;
  /** The command to run `command` as this account, ended when this process ends where that is possible. */
  wrap(
    command: string,
    args: readonly string[],
  ): { command: string; args: string[]; uid?: number; gid?: number };
}

export async function chooseAccount(options: {
  uid: number | undefined;
  path: string;
  /** Who owns the data already, if there are any: the server insists on the owner. */
  owner: number | undefined;
  /** Folders that the account must be able to enter. */
  reach: readonly string[];
}): Promise<Account> {
  const setpriv = process.platform === "linux" ? findCommand("setpriv", options.path) : undefined;
  const diesWithUs = ["--pdeathsig", "INT"];
  if (options.uid !== 0) {
    return {
      ids: undefined,
      wrap: (command, args) =>
        setpriv === undefined
          ? { command, args: [...args] }
          : { command: setpriv, args: [...diesWithUs, command, ...args] },
    };
  }
  const ids = await findIds(options.owner);
  const closed = options.reach.find((folder) => !canEnter(folder, ids));
  if (setpriv === undefined) {
    if (closed !== undefined) throw unreachable(closed);
    return { ids, wrap: (command, args) => ({ command, args: [...args], ...ids }) };
  }
  const as = ["--reuid", String(ids.uid), "--regid", String(ids.gid), "--clear-groups"];
  const capabilities =
    closed === undefined ? [] : ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"];
  return {
    ids,
    wrap: (command, args) => ({
      command: setpriv,
      args: [...as, ...capabilities, ...diesWithUs, command, ...args],
    }),
  };
}

async function findIds(owner: number | undefined): Promise<{ uid: number; gid: number }> {
  const lines = (await readFile("/etc/passwd", "utf8")).split("\n").map((line) => line.split(":"));
  const candidates = [
    lines.find((fields) => owner !== undefined && fields[2] === String(owner)),
    ...["postgres", "nobody"].map((name) => lines.find((fields) => fields[0] === name)),
  ];
  for (const line of candidates) {
    const uid = Number(line?.[2]);
    const gid = Number(line?.[3]);
    if (uid > 0 && gid > 0) return { uid, gid };
  }
  throw new StartError(
    "PostgreSQL does not run as root, and this system has neither a user `postgres` nor `nobody` to run it as. Start Axonize as a normal user, or set AXONIZE_POSTGRES_URL to a PostgreSQL server.",
  );
}

/** Walks up: every folder needs the execute bit for the account. */
function canEnter(folder: string, ids: { uid: number; gid: number }): boolean {
  for (let at = folder; ; at = dirname(at)) {
    const { mode, uid, gid } = statSync(at);
    const bit = uid === ids.uid ? 0o100 : gid === ids.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (dirname(at) === at) return true;
  }
}

const unreachable = (folder: string): StartError =>
  new StartError(
    `PostgreSQL does not run as root, and the unprivileged account that it runs as instead may not enter ${folder}. Put Axonize and its data (AXONIZE_DATA_DIR) where every user may pass, such as /var/lib/axonize, or start Axonize as a normal user.`,
  );

function findCommand(name: string, path: string): string | undefined {
  for (const folder of path.split(delimiter)) {
    const file = join(folder || ".", name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      continue; // not in this folder
    }
  }
  return undefined;
}
