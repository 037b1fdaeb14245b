/**
 * The place in the top bar that a page may fill with its own field.
 */
import { createStore, type Store } from "./store.ts";

export const topSlot: Store<HTMLElement | null> = createStore<HTMLElement | null>(null);
