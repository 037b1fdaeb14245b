/**
 * One thing that somebody looked at on a node: how it is, and the line that mends it where it is not well.
 */
export interface Finding {
  readonly check: string;
  /** error: readings or owners are missing; warning: something is told less well than it could be. */
  readonly level: "ok" | "warning" | "error";
  readonly message: string;
  /** A line to run, to set or to add. */
  readonly mend: string | undefined;
}

export const ok = (check: string, message: string): Finding => ({
  check,
  level: "ok",
  message,
  mend: undefined,
});
export const warning = (check: string, message: string, mend: string): Finding => ({
  check,
  level: "warning",
  message,
  mend,
});
export const error = (check: string, message: string, mend: string): Finding => ({
  check,
  level: "error",
  message,
  mend,
});
