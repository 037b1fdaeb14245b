/**
 * The keyboard of a request: zoom, pan, move, collapse, next match, next error.
 */
import type { TraceModel } from "../../charts/timeline/model.ts";
import { nextMatch } from "../../charts/timeline/search.ts";
import { collapsible, reveal } from "../../charts/timeline/tree.ts";
import {
  ensureVisible,
  fitAll,
  focusOn,
  pan,
  zoomAt,
  type Viewport,
} from "../../charts/timeline/viewport.ts";
import { useKeymap } from "../../data/use-keymap.ts";
import type { Keymap } from "../../data/shortcuts.ts";
import { detailTabs, type DetailTab } from "./Detail.tsx";
import type { TimelineView } from "./view.ts";

export interface RequestKeys {
  readonly model: TraceModel;
  readonly rows: Int32Array;
  readonly view: TimelineView;
  readonly hits: Int32Array;
  readonly selected: number;
  readonly collapsed: ReadonlySet<number>;
  readonly setCollapsed: (next: ReadonlySet<number>) => void;
  readonly select: (row: number) => void;
  readonly toggle: (row: number) => void;
  readonly setTab: (tab: DetailTab) => void;
  readonly toggleGpu: () => void;
}

const zoomStep = 0.7;
const panStep = 0.2;

export function useRequestKeys(state: RequestKeys): {
  readonly nextMatch: (step: 1 | -1) => void;
  readonly collapseAll: () => void;
} {
  const { model, view } = state;
  /** Selects a row wherever it is: opens its ancestors and brings its start on screen. */
  const goTo = (row: number): void => {
    if (row < 0) return;
    state.setCollapsed(reveal(model.parent, state.collapsed, row));
    view.window.set(
      ensureVisible(
        view.window.get(),
        model.startUs[row] ?? 0,
        model.durationUs[row] ?? 0,
        view.endUs,
      ),
    );
    state.select(row);
  };
  const next = (step: 1 | -1): void => {
    goTo(nextMatch(model, state.hits, state.selected, step));
  };
  const collapseAll = (): void => {
    state.setCollapsed(state.collapsed.size === 0 ? collapsible(model.tree, true) : new Set());
  };
  useKeymap({
    ...windowKeys(view),
    ...rowKeys(state),
    f: () => {
      const row = state.selected;
      if (row >= 0)
        view.window.set(focusOn(model.startUs[row] ?? 0, model.durationUs[row] ?? 0, view.endUs));
    },
    p: () => {
      state.setCollapsed(collapsible(model.tree, true));
    },
    P: () => {
      state.setCollapsed(new Set());
    },
    n: () => {
      next(1);
    },
    N: () => {
      next(-1);
    },
    e: () => {
      goTo(nextMatch(model, model.errors, state.selected, 1));
    },
    x: state.toggleGpu,
    escape: () => {
      state.select(-1);
    },
    ...Object.fromEntries(
      detailTabs.map((tab, i) => [
        String(i + 1),
        () => {
          state.setTab(tab.value);
        },
      ]),
    ),
  });
  return { nextMatch: next, collapseAll };
}

function windowKeys(view: TimelineView): Keymap {
  /** Where the pointer is, else the middle. */
  const anchor = ({ fromUs, toUs }: Viewport): number => {
    const cursor = view.cursor.get();
    return cursor === undefined
      ? 0.5
      : Math.min(1, Math.max(0, (cursor - fromUs) / (toUs - fromUs)));
  };
  const zoom = (factor: number) => () => {
    const window = view.window.get();
    view.window.set(zoomAt(window, factor, anchor(window), view.endUs));
  };
  const move = (share: number) => () => {
    view.window.set(pan(view.window.get(), share, view.endUs));
  };
  return {
    w: zoom(zoomStep),
    s: zoom(1 / zoomStep),
    a: move(-panStep),
    d: move(panStep),
    A: move(-3 * panStep),
    D: move(3 * panStep),
    "0": () => {
      view.window.set(fitAll(view.endUs));
    },
  };
}

function rowKeys(state: RequestKeys): Keymap {
  const { model, rows, selected } = state;
  const step = (by: number) => () => {
    const index = rows.indexOf(selected);
    const to = index < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, index + by));
    state.select(rows[to] ?? -1);
  };
  const hasChildren = selected >= 0 && (model.tree.childCount[selected] ?? 0) > 0;
  return {
    j: step(1),
    k: step(-1),
    arrowdown: step(1),
    arrowup: step(-1),
    pagedown: step(20),
    pageup: step(-20),
    home: step(-rows.length),
    end: step(rows.length),
    arrowright: () => {
      if (hasChildren && state.collapsed.has(selected)) state.toggle(selected);
      else if (hasChildren) step(1)();
    },
    arrowleft: () => {
      if (hasChildren && !state.collapsed.has(selected)) state.toggle(selected);
      else if ((model.parent[selected] ?? -1) >= 0) state.select(model.parent[selected] ?? -1);
    },
    enter: () => {
      if (hasChildren) state.toggle(selected);
    },
  };
}
