/**
 * A cursor over JSON text in bytes: strings, scalars, and how to step over what nobody asked for, at
 * any depth and without recursion. It checks that the text is JSON (RFC 8259); it knows no message.
 *
 * Bytes that are no UTF-8 pass in strings: whoever stores the string repairs it.
 */

import { jsonDepth } from "./limits.ts";

/** The body is no JSON or has a wrong shape; caught at the edge of `json.ts`. */
export class WrongShape extends Error {}

const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const backslash = 0x5c;
const braceOpen = 0x7b;
const braceClose = 0x7d;
const bracketOpen = 0x5b;
const bracketClose = 0x5d;

export class JsonReader {
  readonly bytes: Buffer;
  pos = 0;
  /** Bounds of the last string, without its quotes, and whether there are escapes in it. */
  start = 0;
  end = 0;
  isEscaped = false;
  /** Whether the last token was a string. */
  isString = false;
  private key: Buffer;
  private keyStart = 0;
  private keyEnd = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.key = this.bytes;
    if (this.bytes.subarray(0, 3).equals(byteOrderMark)) this.pos = 3;
  }

  /** The next byte that is no white space, which is not taken; 0 at the end. */
  peek(): number {
    const { bytes } = this;
    for (;;) {
      const byte = bytes[this.pos] ?? 0;
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte;
      this.pos += 1;
    }
  }

  isAt(mark: "{" | "[" | '"' | "n"): boolean {
    return this.peek() === mark.charCodeAt(0);
  }

  /** Nothing may follow. */
  finish(): void {
    this.peek();
    if (this.pos < this.bytes.length) throw new WrongShape("something follows the JSON");
  }

  open(mark: "{" | "["): void {
    if (!this.isAt(mark)) throw new WrongShape(`"${mark}" is expected`);
    this.pos += 1;
  }

  /** Goes to the value of an object's next member; false, behind the object, where there is none. */
  nextKey(isFirst: boolean): boolean {
    if (!this.next(braceClose, isFirst)) return false;
    this.readKey();
    return true;
  }

  /** Goes to an array's next element; false, behind the array, where there is none. */
  nextElement(isFirst: boolean): boolean {
    return this.next(bracketClose, isFirst);
  }

  /** Whether the last key is this one. */
  isKey(name: Buffer): boolean {
    const { key, keyStart } = this;
    if (this.keyEnd - keyStart !== name.length) return false;
    for (let i = 0; i < name.length; i += 1) if (key[keyStart + i] !== name[i]) return false;
    return true;
  }

  /** Turns the last key from snake_case to lowerCamelCase; false where it was none. */
  camelKey(): boolean {
    const text = this.key.toString("latin1", this.keyStart, this.keyEnd);
    if (!text.includes("_")) return false;
    this.setKey(text.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()));
    return true;
  }

  /** Takes a string; its bounds are in `start` and `end`. */
  string(): void {
    const { bytes } = this;
    if (this.peek() !== quote) throw new WrongShape("a string is expected");
    let pos = this.pos + 1;
    this.start = pos;
    this.isEscaped = false;
    for (;;) {
      const byte = bytes[pos] ?? 0;
      if (byte === quote) break;
      if (byte < 0x20) throw new WrongShape("a string has no end, or a control character in it");
      if (byte === backslash) {
        this.isEscaped = true;
        pos = this.escape(pos + 1);
      } else pos += 1;
    }
    this.end = pos;
    this.pos = pos + 1;
  }

  /** The last string. */
  text(): string {
    const { bytes, start, end } = this;
    if (!this.isEscaped) return bytes.toString("utf8", start, end);
    // Its escapes were checked: what comes of it is a string.
    return String(JSON.parse(bytes.toString("utf8", start - 1, end + 1)));
  }

  /** Takes a scalar and answers its text; a string without quotes. */
  token(): string {
    this.isString = this.peek() === quote;
    if (this.isString) {
      this.string();
      return this.text();
    }
    const { pos } = this;
    this.literal();
    return this.bytes.toString("latin1", pos, this.pos);
  }

  /** Takes a scalar; null is undefined. */
  scalar(): string | number | boolean | undefined {
    const token = this.token();
    if (this.isString) return token;
    if (token === "null") return undefined;
    return token === "true" || token === "false" ? token === "true" : Number(token);
  }

  /** Steps over a value, whatever is in it. */
  skip(): void {
    const open: number[] = [];
    for (;;) {
      const byte = this.peek();
      if (byte === braceOpen || byte === bracketOpen) {
        const close = byte === braceOpen ? braceClose : bracketClose;
        this.pos += 1;
        if (this.peek() !== close) {
          if (open.push(close) > jsonDepth) throw new WrongShape("nested too deep");
          if (close === braceClose) this.readKey();
          continue;
        }
        this.pos += 1;
      } else if (byte === quote) this.string();
      else this.literal();
      while (open.length > 0 && this.peek() === open.at(-1)) {
        open.pop();
        this.pos += 1;
      }
      const close = open.at(-1);
      if (close === undefined) return;
      this.take(comma);
      if (close === braceClose) this.readKey();
    }
  }

  private next(close: number, isFirst: boolean): boolean {
    const byte = this.peek();
    if (byte === close) {
      this.pos += 1;
      return false;
    }
    if (!isFirst) this.take(comma);
    return true;
  }

  private readKey(): void {
    this.string();
    this.key = this.bytes;
    this.keyStart = this.start;
    this.keyEnd = this.end;
    if (this.isEscaped) this.setKey(this.text());
    this.take(colon);
  }

  private setKey(text: string): void {
    this.key = Buffer.from(text);
    this.keyStart = 0;
    this.keyEnd = this.key.length;
  }

  private take(mark: number): void {
    if (this.peek() !== mark) throw new WrongShape(`"${String.fromCharCode(mark)}" is expected`);
    this.pos += 1;
  }

  /** Where the text goes on after an escape whose letter is at `pos`. */
  private escape(pos: number): number {
    const letter = String.fromCharCode(this.bytes[pos] ?? 0);
    if ('"\\/bfnrt'.includes(letter)) return pos + 1;
    const isHex = /^[0-9a-f]{4}$/i.test(this.bytes.toString("latin1", pos + 1, pos + 5));
    if (letter !== "u" || !isHex) throw new WrongShape("an escape that JSON does not have");
    return pos + 5;
  }

  /** Takes true, false, null or a number. */
  private literal(): void {
    const { bytes } = this;
    const word = words[bytes[this.pos] ?? 0];
    if (word === undefined) this.number();
    else if (bytes.toString("latin1", this.pos, this.pos + word.length) === word)
      this.pos += word.length;
    else throw new WrongShape(`${word} is expected`);
  }

  private number(): void {
    const { bytes } = this;
    if (bytes[this.pos] === 0x2d) this.pos += 1;
    if (bytes[this.pos] === 0x30) this.pos += 1;
    else this.digits();
    if (bytes[this.pos] === 0x2e) {
      this.pos += 1;
      this.digits();
    }
    if (((bytes[this.pos] ?? 0) | 0x20) !== 0x65) return;
    this.pos += 1;
    if (bytes[this.pos] === 0x2b || bytes[this.pos] === 0x2d) this.pos += 1;
    this.digits();
  }

  private digits(): void {
    const { bytes, pos } = this;
    let at = pos;
    for (let byte = bytes[at] ?? 0; byte >= 0x30 && byte <= 0x39; byte = bytes[at] ?? 0) at += 1;
    if (at === pos) throw new WrongShape("a value is expected");
    this.pos = at;
  }
}

const byteOrderMark = Buffer.of(0xef, 0xbb, 0xbf);
/** Words that JSON has, by their first letter. */
const words: Readonly<Record<number, string>> = { 0x74: "true", 0x66: "false", 0x6e: "null" };
