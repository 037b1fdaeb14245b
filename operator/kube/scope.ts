/**
 * What belongs to one running reconcile without being passed through every call: its signal, and the
 * versions of what it wrote.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { ResourceKind } from "./types.ts";

export interface ReconcileScope {
  readonly signal: AbortSignal;
  /** An object was written and has this version now. */
  wrote(kind: ResourceKind, key: string, resourceVersion: string): void;
}

const scopes = new AsyncLocalStorage<ReconcileScope>();

export const currentScope = (): ReconcileScope | undefined => scopes.getStore();

export const runInScope = <T>(scope: ReconcileScope, run: () => T): T => scopes.run(scope, run);

/** For what outlives the reconcile that asked for it: events on their way. */
export const runOutOfScope = <T>(run: () => T): T => scopes.exit(run);
