/**
 * The browser's clock in one place, so that the pure parts never read it and tests can see who does.
 */

export function nowMs(): number {
  return Date.now();
}

/** Calls `run` every `periodMs` until the returned function is called. */
export function every(periodMs: number, run: () => void): () => void {
  const timer = setInterval(run, periodMs);
  return () => {
    clearInterval(timer);
  };
}
