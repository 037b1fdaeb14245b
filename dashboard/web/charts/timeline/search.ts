/**
 * Search among the spans of a trace: words in the name, and `status:error`, `dur>500ms`,
 * `service:x`, `model:x`, `operation:x`. Pure; one pass over the arrays.
 */
import { parseFilter, type Term } from "../../data/filter.ts";
import { errorStatus, type TraceModel } from "./model.ts";

/** Rows that match, in the order of the tree. */
export function searchSpans(model: TraceModel, text: string): Int32Array {
  const { terms } = parseFilter(text);
  if (terms.length === 0) return new Int32Array(0);
  const tests = terms.map((term) => testFor(model, term));
  const hits: number[] = [];
  for (const row of model.tree.order) {
    if (tests.every((test) => test(row))) hits.push(row);
  }
  return Int32Array.from(hits);
}

type Test = (row: number) => boolean;

function testFor(model: TraceModel, term: Term): Test {
  if (term.kind === "text") {
    return byString(model, (text) => text.includes(term.text.toLowerCase()), [
      model.name,
      model.service,
    ]);
  }
  if (term.kind === "range") {
    const values =
      term.key === "dur" ? model.durationUs : term.key === "ttft" ? model.ttftUs : undefined;
    const bound = term.key === "tokens" ? term.value : term.value * 1e3;
    const of = (row: number): number =>
      values
        ? (values[row] ?? Number.NaN)
        : (model.inputTokens[row] || 0) + (model.outputTokens[row] || 0);
    return term.op === ">" ? (row) => of(row) >= bound : (row) => of(row) <= bound;
  }
  return testForKey(model, term);
}

function testForKey(model: TraceModel, term: Extract<Term, { kind: "is" }>): Test {
  if (term.key === "status") {
    const wanted = { unset: 0, ok: 1, error: errorStatus }[term.value];
    return (row) => model.status[row] === wanted;
  }
  const columns = {
    service: model.service,
    model: model.model,
    operation: model.operation,
  } as const;
  const column =
    term.key === "service" || term.key === "model" || term.key === "operation"
      ? columns[term.key]
      : undefined;
  // A key that spans do not carry here matches nothing, rather than everything.
  if (!column) return () => false;
  const wanted = term.value.toLowerCase();
  const matches = wanted.endsWith("*")
    ? (text: string): boolean => text.startsWith(wanted.slice(0, -1))
    : (text: string): boolean => text === wanted;
  const test = byString(model, matches, [column]);
  return term.not ? (row) => !test(row) : test;
}

/** Tests each distinct string once, then looks rows up. */
function byString(
  model: TraceModel,
  matches: (lower: string) => boolean,
  columns: readonly Int32Array[],
): Test {
  const hit = Uint8Array.from(model.strings, (text) => (matches(text.toLowerCase()) ? 1 : 0));
  return (row) => columns.some((column) => hit[column[row] ?? -1] === 1);
}

/** The match after (or before) a place in the tree's order, going round. */
export function nextMatch(
  model: TraceModel,
  hits: Int32Array,
  fromRow: number,
  step: 1 | -1,
): number {
  if (hits.length === 0) return -1;
  const place = fromRow < 0 ? -1 : (model.tree.position[fromRow] ?? -1);
  const places = Array.from(hits, (row) => model.tree.position[row] ?? 0);
  if (step === 1) {
    const index = places.findIndex((p) => p > place);
    return hits[index === -1 ? 0 : index] ?? -1;
  }
  const before = places.findLastIndex((p) => p < place);
  return hits[before === -1 ? hits.length - 1 : before] ?? -1;
}
