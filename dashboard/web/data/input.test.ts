/** Keyboard shortcuts, suggestions at the caret, and the event stream's framing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { keyName, matchKey } from "./shortcuts.ts";
import { parseEvents } from "./sse.ts";
import { applyOption, tokenAt, wantedAt } from "./suggest.ts";

const press = (key: string, more: Partial<Parameters<typeof keyName>[0]> = {}) =>
  keyName({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more });

test("keys are named as people write them", () => {
  assert.equal(press("k", { metaKey: true }), "mod+k");
  assert.equal(press("k", { ctrlKey: true }), "mod+k");
  assert.equal(press("?", { shiftKey: true }), "?");
  assert.equal(press("Enter", { shiftKey: true }), "shift+enter");
  assert.equal(press("ArrowDown"), "arrowdown");
});

test("the newest keymap wins, and a first key waits for its second", () => {
  const calls: string[] = [];
  const note = (name: string) => (): void => {
    calls.push(name);
  };
  const maps = [{ "g r": note("go"), e: note("frame e") }, { e: note("page e") }];
  const event = {} as KeyboardEvent; // Safe: the handlers above ignore it.
  matchKey(maps, "", "e").run?.(event);
  const first = matchKey(maps, "", "g");
  assert.equal(first.run, undefined);
  assert.equal(first.pending, "g");
  matchKey(maps, first.pending, "r").run?.(event);
  matchKey(maps, "g", "e").run?.(event);
  assert.deepEqual(calls, ["page e", "go", "page e"]);
  assert.deepEqual(matchKey(maps, "", "z"), { pending: "" });
});

test("the token at the caret keeps quoted blanks together", () => {
  assert.deepEqual(tokenAt('a user:"Ana S" b', 12), { start: 2, end: 14, text: 'user:"Ana S"' });
  assert.deepEqual(tokenAt("model:ll next", 8), { start: 0, end: 8, text: "model:ll" });
});

test("keys are offered first, then the values of a key, then nothing for bounds", () => {
  const keys = wantedAt("mo");
  assert.equal(keys.kind, "keys");
  assert.deepEqual(keys.kind === "keys" ? keys.options.map((o) => o.insert) : [], ["model:"]);
  assert.deepEqual(wantedAt("-model:lla"), {
    kind: "values",
    key: "model",
    prefix: "lla",
    minus: "-",
  });
  assert.deepEqual(wantedAt("dur>5"), { kind: "nothing" });
});

test("a chosen option replaces its token and leaves the rest", () => {
  const option = { insert: "model:llama", label: "llama", note: "", complete: true };
  assert.deepEqual(applyOption("mo status:ok", tokenAt("mo status:ok", 2), option), {
    text: "model:llama status:ok",
    caret: 11,
  });
  assert.deepEqual(applyOption("mo", tokenAt("mo", 2), option), {
    text: "model:llama ",
    caret: 12,
  });
});

test("events are read whole, in any cut", () => {
  const wire =
    ': hello\n\nevent: span\ndata: {"a":1}\n\nevent: span\r\ndata: x\r\ndata: y\r\n\r\nevent: sp';
  const whole = parseEvents(wire);
  assert.deepEqual(whole.events, [
    { event: "span", data: '{"a":1}' },
    { event: "span", data: "x\ny" },
  ]);
  assert.equal(whole.rest, "event: sp");
  for (let cut = 0; cut <= wire.length; cut += 1) {
    // A carriage return is only ever cut from its line feed by the network: skipped, not split.
    if (wire[cut - 1] === "\r") continue;
    const first = parseEvents(wire.slice(0, cut));
    const second = parseEvents(first.rest + wire.slice(cut));
    assert.deepEqual([...first.events, ...second.events], whole.events, `cut at ${cut}`);
  }
});
