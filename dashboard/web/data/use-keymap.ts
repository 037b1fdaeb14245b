/**
 * Puts a keymap on the shortcut stack while a component is mounted; handlers may change freely.
 */
import { useEffect, useRef } from "react";
import { pushKeymap, type Keymap } from "./shortcuts.ts";

export function useKeymap(keymap: Keymap, options: { readonly below?: boolean } = {}): void {
  const { below = false } = options;
  const latest = useRef(keymap);
  useEffect(() => {
    latest.current = keymap;
  });
  const names = Object.keys(keymap).join("\n");
  useEffect(() => {
    const stable: Keymap = Object.fromEntries(
      names
        .split("\n")
        .map((name) => [name, (event: KeyboardEvent) => latest.current[name]?.(event)]),
    );
    return pushKeymap(stable, below);
  }, [names, below]);
}
