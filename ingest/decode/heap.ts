/**
 * The memory that decoding works in: one WebAssembly memory per decoder, shared by the compiled
 * kernel (`kernel/`) and by the TypeScript around it, so that neither copies for the other.
 *
 * It is declared shared, though no second thread sees it, because growing a memory that is not
 * detaches every array over it. Blocks come from lists by size and go back there; nothing is
 * collected. Positions are bytes from its beginning and stay below 2 GiB.
 */
import { instantiateKernel, type Kernel } from "./kernel-module.ts";
import { fixedBytes } from "./memory-map.ts";

const pageBytes = 65_536;
const firstPages = 8;
/** 2 GiB: what the budget of open requests and groups allows is far below. */
const mostPages = 32_768;
/** A decoder in use asks for more at once, and growing costs a system call. */
const leastGrowth = 16;

/** Up to here a call into the kernel costs more than it saves. */
const smallFill = 64;

/** Beside a body: up to 7 bytes before it, and what is read as a whole word at its end. */
const bodySlack = 64;

export class Heap {
  bytes: Uint8Array;
  words: Uint32Array;
  doubles: Float64Array;
  view: DataView;
  private readonly memory: WebAssembly.Memory;
  private instance: Kernel | undefined;
  private top = fixedBytes;
  /** Free blocks by their size. */
  private readonly free = new Map<number, number[]>();
  /** By the place of its header: whose memory the kernel asks to grow. */
  private readonly growing = new Map<number, (count: number) => void>();
  private intern: (at: number, length: number) => number = () => 0;
  private note: (word: number) => void = () => undefined;

  constructor() {
    this.memory = new WebAssembly.Memory({ initial: firstPages, maximum: mostPages, shared: true });
    this.bytes = new Uint8Array(this.memory.buffer);
    this.words = new Uint32Array(this.memory.buffer);
    this.doubles = new Float64Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
  }

  /** Made when it is needed first: generating it anew needs none. */
  get kernel(): Kernel {
    this.instance ??= instantiateKernel({
      memory: this.memory,
      grow: (header, count) => this.growing.get(header)?.(count),
      intern: (at, length) => this.intern(at, length),
      note: (word) => this.note(word),
    });
    return this.instance;
  }

  /** Bytes that were ever needed at once. */
  get size(): number {
    return this.top;
  }

  /** Who gives numbers to strings that the kernel meets for the first time. */
  onIntern(intern: (at: number, length: number) => number): void {
    this.intern = intern;
  }
  /** Who writes down what a word means. */
  onNote(note: (word: number) => void): void {
    this.note = note;
  }

  /** A header of four words, whose owner makes room for `count` more when the kernel asks. */
  header(grow: (count: number) => void): Uint32Array {
    const header = this.uint32(4);
    this.growing.set(header.byteOffset, grow);
    return header;
  }

  /** A block at a place that 16 divides; whatever was there before is still in it. */
  alloc(bytes: number): number {
    const size = sizeClass(bytes);
    const known = this.free.get(size)?.pop();
    if (known !== undefined) return known;
    const at = this.top;
    this.top += size;
    if (this.top > this.bytes.length) this.grow();
    return at;
  }

  /**
   * A copy of a request's body, with room around it that the kernel may read. Copying is fast only
   * where both places are alike below 8 bytes.
   */
  copyOf(body: Uint8Array): number {
    const at = this.alloc(body.length + bodySlack) + (body.byteOffset & 7);
    this.bytes.set(body, at);
    return at;
  }

  releaseCopy(at: number, body: Uint8Array): void {
    this.release(at - (at & 7), body.length + bodySlack);
  }

  /** Gives back a block of `bytes`. */
  release(at: number, bytes: number): void {
    const size = sizeClass(bytes);
    const list = this.free.get(size);
    if (list === undefined) this.free.set(size, [at]);
    else list.push(at);
  }

  /** Zeroed arrays. */
  uint32(count: number): Uint32Array {
    const at = this.clean(count * 4);
    return new Uint32Array(this.memory.buffer, at, count);
  }
  uint16(count: number): Uint16Array {
    const at = this.clean(count * 2);
    return new Uint16Array(this.memory.buffer, at, count);
  }

  /** The array with more room, zeros behind what it held; the old one is given back. */
  widened(old: Uint32Array, count: number): Uint32Array {
    const wide = this.uint32(count);
    this.kernel.copy(wide.byteOffset, old.byteOffset, old.byteLength);
    this.release(old.byteOffset, old.byteLength);
    return wide;
  }

  /** Bytes, not zeroed. */
  uint8(count: number): Uint8Array {
    const at = this.alloc(count);
    return new Uint8Array(this.memory.buffer, at, count);
  }

  widened16(old: Uint16Array, count: number): Uint16Array {
    const wide = this.uint16(count);
    this.kernel.copy(wide.byteOffset, old.byteOffset, old.byteLength);
    this.release(old.byteOffset, old.byteLength);
    return wide;
  }

  /** Memory that was never used is zeros already. */
  private clean(bytes: number): number {
    const before = this.top;
    const at = this.alloc(bytes);
    if (at >= before) return at;
    if (bytes <= smallFill) this.bytes.fill(0, at, at + bytes);
    else this.kernel.clear(at, bytes);
    return at;
  }

  private grow(): void {
    const missing = Math.ceil((this.top - this.bytes.length) / pageBytes);
    this.memory.grow(Math.max(missing, leastGrowth, Math.ceil(this.bytes.length / pageBytes / 8)));
    this.bytes = new Uint8Array(this.memory.buffer);
    this.words = new Uint32Array(this.memory.buffer);
    this.doubles = new Float64Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
  }
}

/** Four sizes for every power of two: at most a fifth of a block is unused. */
function sizeClass(bytes: number): number {
  if (bytes <= 64) return 64;
  const step = 2 ** (29 - Math.clz32(bytes - 1));
  return Math.ceil(bytes / step) * step;
}
