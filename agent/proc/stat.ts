/**
 * The texts of /proc/<pid>/stat and status, taken apart. Pure; what does not fit is undefined.
 */

export interface Stat {
  /** The kernel's name of the program, at most 15 bytes, the process's own choice. */
  readonly command: string;
  readonly parentPid: number;
  /** The session's leader: what was started together in a terminal or as a service. */
  readonly session: number;
  /** Field 22, ticks since boot. */
  readonly startTime: number;
}

/** The command stands in brackets and may itself have brackets, spaces and line ends. */
export function parseStat(text: string): Stat | undefined {
  const open = text.indexOf("(");
  const close = text.lastIndexOf(")");
  if (open === -1 || close < open) return undefined;
  const fields = text.slice(close + 2).split(" ");
  const parentPid = Number(fields[1]);
  const session = Number(fields[3]);
  const startTime = Number(fields[19]);
  if (![parentPid, session, startTime].every(Number.isSafeInteger)) return undefined;
  return { command: printable(text.slice(open + 1, close)), parentPid, session, startTime };
}

/** The pid that the process itself sees: the last of `NSpid:`, innermost namespace. */
export function parseOwnPid(status: string): number | undefined {
  // The first line is `Name:` with line ends escaped, so no process can write this line.
  const line = /^NSpid:\s+([\d\s]+)$/m.exec(status)?.[1];
  const own = Number(line?.trim().split(/\s+/).at(-1));
  return Number.isSafeInteger(own) && own > 0 ? own : undefined;
}

/** Control characters have no place in a log line or an interface. */
function printable(text: string): string {
  return text.toWellFormed().replace(/\p{Cc}/gu, "?");
}
