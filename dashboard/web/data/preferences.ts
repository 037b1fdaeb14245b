/**
 * What a person chose for this browser: theme, time zone. Kept in local storage; applied at once.
 */
import { createStore, type Store } from "./store.ts";
import type { Zone } from "./format.ts";

export type ThemeChoice = "system" | "dark" | "light";

export const themeChoice: Store<ThemeChoice> = createStore(loadTheme());
export const zone: Store<Zone> = createStore(read("zone") === "utc" ? "utc" : "local");
/** The theme in effect; canvases repaint when it changes. */
export const theme: Store<"dark" | "light"> = createStore<"dark" | "light">("dark");

export function chooseTheme(choice: ThemeChoice): void {
  themeChoice.set(choice);
  write("theme", choice);
  applyTheme();
}

export function chooseZone(next: Zone): void {
  zone.set(next);
  write("zone", next);
}

/** Follows the system until the person chooses. Called once at start. */
export function startTheme(): void {
  applyTheme();
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", applyTheme);
}

function applyTheme(): void {
  const choice = themeChoice.get();
  const systemLight = matchMedia("(prefers-color-scheme: light)").matches;
  const effective = choice === "system" ? (systemLight ? "light" : "dark") : choice;
  document.documentElement.dataset["theme"] = effective;
  theme.set(effective);
}

function loadTheme(): ThemeChoice {
  const stored = read("theme");
  return stored === "dark" || stored === "light" ? stored : "system";
}

function read(name: string): string {
  try {
    return localStorage.getItem(`axonize.${name}`) ?? "";
  } catch {
    // Storage is blocked: defaults hold.
    return "";
  }
}
function write(name: string, value: string): void {
  try {
    localStorage.setItem(`axonize.${name}`, value);
  } catch {
    // Storage is blocked: the choice holds until the tab closes.
  }
}
