/**
 * Keyboard shortcuts: a stack of keymaps, the newest asked first, with two-key sequences (`g r`).
 *
 * The matching is pure; one listener feeds it. Keys typed into fields are left alone, except Escape.
 */

export type Keymap = Readonly<Record<string, (event: KeyboardEvent) => void>>;

export interface KeyPress {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly shiftKey: boolean;
}

/** `mod+k`, `shift+enter`, `?`, `arrowdown`. Shift is named only where the key itself does not change. */
export function keyName(press: KeyPress): string {
  const key =
    press.key === " " ? "space" : press.key.length === 1 ? press.key : press.key.toLowerCase();
  const mod = press.ctrlKey || press.metaKey ? "mod+" : "";
  const alt = press.altKey ? "alt+" : "";
  const shift = press.shiftKey && press.key.length > 1 ? "shift+" : "";
  return mod + alt + shift + key;
}

/** What a press means after `pending` (the first key of a sequence, or empty). */
export function matchKey(
  keymaps: readonly Keymap[],
  pending: string,
  name: string,
): { readonly run?: (event: KeyboardEvent) => void; readonly pending: string } {
  const wanted = pending === "" ? name : `${pending} ${name}`;
  for (const keymap of keymaps.toReversed()) {
    const run = keymap[wanted];
    if (run) return { run, pending: "" };
  }
  const starts = keymaps.some((keymap) =>
    Object.keys(keymap).some((known) => known.startsWith(`${wanted} `)),
  );
  if (starts) return { pending: wanted };
  // A sequence that leads nowhere: the second key counts by itself.
  return pending === "" ? { pending: "" } : matchKey(keymaps, "", name);
}

/** A first key waits this long for its second. */
const sequenceMs = 900;

const stack: Keymap[] = [];

/** `below` all others: the frame's, whose effects may run after those of the page inside it. */
export function pushKeymap(keymap: Keymap, below = false): () => void {
  if (below) stack.unshift(keymap);
  else stack.push(keymap);
  return () => {
    const index = stack.indexOf(keymap);
    if (index >= 0) stack.splice(index, 1);
  };
}

export function listenForShortcuts(target: Window): () => void {
  let pending = "";
  let pendingAt = 0;
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || isModifier(event.key)) return;
    const name = keyName(event);
    const typing = isTyping(event.target);
    if (typing && !name.startsWith("mod+")) return;
    // A dialog owns the keyboard while it is open.
    if (document.querySelector("[role=dialog][data-state=open]") && !name.startsWith("mod+"))
      return;
    const fresh = event.timeStamp - pendingAt < sequenceMs;
    const match = matchKey(stack, fresh ? pending : "", name);
    pending = match.pending;
    pendingAt = event.timeStamp;
    if (!match.run) return;
    event.preventDefault();
    match.run(event);
  };
  target.addEventListener("keydown", onKeyDown);
  return () => {
    target.removeEventListener("keydown", onKeyDown);
  };
}

function isModifier(key: string): boolean {
  return key === "Shift" || key === "Control" || key === "Alt" || key === "Meta";
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

/** How the command key is written on this machine. */
export const modK = /Mac|iPhone|iPad/.test(globalThis.navigator?.platform ?? "") ? "⌘K" : "Ctrl K";

export interface ShortcutGroup {
  readonly title: string;
  readonly items: readonly (readonly [string, string])[];
}

/** What `?` lists. */
export const shortcutGroups: readonly ShortcutGroup[] = [
  {
    title: "Everywhere",
    items: [
      [modK, "Palette: go, find, do"],
      ["/", "Filter"],
      ["t", "Time range"],
      ["[  ]", "Shift the range back, forward"],
      ["−  +", "Widen, narrow the range"],
      ["l", "Live on or off"],
      ["g o · g r · g f", "Overview, Requests, GPUs"],
      ["g s · g y · g b", "Settings, System, Start"],
      ["?", "This list"],
    ],
  },
  {
    title: "Requests",
    items: [
      ["j  k", "Next, previous"],
      ["Enter", "Open"],
      ["o", "Open in a new tab"],
    ],
  },
  {
    title: "One request",
    items: [
      ["w  s", "Zoom in, out at the pointer"],
      ["a  d", "Pan"],
      ["0 · f", "Fit all, fit the selected span"],
      ["j  k", "Next, previous span"],
      ["←  →", "Collapse, expand"],
      ["p  P", "Collapse, expand all"],
      ["n  N", "Next, previous match"],
      ["e", "Next error"],
      ["x", "GPU band on or off"],
      ["1 … 4", "Tabs of the detail"],
      ["Esc", "Close the detail"],
    ],
  },
  {
    title: "GPUs",
    items: [
      ["← ↑ ↓ →", "Move in the grid"],
      ["1 … 6", "Metric"],
      ["Enter", "Open the device"],
    ],
  },
];
