/** Samples over the wire: what the agent encodes is what ingest decodes. */
import assert from "node:assert/strict";
import test from "node:test";
import { deflateRawSync } from "node:zlib";
import { sampleFields } from "@axonize/core/contract/agent";
import fc from "fast-check";
import { decodeSamples } from "../../ingest/agents/samples.ts";
import { MalformedError } from "../../ingest/points/wire.ts";
import type { Sample, SampleField } from "../report.ts";
import { encodeSamples } from "./samples.ts";

const baseMs = 1_764_000_000_000;
const number = ({ deviceUuid }: Sample): number => Number(deviceUuid);

/** By device and time: column → value. */
type Table = Map<string, Record<string, number>>;

function decoded(bytes: Buffer): Table {
  const rows = decodeSamples(bytes);
  const table: Table = new Map();
  for (const [row, device] of rows.device.entries()) {
    const values: Record<string, number> = {};
    for (const [column, cells] of rows.values) {
      const cell = cells[row];
      if (cell !== undefined) values[column] = cell;
    }
    table.set(`${device}@${rows.timeMs[row]}`, values);
  }
  return table;
}

function expected(samples: readonly Sample[]): Table {
  const table: Table = new Map();
  for (const sample of samples) {
    const key = `${sample.deviceUuid}@${Math.round(sample.atMs)}`;
    const values = table.get(key) ?? {};
    for (const { name, column, scale } of sampleFields) {
      const value = sample.values[name];
      if (value !== undefined) values[column] = Math.round(value * scale) / scale;
    }
    table.set(key, values);
  }
  return table;
}

const anySample = fc.record({
  atMs: fc.double({ min: baseMs - 5_000, max: baseMs + 5_000, noNaN: true }),
  device: fc.integer({ min: 1, max: 70 }),
  values: fc.dictionary(
    fc.constantFrom(...sampleFields.map(({ name }) => name)),
    fc.double({ min: 0, max: 1, noNaN: true }),
  ),
});

test("any samples come out as they went in, to the precision of their fields", () => {
  fc.assert(
    fc.property(fc.array(anySample, { maxLength: 200 }), (drawn) => {
      const samples = drawn.map(({ atMs, device, values }) => ({
        atMs,
        deviceUuid: String(device),
        gpuUuid: String(device),
        // Spread over each field's range, so that counters have all their bits.
        values: Object.fromEntries(
          Object.entries(values).map(([name, part]) => {
            const field = sampleFields.find((each) => each.name === name);
            const { least = 0, most = 1 } = field ?? {};
            return [name, least + part * (most - least)];
          }),
        ) as Partial<Record<SampleField, number>>,
      }));
      const { bytes, refused } = encodeSamples(samples, number);
      assert.equal(refused, 0);
      assert.deepEqual(decoded(bytes), expected(samples));
    }),
    { numRuns: 200 },
  );
});

test("a value that is no reading is left out and counted, and the rest of its sample stays", () => {
  const sample = (values: Sample["values"]): Sample => ({
    atMs: baseMs,
    deviceUuid: "1",
    gpuUuid: "1",
    values,
  });
  const { bytes, refused, points } = encodeSamples(
    [sample({ powerWatts: Number.NaN, utilizationRatio: 1.5, temperatureCelsius: 41 })],
    number,
  );
  assert.deepEqual([refused, points], [2, 1]);
  assert.deepEqual(decoded(bytes), new Map([[`1@${baseMs}`, { temperature_celsius: 41 }]]));
});

test("hostile columns are refused and allocate nothing to speak of", () => {
  const hostile: Record<string, number[]> = {
    empty: [],
    "a count beyond every bound": [0, 0xff, 0xff, 0xff, 0x7f],
    "rows beyond every bound": [0, 1, 1, 0xff, 0xff, 0xff, 0x7f],
    "a number without an end": [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
    "bytes behind the end": [0, 0, 0, 7],
    "a bitmap that is cut off": [0, 1, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 255],
  };
  for (const [name, bytes] of Object.entries(hostile)) {
    assert.throws(() => decodeSamples(deflateRawSync(Buffer.from(bytes))), MalformedError, name);
  }
  assert.throws(() => decodeSamples(Buffer.from([1, 2, 3])), MalformedError);
  assert.throws(
    () => decodeSamples(deflateRawSync(Buffer.alloc(64 << 20))),
    MalformedError,
    "bomb",
  );
});

test("random bytes never do anything but decode or be refused", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      try {
        decodeSamples(deflateRawSync(bytes));
      } catch (error) {
        assert.ok(error instanceof MalformedError, String(error));
      }
    }),
    { numRuns: 2_000 },
  );
});

test("every field of a sample has a number of its own on the wire and a column of its own", () => {
  assert.equal(new Set(sampleFields.map(({ name }) => name)).size, sampleFields.length);
  assert.equal(new Set(sampleFields.map(({ column }) => column)).size, sampleFields.length);
});
