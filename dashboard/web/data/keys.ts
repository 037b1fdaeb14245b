/**
 * The credentials of this tab: the key that reads, the admin key, and the tenant an admin acts for.
 *
 * Session storage only: they end with the tab and no other tab sees them. Never put into a URL.
 */
import { createStore, type Store } from "./store.ts";

export interface Keys {
  readonly query: string;
  readonly admin: string;
  readonly tenant: string;
}

const storageKey = "axonize.keys";
const none: Keys = { query: "", admin: "", tenant: "" };

export const keys: Store<Keys> = createStore(load());

/** Of a person's log-in; whatever changes something sends it. Empty without one. */
export const csrfToken: Store<string> = createStore("");

export function saveKeys(patch: Partial<Keys>): void {
  const next = { ...keys.get(), ...patch };
  keys.set(next);
  try {
    sessionStorage.setItem(storageKey, JSON.stringify(next));
  } catch {
    // Storage is blocked or full: the keys stay in memory and a reload asks again.
  }
}

function load(): Keys {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(storageKey) ?? "{}");
    if (typeof stored !== "object" || stored === null) return none;
    const text = (name: keyof Keys): string => {
      const value: unknown = Reflect.get(stored, name);
      return typeof value === "string" ? value : "";
    };
    return { query: text("query"), admin: text("admin"), tenant: text("tenant") };
  } catch {
    // Blocked storage or foreign content: the person is asked for a key again.
    return none;
  }
}
