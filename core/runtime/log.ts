/**
 * Structured logs: JSON lines through pino. One wide event per unit of work, `event` names it.
 *
 * Levels: error = someone must look, warn = degraded, info = lifecycle and units of work, debug = per item.
 */
import { pino, type DestinationStream, type Logger } from "pino";

export type Log = Logger;

/** Fields whose values never reach a log line, whatever object they sit in. */
const secretPaths = ["key", "apiKey", "adminKey", "password", "secret", "authorization"];

export function createLog(options: {
  component: string;
  level: string;
  destination?: DestinationStream;
}): Log {
  const config = {
    level: options.level,
    base: { component: options.component },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: secretPaths.flatMap((path) => [path, `*.${path}`]),
      censor: "[secret]",
    },
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return options.destination ? pino(config, options.destination) : pino(config);
}

/** A log that goes nowhere, for tests and tools. */
export const silentLog: Log = pino({ level: "silent" });
