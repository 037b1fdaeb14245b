/**
 * The one error class for operating errors, with a code from the catalogue in `core/contract/problem.ts`.
 *
 * Bugs are assertions (`assert.ts`), bad telemetry is a counted outcome; neither uses this class.
 * `message` may be shown to the caller; `cause` is for the log only.
 */
import { problems, type ProblemCode } from "../contract/problem.ts";

export class AxonizeError extends Error {
  readonly code: ProblemCode;
  /** Seconds after which trying again makes sense; undefined when it does not. */
  readonly retryAfterSeconds: number | undefined;
  readonly errors: readonly { path: string; message: string }[] | undefined;

  constructor(
    code: ProblemCode,
    message: string,
    options: {
      cause?: unknown;
      retryAfterSeconds?: number;
      errors?: readonly { path: string; message: string }[];
    } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "AxonizeError";
    this.code = code;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.errors = options.errors;
  }

  get status(): number {
    return problems[this.code].status;
  }

  /** Turns anything thrown into an AxonizeError; what is not one yet becomes `internal`. */
  static from(thrown: unknown): AxonizeError {
    if (thrown instanceof AxonizeError) return thrown;
    return new AxonizeError("internal", "Axonize failed on its own; the log has the cause.", {
      cause: thrown,
    });
  }
}

/** The message of anything thrown, for logs and banners. */
export function errorMessage(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/**
 * A failure the operator of the process must act on: what happened, why, what to do, as one
 * paragraph. `main.ts` prints it without a stack and exits with `exitCode`.
 */
export class StartError extends Error {
  readonly exitCode: number;
  constructor(message: string, options: { cause?: unknown; exitCode?: number } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "StartError";
    this.exitCode = options.exitCode ?? 1;
  }
}
