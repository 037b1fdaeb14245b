/**
 * Reads one block of ClickHouse's Native format back into rows, for tests that need no engine. It
 * knows the types that decoding writes. FixedString becomes hex, 64-bit integers become bigint.
 */
type Cell = unknown;

class Reader {
  pos = 0;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  varint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.pos++] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }
  take(count: number): Uint8Array {
    if (this.pos + count > this.bytes.length) throw new Error("block is shorter than it says");
    this.pos += count;
    return this.bytes.subarray(this.pos - count, this.pos);
  }
  text(): string {
    return new TextDecoder("utf-8", { fatal: true }).decode(this.take(this.varint()));
  }
  u64(): bigint {
    this.pos += 8;
    return this.view.getBigUint64(this.pos - 8, true);
  }
}

export function readNative(bytes: Uint8Array): Record<string, Cell>[] {
  const reader = new Reader(bytes);
  const columnCount = reader.varint();
  const rowCount = reader.varint();
  const rows: Record<string, Cell>[] = Array.from({ length: rowCount }, () => ({}));
  for (let i = 0; i < columnCount; i += 1) {
    const name = reader.text();
    const type = reader.text();
    prefix(reader, type);
    column(reader, type, rowCount).forEach((cell, row) => {
      const target = rows[row];
      if (target !== undefined) target[name] = cell;
    });
  }
  if (reader.pos !== bytes.length) throw new Error("bytes after the block's end");
  return rows;
}

function inner(type: string): string {
  return type.slice(type.indexOf("(") + 1, -1);
}

function prefix(reader: Reader, type: string): void {
  if (type.startsWith("LowCardinality") && reader.u64() !== 1n) throw new Error("version");
  if (type.startsWith("Array")) prefix(reader, inner(type));
  if (type.startsWith("Map")) {
    const [key = "", value = ""] = inner(type).split(/, (?=\w)/);
    prefix(reader, key);
    prefix(reader, value);
  }
}

function column(reader: Reader, type: string, rows: number): Cell[] {
  const each = (read: () => Cell): Cell[] => Array.from({ length: rows }, read);
  if (type.startsWith("LowCardinality")) return lowCardinality(reader, rows);
  if (type.startsWith("Nullable")) {
    const nulls = column(reader, "UInt8", rows);
    return column(reader, inner(type), rows).map((cell, i) => (nulls[i] === 1 ? null : cell));
  }
  if (type.startsWith("Array")) {
    const ends = column(reader, "UInt64", rows).map(Number);
    const cells = column(reader, inner(type), ends.at(-1) ?? 0);
    return ends.map((end, i) => cells.slice(ends[i - 1] ?? 0, end));
  }
  if (type.startsWith("Map")) {
    const [key = "", value = ""] = inner(type).split(/, (?=\w)/);
    const ends = column(reader, "UInt64", rows).map(Number);
    const keys = column(reader, key, ends.at(-1) ?? 0);
    const values = column(reader, value, ends.at(-1) ?? 0);
    return ends.map((end, i) =>
      keys.slice(ends[i - 1] ?? 0, end).map((k, j) => [k, values[(ends[i - 1] ?? 0) + j]]),
    );
  }
  if (type.startsWith("FixedString")) {
    return each(() => Buffer.from(reader.take(Number(inner(type)))).toString("hex"));
  }
  if (type === "String") return each(() => reader.text());
  if (/^(UInt8|Bool|Enum8)/.test(type)) return each(() => reader.take(1)[0]);
  if (/^(UInt16|Date$)/.test(type)) {
    return each(() => {
      reader.take(2);
      return reader.view.getUint16(reader.pos - 2, true);
    });
  }
  if (/^(UInt32|DateTime\()/.test(type)) {
    return each(() => {
      reader.take(4);
      return reader.view.getUint32(reader.pos - 4, true);
    });
  }
  if (type === "Float64") {
    return each(() => {
      reader.take(8);
      return reader.view.getFloat64(reader.pos - 8, true);
    });
  }
  if (/^(UInt64|Int64|DateTime64)/.test(type)) {
    return each(() => (type === "UInt64" ? reader.u64() : BigInt.asIntN(64, reader.u64())));
  }
  throw new Error(`type ${type} is not known here`);
}

function lowCardinality(reader: Reader, rows: number): Cell[] {
  if (rows === 0) return [];
  const flags = reader.u64();
  const words = Array.from({ length: Number(reader.u64()) }, () => reader.text());
  if (Number(reader.u64()) !== rows) throw new Error("rows of a dictionary");
  const type = ["UInt8", "UInt16", "UInt32"][Number(flags & 0xffn)] ?? "";
  return column(reader, type, rows).map((index) => {
    const word = words[Number(index)];
    if (word === undefined) throw new Error("position beyond the dictionary");
    return word;
  });
}
