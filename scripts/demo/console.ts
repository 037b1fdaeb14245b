/**
 * What the demo shows: who it is, how far the back-fill is, what streams. On a terminal one line is
 * rewritten; elsewhere a line is written every ten seconds.
 */
import type { Sent } from "./send.ts";

export interface Show {
  line(text: string): void;
  /** The line that changes. */
  progress(text: string): void;
  end(): void;
}

const quietMs = 10_000;

export function createShow(output: { write(text: string): unknown; isTTY?: boolean }): Show {
  let open = false;
  let lastMs = -Infinity;
  const end = (): void => {
    if (open) output.write("\n");
    open = false;
  };
  return {
    line: (text) => {
      end();
      output.write(`${text}\n`);
    },
    progress: (text) => {
      if (output.isTTY === true) {
        output.write(`\r\u001B[2K${text}`);
        open = true;
      } else if (performance.now() - lastMs > quietMs) {
        lastMs = performance.now();
        output.write(`${text}\n`);
      }
    },
    end,
  };
}

export const count = (value: number): string => Math.round(value).toLocaleString("en-US");

export function bar(share: number): string {
  const width = 24;
  const full = Math.round(Math.max(0, Math.min(1, share)) * width);
  return "█".repeat(full) + "░".repeat(width - full);
}

export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 360) / 10} h`;
}

/** Wall time as the person's clock shows it. */
export function clockTime(ms: number): string {
  return new Date(ms).toTimeString().slice(0, 5);
}

export function summary(sent: Sent): string {
  const refused = sent.refused > 0 ? `, ${count(sent.refused)} refused (${sent.reason})` : "";
  const waits = sent.waits > 0 ? `, asked to wait ${count(sent.waits)} times` : "";
  return `${count(sent.spans)} spans and ${count(sent.points)} GPU points sent${refused}${waits}`;
}
