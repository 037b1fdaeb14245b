/**
 * Where standalone's log goes: JSON lines in `<data dir>/logs/axonize.log`, bounded in size, and
 * warnings as short sentences on the console, which otherwise belongs to the banner.
 */
import { createWriteStream, renameSync, statSync, type WriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createLog, type Log } from "@axonize/core/runtime/log";

const limits = {
  /** Two files of this size: 40 MB of log at most. */
  fileBytes: 20 * 1024 * 1024,
  /** Lines that wait for the disk; beyond it they are dropped and counted. */
  pendingBytes: 4 * 1024 * 1024,
  /** The same event reaches the console once in this time. */
  consoleMs: 30_000,
};

export interface FileLog extends AsyncDisposable {
  log: Log;
  file: string;
}

export async function createFileLog(options: {
  dataDir: string;
  level: string;
  /** Takes one line for the console. */
  say: (line: string) => void;
  now: () => number;
}): Promise<FileLog> {
  const dir = join(options.dataDir, "logs");
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const file = join(dir, "axonize.log");
  const sink = createSink(file);
  const console = createConsole(options);
  const log = createLog({
    component: "standalone",
    level: options.level,
    destination: {
      write: (line: string) => {
        sink.write(line);
        if (/"level":"(warn|error|fatal)"/.test(line)) console(line);
      },
    },
  });
  return { log, file, [Symbol.asyncDispose]: async () => await sink.close() };
}

function createSink(file: string): { write(line: string): void; close(): Promise<void> } {
  let bytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  let dropped = 0;
  let stream = open();
  function open(): WriteStream {
    const opened = createWriteStream(file, { flags: "a", mode: 0o600 });
    // A full disk must not end the process; the stores report it on their own.
    opened.on("error", () => {
      dropped += 1;
    });
    return opened;
  }
  return {
    write: (line) => {
      if (stream.writableLength > limits.pendingBytes) {
        dropped += 1;
        return;
      }
      if (bytes > limits.fileBytes) {
        stream.end();
        renameSync(file, `${file}.1`);
        stream = open();
        bytes = 0;
      }
      if (dropped > 0) {
        const note = `${JSON.stringify({ level: "warn", event: "log.dropped", lines: dropped })}\n`;
        dropped = 0;
        stream.write(note);
      }
      bytes += line.length;
      stream.write(line);
    },
    close: async () => {
      await new Promise<void>((resolve) => {
        stream.once("close", resolve);
        stream.end();
      });
    },
  };
}

function createConsole(options: {
  say: (line: string) => void;
  now: () => number;
}): (line: string) => void {
  const said = new Map<string, number>();
  return (line) => {
    // The line is pino's: an object with these fields.
    const entry = JSON.parse(line) as {
      level: string;
      event?: string;
      msg?: string;
      reason?: string;
      err?: { message?: string };
    };
    const what = entry.msg ?? entry.event ?? "something happened";
    const key = entry.event ?? what;
    const now = options.now();
    if (now - (said.get(key) ?? -Infinity) < limits.consoleMs) return;
    // Events come from a closed list in our code; this bounds what a bug could add.
    if (said.size > 1_000) said.clear();
    said.set(key, now);
    const why = entry.err?.message ?? entry.reason;
    options.say(
      `${entry.level}: ${what}${why === undefined ? "" : ` (${why.trim().slice(0, 300)})`}`,
    );
  };
}
