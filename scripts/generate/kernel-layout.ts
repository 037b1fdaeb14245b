/**
 * What the decoder's kernel must know of the TypeScript around it, as a module of constants: places
 * in memory, words of rows, limits. Nothing here is decided; it is read off.
 */
import { aliases } from "../../ingest/normalize/aliases.ts";
import { basisCodes, modelSources } from "../../ingest/normalize/normalize.ts";
import { mostNs } from "../../ingest/normalize/quantities.ts";
import { fields, mostOrdinals } from "../../ingest/normalize/said.ts";
import { contentRole } from "../../ingest/decode/key-roles.ts";
import * as limits from "../../ingest/decode/limits.ts";
import { captureCodes } from "../../ingest/decode/list-memos.ts";
import * as map from "../../ingest/decode/memory-map.ts";
import { engineNumber, units } from "../../ingest/decode/state.ts";
import { Strings } from "../../ingest/decode/strings.ts";
import type { Table } from "../../ingest/decode/table.ts";
import { PayloadTable, SpanTable, TraceIndexTable } from "../../ingest/decode/tables.ts";

/** The text of the kernel's `layout.ts`. */
export function layout(): string {
  const rank = (key: string): number => aliases.findIndex((alias) => alias.key === key);
  const places = {
    ...prefixed("strings", places4(map.stringsFields, map.stringsAt)),
    ...prefixed("state", places4(map.poolNames, map.poolsAt)),
    ...prefixed("state", map.placeOfState, 4),
    state_oldestMs: map.oldestMsAt,
    state_newestMs: map.newestMsAt,
    state_wanted: map.wantedAt,
    state_allowed: map.allowedAt,
    pools: map.poolsAt,
    poolLengths: map.poolLengthsAt,
    poolCount: map.poolNames.length,
    said_values: map.said.values,
    said_ranks: map.said.ranks,
    said_ranksEnd: map.said.ranks + Object.keys(fields).length * 2,
    said_labels: map.said.labels,
    said_offsets: map.said.offsets,
    said_lengths: map.said.lengths,
    said_ordinals: map.said.ordinals,
    said_ordinalCount: map.said.counts,
    said_evidence: map.said.counts + 4,
    aliases: map.aliasesAt,
    lastLabels: map.lastLabelsAt,
    memos: map.memosAt,
    memoBytes: map.memo.bytes,
    memo_raw: map.memo.raw,
    memo_text: map.memo.text,
    engines: map.enginesAt,
    engineNames: map.engineNamesAt,
    facetScopes: map.facetScopesAt,
    facetEntries: map.facetEntries,
    answerSlots: map.answerSlots,
    node_isContent: map.nodeIsContent,
  };
  const meanings = {
    fields: Object.keys(fields).length,
    ...prefixed("field", fields),
    ...prefixed("unit", Object.fromEntries(units.map((unit, i) => [unit, i]))),
    ...prefixed("basis", basisCodes),
    ...prefixed("source", modelSources),
    ...prefixed("capture", captureCodes),
    ...prefixed("mark", limits.marks),
    ...prefixed("facet", map.facetBits),
    ...prefixed("note", map.note),
    ...prefixed("node", map.node),
    ...prefixed("answer", map.answer),
    ...map.aliasFlags,
    nameRank: aliases.length,
    homelessTtft: rank("ttft_ms"),
    vercelProvider: rank("ai.model.provider"),
    sglang: engineNumber("sglang"),
    role_content: contentRole,
    mostNs,
    mostOrdinals,
  };
  const bounds = {
    attributeBytes: limits.attributeBytes,
    contentBytes: limits.contentBytes,
    labelBytes: limits.labelBytes,
    keyBytes: limits.keyBytes,
    idBytes: limits.idBytes,
    messageBytes: limits.messageBytes,
    attributesPerSpan: limits.attributesPerSpan,
    eventsPerSpan: limits.eventsPerSpan,
    eventBytes: limits.kernelEventBytes,
    missedSpans: limits.missedSpans,
  };
  const rows = {
    ...row("span", new SpanTable(new Strings(0))),
    ...row("payload", new PayloadTable(new Strings(0))),
    ...row("index", new TraceIndexTable(new Strings(0))),
  };
  return Object.entries({ ...places, ...meanings, ...bounds, ...rows })
    .map(
      ([name, value]) => `export const ${name}: ${name === "mostNs" ? "f64" : "u32"} = ${value};\n`,
    )
    .join("");
}

function prefixed(
  prefix: string,
  values: Readonly<Record<string, number>>,
  scale = 1,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [`${prefix}_${name}`, value * scale]),
  );
}

function places4(names: readonly string[], at: number): Record<string, number> {
  return Object.fromEntries(names.map((name, i) => [name, at + i * 4]));
}

/** Places of columns in a row, and its length, in bytes. */
function row(prefix: string, table: Table): Record<string, number> {
  table.begin();
  const at = (value: unknown): number | undefined =>
    typeof value === "number" ? value : (value as { at?: number }).at;
  const columns = table.columns.map(([name]) => {
    const place = at(table[name as keyof Table]);
    return [`${prefix}_${name}`, (place ?? 0) * 4];
  });
  return { ...Object.fromEntries(columns), [`${prefix}_bytes`]: table.stride * 4 };
}
