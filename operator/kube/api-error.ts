/**
 * What the API server, or the way to it, refuses: one error class with the status, the reason of the
 * server's `Status` object and when to try again. And the mark for errors that no retry heals.
 */

/** Status 0: no answer at all (refused, reset, timed out). */
export class ApiError extends Error {
  readonly status: number;
  /** `NotFound`, `Conflict`, `AlreadyExists`, `Invalid`, `Expired`, `Forbidden`…; `Network` without an answer. */
  readonly reason: string;
  /** The server's `Retry-After`. */
  readonly retryAfterMs: number | undefined;
  /** `details.causes` of a 422: which field, and why. */
  readonly causes: readonly { readonly field?: string; readonly message?: string }[];

  constructor(
    message: string,
    options: {
      status: number;
      reason: string;
      retryAfterMs?: number | undefined;
      causes?: readonly { field?: string; message?: string }[] | undefined;
      cause?: unknown;
    },
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "ApiError";
    this.status = options.status;
    this.reason = options.reason;
    this.retryAfterMs = options.retryAfterMs;
    this.causes = options.causes ?? [];
  }
}

/** A reconcile that must not be tried again until its object changes: counted, not requeued. */
export class TerminalError extends Error {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "TerminalError";
  }
}

export const isApiError = (thrown: unknown, status?: number): thrown is ApiError =>
  thrown instanceof ApiError && (status === undefined || thrown.status === status);

export const isNotFound = (thrown: unknown): boolean => isApiError(thrown, 404);

/** Somebody else wrote in between; the next reconcile starts from what they wrote. */
export const isConflict = (thrown: unknown): boolean =>
  isApiError(thrown, 409) && thrown.reason !== "AlreadyExists";

export const isAlreadyExists = (thrown: unknown): boolean =>
  isApiError(thrown, 409) && thrown.reason === "AlreadyExists";

/** The version that was asked for is compacted away: only a new list helps. */
export const isExpired = (thrown: unknown): boolean =>
  isApiError(thrown) &&
  (thrown.status === 410 || thrown.reason === "Expired" || thrown.reason === "Gone");

/** A namespace that is being deleted takes no new objects: as good as done. */
export const isTerminating = (thrown: unknown): boolean =>
  isApiError(thrown, 403) &&
  (thrown.causes.some(({ message }) => message?.includes("being terminated") ?? false) ||
    thrown.message.includes("is being terminated"));
