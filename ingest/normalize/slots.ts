/**
 * What a span said under the keys of the alias table, as slots that are filled while its bytes are
 * scanned and used again for the next span. A slot holds a number or bounds of text in the request's
 * body; labels are interned at once.
 */
export const empty = 0;
export const isNumber = 1;
export const isText = 2;
export const isLabel = 3;

export class Slots {
  /** Rows of the alias table that have a value, in the order they came. */
  readonly touched: Uint16Array;
  count = 0;
  /** empty, isNumber, isText, isLabel. */
  readonly kind: Uint8Array;
  readonly number: Float64Array;
  /** Text: offset and length in the body. */
  readonly offset: Uint32Array;
  readonly length: Uint32Array;
  /** Label: its interned string. */
  readonly label: Uint32Array;
  /** Device ordinals named by the span. */
  readonly ordinals: number[] = [];

  constructor(aliasCount: number) {
    this.touched = new Uint16Array(aliasCount);
    this.kind = new Uint8Array(aliasCount);
    this.number = new Float64Array(aliasCount);
    this.offset = new Uint32Array(aliasCount);
    this.length = new Uint32Array(aliasCount);
    this.label = new Uint32Array(aliasCount);
  }

  reset(): void {
    for (let i = 0; i < this.count; i += 1) this.kind[this.touched[i] ?? 0] = empty;
    this.count = 0;
    this.ordinals.length = 0;
  }

  setNumber(alias: number, value: number): void {
    this.touch(alias, isNumber);
    this.number[alias] = value;
  }
  setText(alias: number, offset: number, length: number): void {
    this.touch(alias, isText);
    this.offset[alias] = offset;
    this.length[alias] = length;
  }
  setLabel(alias: number, id: number): void {
    this.touch(alias, isLabel);
    this.label[alias] = id;
  }
  private touch(alias: number, kind: number): void {
    if (this.kind[alias] === empty) this.touched[this.count++] = alias;
    this.kind[alias] = kind;
  }
}
