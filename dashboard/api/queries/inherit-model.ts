/**
 * The model of a call whose span names none, as vLLM's request span does: its nearest ancestor's
 * that names one, at most three levels up, else the trace's only one, else none.
 *
 * Never a guess: a trace that names several models and none above the call leaves the call without.
 * The same rule stands here twice, in SQL for lists and single spans and in code for the rows of a
 * trace. It does not look at what ingest inherited already: that stands in the span itself.
 */
import type { SpanColumns, SpanRow } from "@axonize/core/contract/trace";
import { notCalls } from "./filter.sql.ts";

/** The caller's span, a client's HTTP span between, and one more for a proxy. */
const levels = 3;

/** Aggregates over a trace's spans that `inheritedSql` reads. */
export const lineageSql = `
  groupArray(tuple(span_id, parent_span_id, toString(model), toString(provider))) AS lineage,
  minIf(toString(model), model != '') AS leastModel, maxIf(toString(model), model != '') AS mostModel,
  minIf(toString(provider), provider != '') AS leastProvider,
  maxIf(toString(provider), provider != '') AS mostProvider`;

/** Model and provider that a span whose parent is `parent` (SQL of a span id) inherits, as columns. */
export const inheritedSql = (parent: string): string => {
  // Place 0 is no span: its element is the default, and so is all above it.
  const places = Array.from({ length: levels }, (_, level) => `lineagePlace${level}`);
  const placesSql = places.map((place, level) => {
    const id = level === 0 ? parent : `arrayElement(lineage.2, ${places[level - 1]})`;
    return `indexOf(lineage.1, ${id}) AS ${place}`;
  });
  const first = (column: number): string =>
    places
      .map((at) => `arrayElement(lineage.3, ${at}) != '', arrayElement(lineage.${column}, ${at})`)
      .join(", ");
  return `${placesSql.join(", ")},
    multiIf(${first(3)}, if(leastModel = mostModel, leastModel, '')) AS inheritedModel,
    multiIf(${first(4)}, if(leastProvider = mostProvider, leastProvider, '')) AS inheritedProvider`;
};

/** Gives the engine's calls among a trace's rows the model that they inherit. */
export function inheritInRows(rows: readonly SpanRow[]): SpanRow[] {
  const places = new Map(rows.map((row, index) => [row.spanId, index]));
  const lineage = {
    model: (at: number) => rows[at]?.model ?? "",
    parent: (at: number) => places.get(rows[at]?.parentSpanId ?? "") ?? -1,
  };
  const only = onlyOf(rows.map((row) => row.model));
  return rows.map((row, at) => {
    if (!isUnnamedCall(row)) return row;
    const model = inherited(lineage, at) || only;
    return model === "" ? row : { ...row, model, modelSource: "trace" };
  });
}

/** The same for columns. */
export function inheritInColumns(columns: SpanColumns): SpanColumns {
  const { strings } = columns;
  const text = (indexes: readonly number[], at: number): string => strings[indexes[at] ?? -1] ?? "";
  const lineage = {
    model: (at: number) => text(columns.modelIndex, at),
    parent: (at: number) => columns.parent[at] ?? -1,
  };
  // Each name once: the dictionary has it at one place.
  const only = onlyOf([...new Set(columns.modelIndex)].map((index) => strings[index] ?? ""));
  const modelIndex = columns.modelIndex.map((index, at) => {
    const call = {
      model: lineage.model(at),
      engine: text(columns.engineIndex, at),
      operation: text(columns.operationIndex, at),
    };
    if (!isUnnamedCall(call)) return index;
    const model = inherited(lineage, at) || only;
    return model === "" ? index : strings.indexOf(model);
  });
  return { ...columns, modelIndex };
}

/** An engine's call; a tool or an agent uses no model of its own. */
export function isUnnamedCall(span: { model: string; engine: string; operation: string }): boolean {
  return (
    span.model === "" &&
    span.engine !== "" &&
    span.operation !== "" &&
    !notCalls.includes(span.operation)
  );
}

/** What a span whose parent is `parentId` inherits: model and provider from the same span. */
export function inheritedFrom(
  spans: readonly { spanId: string; parentSpanId: string; model: string; provider: string }[],
  parentId: string,
): { model: string; provider: string } {
  const byId = new Map(spans.map((span) => [span.spanId, span]));
  let above = byId.get(parentId);
  for (let level = 0; level < levels && above !== undefined; level += 1) {
    if (above.model !== "") return { model: above.model, provider: above.provider };
    above = byId.get(above.parentSpanId);
  }
  return {
    model: onlyOf(spans.map((span) => span.model)),
    provider: onlyOf(spans.map((span) => span.provider)),
  };
}

function inherited(
  lineage: { model: (at: number) => string; parent: (at: number) => number },
  at: number,
): string {
  let above = at;
  for (let level = 0; level < levels; level += 1) {
    above = lineage.parent(above);
    if (above < 0) return "";
    const model = lineage.model(above);
    if (model !== "") return model;
  }
  return "";
}

function onlyOf(models: readonly string[]): string {
  const named = new Set(models.filter((model) => model !== ""));
  const [only = ""] = named;
  return named.size === 1 ? only : "";
}
