/**
 * Cursors of lists: where the page before ended, opaque to clients and checked when it comes back.
 */
import { sortKeys } from "@axonize/core/contract/trace";
import { AxonizeError } from "@axonize/core/runtime/error";
import * as z from "zod";

const Cursor = z.tuple([
  z.enum(sortKeys),
  z.enum(["desc", "asc"]),
  z.string().regex(/^-?\d{1,19}$/),
  z.string().regex(/^[0-9a-f]{32}$/),
]);

export interface ListCursor {
  sort: z.infer<typeof Cursor>[0];
  order: z.infer<typeof Cursor>[1];
  /** The last row's sort value, as decimal text. */
  key: string;
  traceId: string;
}

export function formatCursor(cursor: ListCursor): string {
  const parts = [cursor.sort, cursor.order, cursor.key, cursor.traceId];
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

/** A cursor belongs to the order it was made for. */
export function parseCursor(
  text: string | undefined,
  expected: { sort: string; order: string },
): ListCursor | undefined {
  if (text === undefined) return undefined;
  const parsed = Cursor.safeParse(jsonOf(text));
  if (!parsed.success || BigInt(parsed.data[2]) > 9_223_372_036_854_775_807n) {
    throw invalid("is not a cursor of this list");
  }
  const [sort, order, key, traceId] = parsed.data;
  if (sort !== expected.sort || order !== expected.order) {
    throw invalid("was made for another order; leave it out to begin anew");
  }
  return { sort, order, key, traceId };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, "base64url").toString());
  } catch {
    return undefined; // refused by the caller with a sentence
  }
}

const invalid = (message: string): AxonizeError =>
  new AxonizeError("invalid-request", `The cursor ${message}.`, {
    errors: [{ path: "query.cursor", message }],
  });
