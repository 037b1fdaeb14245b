// A call without a model: inherited from its parent in either order of arrival, else from its
// instance, and never where it could be another.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ModelMemory, severalModels, type SpanKey } from "./model-memory.ts";

const key = (span: number, trace = 1, tenant = 1): SpanKey => ({
  tenant,
  trace: [trace, 2, 3, 4],
  span: [span, span * 7],
});
const llama = 11;
const qwen = 12;

test("a call inherits the model of its parent that came before it", () => {
  const memory = new ModelMemory();
  memory.named(key(1), llama);
  assert.deepEqual(memory.inherit(key(1), { learnedModel: 0 }), { model: llama, from: "trace" });
});

test("a call that came before its parent teaches its instance, and the next call has the model", () => {
  const memory = new ModelMemory();
  const instance = { learnedModel: 0 };
  assert.equal(memory.inherit(key(1), instance), undefined);
  memory.named(key(1), llama);
  assert.deepEqual(memory.inherit(key(2), instance), { model: llama, from: "instance" });
});

test("an instance that serves two models gives none to a call whose parent is unknown", () => {
  const memory = new ModelMemory();
  const instance = { learnedModel: 0 };
  memory.named(key(1), llama);
  memory.named(key(2), qwen);
  assert.equal(memory.inherit(key(1), instance)?.model, llama);
  assert.equal(memory.inherit(key(2), instance)?.model, qwen);
  assert.equal(instance.learnedModel, severalModels);
  assert.equal(memory.inherit(key(3), instance), undefined);
});

test("the same span id in another trace or tenant is another span", () => {
  const memory = new ModelMemory();
  memory.named(key(1), llama);
  assert.equal(memory.inherit(key(1, 9), { learnedModel: 0 }), undefined);
  assert.equal(memory.inherit(key(1, 1, 2), { learnedModel: 0 }), undefined);
});

test("clearing forgets what was named", () => {
  const memory = new ModelMemory();
  memory.named(key(1), llama);
  memory.clear();
  assert.equal(memory.inherit(key(1), { learnedModel: 0 }), undefined);
});
