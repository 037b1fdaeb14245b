/**
 * The last short lists under each alias: `gen_ai.response.finish_reasons` is `["stop"]` span after
 * span, and writing its JSON text anew costs more than ten plain attributes. A list that was there
 * before, byte for byte and under the same capture setting, is copied by the kernel instead.
 */
import type { Meaning, Said } from "../normalize/said.ts";
import type { Capture, JsonText } from "./any-value.ts";
import { memo, memosAt, memosEnd } from "./memory-map.ts";
import type { Strings } from "./strings.ts";
import type { Wire } from "./wire.ts";

/** In memory as numbers. */
export const captureCodes: Readonly<Record<Capture, number>> = { None: 0, Redacted: 1, Full: 2 };

const rawBytes = memo.text - memo.raw;
/** Its length before it takes one byte. */
const mostText = Math.min(0x7f, memo.bytes - memo.text - 1);

export class ListMemos {
  private readonly wire: Wire;
  private readonly json: JsonText;
  private readonly said: Said;
  private readonly strings: Strings;

  constructor(deps: { wire: Wire; json: JsonText; said: Said; strings: Strings }) {
    this.wire = deps.wire;
    this.json = deps.json;
    this.said = deps.said;
    this.strings = deps.strings;
  }

  /** Interned strings were renumbered. */
  clear(): void {
    this.strings.heap.bytes.fill(0, memosAt, memosEnd);
  }

  /**
   * Keeps what the list in `[start, end)` came to, just now, if it is short: the JSON text, and the
   * label or the ordinals (those beyond `ordinalsBefore`) that it gave.
   */
  remember(
    meaning: Meaning,
    start: number,
    end: number,
    capture: Capture,
    label: number,
    ordinalsBefore: number,
  ): void {
    const { json, said, wire } = this;
    const { length } = json.out;
    const ordinals = said.ordinals.subarray(ordinalsBefore, said.ordinalCount);
    const isWhole = meaning.isLabel ? label !== 0 : ordinals.length > 0;
    if (!isWhole || end - start > rawBytes || end < 4 || length > mostText || json.marks !== 0)
      return;
    if (ordinals.length > memo.ordinals || !ordinals.every((each) => each < 256)) return;
    const { bytes, words } = this.strings.heap;
    const tail = wire.view.getUint32(end - 4, true);
    const slot = Math.imul(tail ^ (end - start), 0x9e3779b1) >>> 30;
    const at = memosAt + (meaning.rank * memo.perAlias + slot) * memo.bytes;
    words[at / 4] = end - start;
    words[at / 4 + 1] = captureCodes[capture];
    words[at / 4 + 2] = length + 1;
    words[at / 4 + 3] = label;
    bytes[at + 16] = ordinals.length;
    bytes.set(ordinals, at + 17);
    bytes.set(wire.bytes.subarray(start, end), at + memo.raw);
    bytes[at + memo.text] = length;
    bytes.set(json.out.bytes.subarray(0, length), at + memo.text + 1);
  }
}
