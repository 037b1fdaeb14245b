/**
 * Rows of plain values as a block of ClickHouse's Native format, for tables that get hundreds of rows a
 * second: GPU samples, events, metrics. Spans have column builders of their own (`decode/`), which make
 * no value per cell.
 *
 * A column is written by its type, read from its name; the types are those that these tables have.
 */
import { ByteWriter } from "../decode/native.ts";

/** undefined is NULL in a Nullable column and the empty value in any other. */
export type Cell = unknown;

export interface RowColumn {
  readonly name: string;
  readonly type: string;
  readonly cells: readonly Cell[];
}

export function nativeRows(columns: readonly RowColumn[]): Uint8Array {
  const out = new ByteWriter(4096);
  out.varint(columns.length);
  out.varint(columns[0]?.cells.length ?? 0);
  for (const { name, type, cells } of columns) {
    out.text(name);
    out.text(type);
    if (cells.length === 0) continue;
    prefix(out, type);
    write(out, type, cells);
  }
  return out.finish();
}

/** Only LowCardinality has one, wherever it sits. */
function prefix(out: ByteWriter, type: string): void {
  if (type.startsWith("LowCardinality(")) {
    out.u64(1);
    return;
  }
  const { outer, inner } = parts(type);
  if (outer === "Map" || outer === "Array") for (const each of inner) prefix(out, each);
}

function write(out: ByteWriter, type: string, cells: readonly Cell[]): void {
  const { outer, inner } = parts(type);
  const [first = "", second = ""] = inner;
  switch (outer) {
    case "LowCardinality":
      writeDictionary(out, cells);
      return;
    case "Nullable":
      out.append(Uint8Array.from(cells, (cell) => (cell === undefined ? 1 : 0)));
      write(out, first, filled(cells));
      return;
    case "Array":
      writeEnds(
        out,
        cells.map((cell) => listOf(cell).length),
      );
      write(out, first, cells.flatMap(listOf));
      return;
    case "Map":
      writeEnds(
        out,
        cells.map((cell) => entriesOf(cell).length),
      );
      write(
        out,
        first,
        cells.flatMap((cell) => entriesOf(cell).map(([key]) => key)),
      );
      write(
        out,
        second,
        cells.flatMap((cell) => entriesOf(cell).map(([, value]) => value)),
      );
      return;
    case "String":
      for (const cell of cells) out.text(textOf(cell));
      return;
    default:
      writeNumbers(out, outer, cells);
  }
}

/**
 * What lies under a NULL is nobody's to read, but it is stored: the value beside it costs nothing after
 * a Delta codec, where a zero between two counters costs both of them.
 */
function filled(cells: readonly Cell[]): readonly Cell[] {
  let last = cells.find((cell) => cell !== undefined);
  return cells.map((cell) => (last = cell ?? last));
}

function writeNumbers(out: ByteWriter, type: string, cells: readonly Cell[]): void {
  const width = widths[type];
  if (width === undefined) throw new Error(`assertion failed: no writer for ${type}`);
  const bytes = new Uint8Array(cells.length * width);
  const view = new DataView(bytes.buffer);
  for (const [row, cell] of cells.entries()) {
    const at = row * width;
    if (type === "Float32") view.setFloat32(at, numberOf(cell), true);
    else if (type === "Float64") view.setFloat64(at, numberOf(cell), true);
    else if (width === 8) view.setBigUint64(at, BigInt.asUintN(64, bigOf(cell)), true);
    else if (width === 4) view.setUint32(at, numberOf(cell), true);
    else if (width === 2) view.setUint16(at, numberOf(cell), true);
    else view.setUint8(at, numberOf(cell));
  }
  out.append(bytes);
}

const widths: Readonly<Record<string, number>> = {
  UInt8: 1,
  Bool: 1,
  Enum8: 1,
  UInt16: 2,
  UInt32: 4,
  DateTime: 4,
  Float32: 4,
  UInt64: 8,
  Int64: 8,
  DateTime64: 8,
  Float64: 8,
};

/** Flags: the block has keys of its own, and they replace the dictionary. */
const ownKeys = (1 << 9) | (1 << 10);

function writeDictionary(out: ByteWriter, cells: readonly Cell[]): void {
  if (cells.length === 0) return;
  const positions = new Map<string, number>([["", 0]]);
  const indexes = Uint32Array.from(cells, (cell) => {
    const text = textOf(cell);
    const position = positions.get(text) ?? positions.size;
    positions.set(text, position);
    return position;
  });
  out.u64(2 | ownKeys); // positions of 32 bits: these blocks are small
  out.u64(positions.size);
  for (const text of positions.keys()) out.text(text);
  out.u64(cells.length);
  out.appendArray(indexes);
}

function writeEnds(out: ByteWriter, lengths: readonly number[]): void {
  let end = 0;
  for (const length of lengths) {
    end += length;
    out.u64(end);
  }
}

/** `Map(A, B)` → Map and [A, B]; parameters that are no types stay unused (`DateTime64(3, 'UTC')`). */
function parts(type: string): { outer: string; inner: readonly string[] } {
  const known = parsed.get(type);
  if (known !== undefined) return known;
  const open = type.indexOf("(");
  const outer = open < 0 ? type : type.slice(0, open);
  const inside = open < 0 ? "" : type.slice(open + 1, -1);
  const comma =
    outer === "Map"
      ? inside.indexOf(", ", inside.startsWith("LowCardinality") ? inside.indexOf(")") : 0)
      : -1;
  const inner = comma < 0 ? [inside] : [inside.slice(0, comma), inside.slice(comma + 2)];
  const result = { outer, inner };
  parsed.set(type, result);
  return result;
}
/** By type; as many as our tables have. */
const parsed = new Map<string, { outer: string; inner: readonly string[] }>();

const textOf = (cell: Cell): string => (typeof cell === "string" ? cell : "");
const numberOf = (cell: Cell): number => Number(cell ?? 0);
const bigOf = (cell: Cell): bigint =>
  typeof cell === "bigint" ? cell : BigInt(Math.round(numberOf(cell)));
const listOf = (cell: Cell): readonly Cell[] => (Array.isArray(cell) ? cell : []);
const entriesOf = (cell: Cell): readonly (readonly [Cell, Cell])[] =>
  cell instanceof Map ? [...cell.entries()] : [];
