/**
 * Writes tar files that are the same bytes for the same entries: times are zero, owners are root,
 * names are ustar's and, where too long for it, a PAX record's. Why not the system's tar: it takes
 * its order, times and owners from the disk, and four of its options differ between versions.
 *
 * It reads each file once and tells the SHA-256 of what it wrote, which is a layer's name.
 */
import { createHash, type Hash } from "node:crypto";
import { closeSync, openSync, readSync, writeSync } from "node:fs";

export type Entry =
  | { readonly type: "directory"; readonly path: string; readonly mode: number }
  | { readonly type: "symlink"; readonly path: string; readonly target: string }
  | {
      readonly type: "file";
      readonly path: string;
      readonly mode: number;
      /** The bytes, or the path of the file that has `size` of them. */
      readonly content: Buffer | { readonly file: string; readonly size: number };
    };

export interface Written {
  /** `sha256:<hex>` of the whole tar. */
  readonly digest: string;
  readonly size: number;
}

const block = 512;
/** One read; a file of half a gigabyte passes through it. */
const chunkBytes = 4 * 1024 * 1024;

/** Writes the entries in their order; `path` is replaced. */
export function writeTar(path: string, entries: Iterable<Entry>): Written {
  const fd = openSync(path, "w");
  const hash = createHash("sha256");
  let size = 0;
  const put = (bytes: Uint8Array): void => {
    hash.update(bytes);
    size += bytes.length;
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
  };
  try {
    for (const entry of entries) {
      for (const header of headersOf(entry)) put(header);
      if (entry.type === "file") put(padding(putContent(entry, put)));
    }
    put(Buffer.alloc(2 * block));
  } finally {
    closeSync(fd);
  }
  return { digest: digestOf(hash), size };
}

export function digestOf(hash: Hash): string {
  return `sha256:${hash.digest("hex")}`;
}

function putContent(
  entry: Extract<Entry, { type: "file" }>,
  put: (bytes: Uint8Array) => void,
): number {
  const { content } = entry;
  if (Buffer.isBuffer(content)) {
    put(content);
    return content.length;
  }
  const fd = openSync(content.file, "r");
  const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, Math.max(content.size, 1)));
  let read = 0;
  try {
    for (;;) {
      const count = readSync(fd, chunk, 0, chunk.length, null);
      if (count === 0) break;
      read += count;
      put(chunk.subarray(0, count));
    }
  } finally {
    closeSync(fd);
  }
  if (read !== content.size) {
    throw new Error(`${content.file} had ${content.size} bytes and now ${read}; build again`);
  }
  return read;
}

const padding = (size: number): Buffer => Buffer.alloc((block - (size % block)) % block);

function headersOf(entry: Entry): Buffer[] {
  const name = entry.type === "directory" ? `${entry.path}/` : entry.path;
  const target = entry.type === "symlink" ? entry.target : "";
  const split = splitName(name);
  if (split !== undefined && Buffer.byteLength(target) <= 100) {
    return [header(entry, split, target)];
  }
  const records = [
    ...(split === undefined ? [record("path", name)] : []),
    ...(Buffer.byteLength(target) <= 100 ? [] : [record("linkpath", target)]),
  ].join("");
  const content = Buffer.from(records);
  const pax: Entry = { type: "file", path: "PaxHeaders/entry", mode: 0o644, content };
  return [
    header(pax, { prefix: "", name: pax.path }, "", "x"),
    content,
    padding(content.length),
    header(entry, split ?? { prefix: "", name: name.slice(-100) }, target.slice(0, 100)),
  ];
}

/** A PAX record begins with its own length in decimal, counting these digits. */
function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  let length = bytes + String(bytes).length;
  if (String(length).length > String(bytes).length) length = bytes + String(length).length;
  return `${length}${rest}`;
}

/** ustar has 100 bytes for a name and 155 for the folders before it. */
function splitName(name: string): { prefix: string; name: string } | undefined {
  if (Buffer.byteLength(name) <= 100) return { prefix: "", name };
  for (let at = name.indexOf("/"); at !== -1; at = name.indexOf("/", at + 1)) {
    const rest = name.slice(at + 1);
    if (rest === "" || Buffer.byteLength(rest) > 100) continue;
    const prefix = name.slice(0, at);
    return Buffer.byteLength(prefix) <= 155 ? { prefix, name: rest } : undefined;
  }
  return undefined;
}

const typeFlags = { file: "0", symlink: "2", directory: "5" } as const;

function header(
  entry: Entry,
  name: { prefix: string; name: string },
  target: string,
  flag: string = typeFlags[entry.type],
): Buffer {
  const buffer = Buffer.alloc(block);
  const size =
    entry.type !== "file"
      ? 0
      : Buffer.isBuffer(entry.content)
        ? entry.content.length
        : entry.content.size;
  const octal = (value: number, at: number, width: number): void => {
    buffer.write(`${value.toString(8).padStart(width - 1, "0")}\0`, at, "latin1");
  };
  buffer.write(name.name, 0, 100);
  octal(entry.type === "symlink" ? 0o777 : entry.mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  buffer.write("        ", 148, "latin1");
  buffer.write(flag, 156, "latin1");
  buffer.write(target, 157, 100);
  buffer.write("ustar\x0000", 257, "latin1");
  buffer.write(name.prefix, 345, 155);
  const sum = buffer.reduce((total, byte) => total + byte, 0);
  buffer.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return buffer;
}
