/**
 * The life of a process: start, signals, orderly stop within a budget, exit code.
 *
 * First SIGINT or SIGTERM: `stop` runs, then exit 0. Budget spent, or a second signal: exit at once
 * (130 for SIGINT, 143 for SIGTERM). A StartError is printed as its paragraph, without a stack.
 */
import { errorMessage, StartError } from "./error.ts";

/** Nobody presses Ctrl-C twice on purpose in this time. */
const sameSignalMs = 200;

export interface Running {
  /** Finishes what is in flight and releases everything. */
  stop(): Promise<void>;
}

export async function runProcess(options: {
  name: string;
  stopBudgetMs: number;
  start: (signal: AbortSignal) => Promise<Running>;
}): Promise<void> {
  const abort = new AbortController();
  let running: Running | undefined;
  let stopping = false;
  const exitNow = (signal: NodeJS.Signals): never => process.exit(signal === "SIGINT" ? 130 : 143);
  let firstSignalAt = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) {
      // One Ctrl-C under npm arrives twice: from the terminal and forwarded by npm.
      if (performance.now() - firstSignalAt < sameSignalMs) return;
      exitNow(signal);
    }
    stopping = true;
    firstSignalAt = performance.now();
    abort.abort(new Error(`stopped by ${signal}`));
    const timer = setTimeout(() => {
      process.stderr.write(
        `${options.name}: not stopped after ${options.stopBudgetMs} ms, exiting.\n`,
      );
      process.exit(1);
    }, options.stopBudgetMs);
    timer.unref();
    // Still starting: `start` sees the aborted signal and rejects; the code below exits.
    if (!running) return;
    running.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`${options.name}: ${errorMessage(error)}\n`);
        process.exit(1);
      },
    );
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  try {
    running = await options.start(abort.signal);
    if (abort.signal.aborted) {
      await running.stop();
      process.exit(0);
    }
  } catch (error) {
    if (abort.signal.aborted) process.exit(0);
    if (error instanceof StartError) {
      process.stderr.write(`\n${error.message}\n`);
      process.exit(error.exitCode);
    }
    process.stderr.write(
      `${options.name} failed to start: ${String((error as Error).stack ?? error)}\n`,
    );
    process.exit(1);
  }
}
