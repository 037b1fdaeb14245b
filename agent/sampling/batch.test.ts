/** Rows survive the way between the threads bit for bit; reasons are told once; a bound is a bound. */
import assert from "node:assert/strict";
import test from "node:test";
import { clearRow, createRow, groups, reasonCode, type Group } from "../nvml/readings.ts";
import { createBatchWriter, groupNames, readBatch } from "./batch.ts";
import { batchNumbers } from "./limits.ts";

test("random rows come out as they went in", () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  let state = seed;
  const random = (): number => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state / 0x7fffffff;
  };
  const devices = Array.from({ length: 40 }, (_, at) => `GPU-${at}`);
  const writer = createBatchWriter();
  writer.use(devices);
  const put: unknown[] = [];
  for (let at = 0; at < 2000; at += 1) {
    const group: Group = groupNames[Math.floor(random() * 3)] ?? "fast";
    const row = createRow(group);
    for (let value = 0; value < row.values.length; value += 1) {
      if (random() < 0.7) row.values[value] = random() * 2 ** 50;
    }
    const device = Math.floor(random() * devices.length);
    writer.add(devices[device] ?? "", group, row, at);
    put.push([device, group, at, [...row.values]]);
  }
  const got: unknown[] = [];
  readBatch(writer.take().numbers, (ordinal, group, atMs, values) => {
    got.push([ordinal, group, atMs, [...values]]);
  });
  assert.deepEqual(got, put, `seed ${seed}`);
});

test("a reason is told when it begins and when it ends, and not with each row", () => {
  const writer = createBatchWriter();
  writer.use(["GPU-1"]);
  const row = createRow("fast");
  const power = groups.fast.indexOf("powerWatts");
  row.reasons[power] = reasonCode.no_permission;
  writer.add("GPU-1", "fast", row, 1);
  writer.add("GPU-1", "fast", row, 2);
  const told = { device: "GPU-1", metric: "powerWatts" };
  assert.deepEqual(writer.take().missing, [{ ...told, reason: "no_permission" }]);
  writer.add("GPU-1", "fast", row, 3);
  clearRow(row);
  writer.add("GPU-1", "fast", row, 4);
  assert.deepEqual(writer.take().missing, [], "not asked for this time: nothing changed");
  row.values[power] = 300;
  writer.add("GPU-1", "fast", row, 5);
  assert.deepEqual(writer.take().missing, [{ ...told, reason: undefined }]);
});

test("rows beyond the bound, and of devices that are not known, are dropped and counted", () => {
  const writer = createBatchWriter();
  writer.use(["GPU-1"]);
  writer.add("GPU-2", "fast", createRow("fast"), 1);
  assert.equal(writer.take().droppedRows, 1);
  const fits = Math.floor(batchNumbers / (3 + groups.fast.length));
  const row = createRow("fast");
  for (let at = 0; at < fits + 7; at += 1) writer.add("GPU-1", "fast", row, at);
  const taken = writer.take();
  assert.equal(taken.droppedRows, 7);
  assert.ok(taken.numbers.length <= batchNumbers);
});
