/**
 * The last short list of words under each alias: `gen_ai.response.finish_reasons` is `["stop"]` span
 * after span, and writing its JSON text anew costs more than ten plain attributes. A list that is
 * the one before, byte for byte and under the same capture setting, is copied instead.
 */
import type { Meaning, Said } from "../normalize/said.ts";
import type { Capture, JsonText } from "./any-value.ts";
import type { PayloadTable } from "./tables.ts";
import type { Wire } from "./wire.ts";

/** Up to here a list is compared with the one before: ~120 aliases × (64 B + JSON of twice that) = 25 KB. */
const memoBytes = 64;
/** A short list of words (finish reasons): its bytes, its JSON text, and the label that it gave. */
interface ListMemo {
  raw: Uint8Array;
  capture: Capture;
  text: Uint8Array;
  textView: DataView;
  label: number;
}

export class ListMemos {
  private readonly wire: Wire;
  private readonly json: JsonText;
  private readonly said: Said;
  private readonly memos: (ListMemo | undefined)[] = [];

  constructor(deps: { wire: Wire; json: JsonText; said: Said }) {
    this.wire = deps.wire;
    this.json = deps.json;
    this.said = deps.said;
  }

  /** Interned strings were renumbered. */
  clear(): void {
    this.memos.length = 0;
  }

  /** Keeps what the list in `[start, end)` came to, just now, if it is short and gave a label. */
  remember(meaning: Meaning, start: number, end: number, capture: Capture, label: number): void {
    const { json } = this;
    if (end - start > memoBytes || json.marks !== 0 || !meaning.isLabel || label === 0) return;
    const text = json.out.bytes.slice(0, json.out.length);
    this.memos[meaning.rank] = {
      raw: this.wire.bytes.slice(start, end),
      capture,
      text,
      textView: new DataView(text.buffer),
      label,
    };
  }

  /** Writes the list in `[start, end)` if it is, byte for byte, the one before; else false. */
  again(
    key: number,
    meaning: Meaning,
    start: number,
    end: number,
    capture: Capture,
    payload: PayloadTable,
  ): boolean {
    const memo = this.memos[meaning.rank];
    if (memo === undefined || memo.capture !== capture) return false;
    const { raw, text } = memo;
    const { bytes } = this.wire;
    if (raw.length !== end - start) return false;
    for (let i = 0; i < raw.length; i += 1) if (raw[i] !== bytes[start + i]) return false;
    payload.attrs_json.keys.push1(key);
    payload.attrs_json.values.pushRange(text, memo.textView, 0, text.length);
    this.said.label(meaning, memo.label);
    return true;
  }
}
