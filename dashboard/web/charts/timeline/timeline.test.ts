/** The timeline's geometry: order, collapse, window, merging, search. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { makeHugeColumns } from "../../testing/huge.ts";
import { buildLanes, coverage, mergeLane } from "./merge.ts";
import { modelFromColumns, spanTone, toldBy } from "./model.ts";
import { nextMatch, searchSpans } from "./search.ts";
import { buildTree, collapsible, reveal, visibleRows } from "./tree.ts";
import {
  clamp,
  ensureVisible,
  fitAll,
  focusOn,
  isAll,
  pan,
  ticks,
  zoomAt,
  zoomToShares,
} from "./viewport.ts";

const seed = Number(process.env["AXONIZE_TEST_SEED"] ?? 20_261_125);

test("rows come depth first, siblings by start", () => {
  //  0 ─ 1 ─ 3,  0 ─ 2,  4 (root)
  const tree = buildTree(Int32Array.from([-1, 0, 0, 1, -1]));
  assert.deepEqual([...tree.order], [0, 1, 3, 2, 4]);
  assert.deepEqual([...tree.depth], [0, 1, 1, 2, 0]);
  assert.deepEqual([...tree.size], [4, 2, 1, 1, 1]);
  assert.deepEqual([...visibleRows(tree, new Set([1]))], [0, 1, 2, 4]);
  assert.deepEqual([...visibleRows(tree, new Set([0, 4]))], [0, 4]);
  assert.deepEqual([...collapsible(tree, true)], [1]);
});

test(`every row appears once, whatever the parents, also in circles (seed ${seed})`, () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -1, max: 30 }), { maxLength: 31 }), (parents) => {
      const parent = Int32Array.from(parents);
      const tree = buildTree(parent);
      assert.deepEqual(
        [...tree.order].sort((a, b) => a - b),
        parents.map((_, i) => i),
      );
      const shown = visibleRows(tree, collapsible(tree, false));
      assert.ok(shown.length <= parents.length);
      assert.ok(reveal(parent, new Set(), 0).size === 0);
    }),
    { seed, numRuns: 500 },
  );
});

test("a span is a call by its operation, or where it tells a model alone, as a bare llm_span does", () => {
  const huge = makeHugeColumns(5, 1);
  const strings = ["", "chat", "execute_tool", "llama"];
  const model = modelFromColumns(
    {
      ...huge,
      strings,
      operationIndex: [1, 2, 0, 0, 0],
      modelIndex: [0, 0, 3, 0, 0],
      kind: [1, 1, 1, 1, 3],
    },
    0,
  );
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((row) => spanTone(model, row)),
    ["call", "tool", "call", "plain", "network"],
  );
});

test("who told of a call: its server, its caller and a server below it, or its caller alone", () => {
  const huge = makeHugeColumns(5, 1);
  const columns = { ...huge, parent: [-1, 0, 1, 0, 3], kind: [2, 3, 1, 3, 2] };
  const model = modelFromColumns(columns, 0);
  assert.deepEqual(
    columns.spanId.map((id) => toldBy(model, id)),
    ["server", "caller", "server", "both", "server"],
  );
  assert.equal(toldBy(model, null), "server");
});

test("revealing a row opens its ancestors only", () => {
  const parent = Int32Array.from([-1, 0, 1, -1]);
  assert.deepEqual([...reveal(parent, new Set([0, 1, 3]), 2)], [3]);
});

test(`the window never leaves the trace and never inverts (seed ${seed})`, () => {
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(
      fc.double({ min: 1, max: 1e9, noNaN: true }),
      fc.array(fc.tuple(share, share, fc.constantFrom("pan", "zoom", "box")), { maxLength: 20 }),
      (endUs, moves) => {
        let view = fitAll(endUs);
        for (const [a, b, kind] of moves) {
          if (kind === "pan") view = pan(view, a * 4 - 2, endUs);
          else if (kind === "zoom") view = zoomAt(view, 0.1 + b * 3, a, endUs);
          else view = zoomToShares(view, a, b, endUs);
          assert.ok(
            view.fromUs >= 0 && view.toUs <= endUs * 1.000001 && view.toUs - view.fromUs > 0.5,
            JSON.stringify(view),
          );
        }
      },
    ),
    { seed, numRuns: 300 },
  );
});

test("zooming keeps the instant under the pointer", () => {
  const view = zoomAt({ fromUs: 0, toUs: 1000 }, 0.5, 0.25, 1000);
  assert.deepEqual(view, { fromUs: 125, toUs: 625 });
  assert.equal(isAll(fitAll(1000), 1000), true);
  assert.deepEqual(focusOn(500, 100, 10_000), { fromUs: 490, toUs: 610 });
  assert.deepEqual(clamp({ fromUs: -50, toUs: 50 }, 1000), { fromUs: 0, toUs: 100 });
  const moved = ensureVisible({ fromUs: 0, toUs: 100 }, 500, 10, 1000);
  assert.ok(moved.fromUs <= 500 && moved.toUs >= 510);
  assert.deepEqual([...ticks({ fromUs: 0, toUs: 1000 }, 5)], [0, 200, 400, 600, 800, 1000]);
});

test("merging paints every covered pixel of a lane exactly once", () => {
  const startUs = Float64Array.from([0, 1, 2, 500, 501, 900]);
  const durationUs = Float64Array.from([3, 1, 1, 100, 2, 100]);
  const lanes = buildLanes(Uint16Array.from([0, 0, 0, 0, 0, 0]), 4);
  const painted: [number, number][] = [];
  const count = mergeLane(
    { startUs, durationUs },
    lanes,
    0,
    { fromUs: 0, toUs: 1000 },
    100,
    (x, w) => painted.push([x, w]),
  );
  assert.deepEqual(painted, [
    [0, 1],
    [50, 10],
    [90, 10],
  ]);
  assert.equal(count, 3);
});

test(`merged lanes cover the same pixels as painting all spans (seed ${seed})`, () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 900 }), fc.integer({ min: 1, max: 100 })), {
        minLength: 1,
        maxLength: 60,
      }),
      (spans) => {
        const sorted = spans.sort(([a], [b]) => a - b);
        const intervals = {
          startUs: Float64Array.from(sorted, ([s]) => s),
          durationUs: Float64Array.from(sorted, ([, d]) => d),
        };
        const view = { fromUs: 0, toUs: 1000 };
        const pixels = new Uint8Array(100);
        mergeLane(intervals, buildLanes(new Uint16Array(sorted.length), 1), 0, view, 100, (x, w) =>
          pixels.fill(1, x, x + w),
        );
        const naive = new Uint8Array(100);
        for (const [s, d] of sorted)
          naive.fill(
            1,
            Math.floor(s / 10),
            Math.max(Math.floor(s / 10) + 1, Math.ceil((s + d) / 10)),
          );
        assert.deepEqual(pixels, naive);
        const order = Int32Array.from(sorted, (_, i) => i);
        const runs = coverage(intervals, order, 0, sorted.length, view, 100);
        const fromRuns = new Uint8Array(100);
        for (let i = 0; i < runs.length; i += 2)
          fromRuns.fill(1, runs[i], (runs[i] ?? 0) + (runs[i + 1] ?? 0));
        assert.deepEqual(fromRuns, naive);
      },
    ),
    { seed, numRuns: 300 },
  );
});

test("a full view of 20 k spans paints a small part of them", () => {
  const model = modelFromColumns(makeHugeColumns(20_000, 3), 0);
  const lanes = buildLanes(model.tree.depth, 48);
  let painted = 0;
  for (let lane = 0; lane < 48; lane += 1)
    painted += mergeLane(model, lanes, lane, fitAll(model.endUs), 1000, () => {});
  assert.ok(painted < 8_000, `${painted} rectangles`);
});

test("search finds words, states, bounds, and goes round", () => {
  const model = modelFromColumns(makeHugeColumns(2_000, 5), 0);
  const chats = searchSpans(model, "chat model:llama*");
  assert.ok(chats.length > 20);
  for (const row of chats) assert.match(model.strings[model.name[row] ?? 0] ?? "", /chat/);
  assert.equal(searchSpans(model, "status:error").length, model.errors.length);
  assert.equal(searchSpans(model, "pod:nowhere").length, 0);
  assert.ok(searchSpans(model, "dur>1s").length < model.count);
  const first = nextMatch(model, chats, -1, 1);
  assert.equal(first, chats[0]);
  assert.equal(nextMatch(model, chats, chats.at(-1) ?? 0, 1), first);
  assert.equal(nextMatch(model, chats, first, -1), chats.at(-1));
  assert.equal(nextMatch(model, new Int32Array(0), 3, 1), -1);
});
