/**
 * SQL as text and values apart: what a template holds becomes a bound parameter, or, where it was made here,
 * a part of the text. Text of a caller never becomes text of a statement, except in `unsafe`.
 *
 * Values go as text and PostgreSQL infers their types from the statement; where nothing there says the type
 * (an argument of `unnest`, `SELECT ${x}`), the statement casts.
 */
import { createHash } from "node:crypto";

type Scalar = string | number | bigint | boolean | Date | null;
export type Plain = Scalar | Uint8Array | readonly Scalar[];
export type Value = Plain | Part;
type Bound = string | Uint8Array | null;

/** Of a statement, for use in another one's template. */
export interface Part {
  readonly [part]: true;
  readonly strings: readonly string[];
  readonly values: readonly Value[];
}

export interface Statement {
  /** Under it each connection keeps what PostgreSQL made of the text. */
  readonly name?: string;
  readonly text: string;
  readonly values: Bound[];
}

const part = Symbol("part");
type Row<T> = { readonly [K in keyof T]: Value };

const isPart = (value: Value): value is Part =>
  typeof value === "object" && value !== null && part in value;
const partOf = (strings: readonly string[], values: readonly Value[] = []): Part => ({
  [part]: true,
  strings,
  values,
});
const listOf = (values: readonly Value[]): Part =>
  partOf(["", ...values.slice(1).map(() => ", "), ""], values);
const id = (name: string): Part => {
  if (name.includes("\0")) throw new TypeError("a name in SQL holds a NUL");
  return partOf([`"${name.replaceAll('"', '""')}"`]);
};
const ids = (names: readonly string[]): Part => listOf(names.map(id));

/** What makes parts; each tag has them. */
export const parts = {
  /** A tag: SQL with values of its own. */
  part: (strings: TemplateStringsArray, ...values: readonly Value[]) => partOf(strings, values),
  /** A quoted name of a table, column or role. */
  id,
  ids,
  /** For a parameter of type json or jsonb. */
  json: (value: object): Part => listOf([JSON.stringify(value)]),
  /** `("a", "b") VALUES ($1, $2)`. */
  row: <T extends Row<T>>(row: T): Part => {
    const values = listOf(Object.values<Value>(row));
    return partOf(["(", ") VALUES (", ")"], [ids(Object.keys(row)), values]);
  },
  /** `"a" = $1, "b" = $2`. */
  set: <T extends Row<T>>(row: T): Part =>
    listOf(
      Object.entries<Value>(row).map(([name, value]) => partOf(["", " = ", ""], [id(name), value])),
    ),
};

/** Templates without parts: there are as many as in the source, and planning one costs as much as running it. */
const names = new WeakMap<readonly string[], string>();

export function compile(strings: TemplateStringsArray, values: readonly Value[]): Statement {
  const bound: Bound[] = [];
  const write = (of: { strings: readonly string[]; values: readonly Value[] }): string =>
    of.values.reduce<string>((text, value, at) => {
      const put = isPart(value) ? write(value) : `$${bound.push(parameter(value, text))}`;
      return text + put + (of.strings[at + 1] ?? "");
    }, of.strings[0] ?? "");
  const text = write({ strings, values });
  // The protocol counts them in 16 bits.
  if (bound.length > 65_535) throw new RangeError(`a statement of ${bound.length} parameters`);
  // The same place in the source may hold a part now and a value then.
  if (values.length === 0 || values.some(isPart)) return { text, values: bound };
  let name = names.get(strings);
  if (name === undefined) {
    name = createHash("sha256").update(text).digest("base64url").slice(0, 22);
    names.set(strings, name);
  }
  return { name, text, values: bound };
}

/** `before`: the text it follows, for errors. */
export function parameter(value: Plain, before: string): Bound {
  if (value === null || typeof value === "string" || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) {
    return `{${value.map((each: Scalar) => element(parameter(each, before))).join(",")}}`;
  }
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString();
  if (["number", "bigint", "boolean"].includes(typeof value)) return String(value);
  const kind = value instanceof Date ? "a Date of no time" : typeof value;
  throw new TypeError(`the value after "${before.slice(-60).trim()}" is ${kind}`);
}

function element(text: Bound): string {
  return text === null ? "NULL" : `"${String(text).replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}
