/**
 * Which facet values are already in ClickHouse, so that each is written once per quarter of an hour
 * instead of once per span. A value counts as known only when the block that holds it is committed;
 * until then every batch that meets it carries it again, which a set does not mind.
 */
import * as limits from "./limits.ts";
import type { Strings } from "./strings.ts";
import type { FacetTable } from "./tables.ts";

export const facetNames = [
  "service",
  "environment",
  "model",
  "provider",
  "engine",
  "operation",
  "namespace",
  "pod",
  "node",
] as const;

/** Seconds of a bucket. */
export const bucketSeconds = 900;

/** One tenant, quarter of an hour and retention class. */
export interface FacetScope {
  tenant: number;
  bucket: number;
  retention: number;
  /** By interned string: facets (bit = position in facetNames) that ClickHouse has, … */
  known: Uint16Array;
  /** … and that the open batch has. */
  open: Uint16Array;
}

/** What the open batch added, in order: to forget on rollback, to learn on commit. */
export interface FacetJournal {
  scopes: FacetScope[];
  codes: number[];
}

export interface Facets {
  scope(tenant: number, bucket: number, retention: number): FacetScope;
  /** Adds a value if it is new; `id` 0 is no value. */
  add(
    scope: FacetScope,
    facet: number,
    id: number,
    receivedMs: number,
    table: FacetTable,
    journal: FacetJournal,
  ): void;
  /** Takes back what the journal holds beyond `length`. */
  rollback(journal: FacetJournal, length: number): void;
  /** Ends the open batch for the journal's scopes. */
  close(journal: FacetJournal): void;
  committed(journal: FacetJournal): void;
  clear(): void;
}

export function createFacets(strings: Strings): Facets {
  const scopes = new Map<string, FacetScope>();
  const names = (): number[] => facetNames.map((name) => strings.constant(name));
  let keys = names();
  return {
    scope: (tenant, bucket, retention) => {
      const key = `${tenant}.${bucket}.${retention}`;
      const known = scopes.get(key);
      if (known !== undefined) return known;
      const scope = {
        tenant,
        bucket,
        retention,
        known: new Uint16Array(64),
        open: new Uint16Array(64),
      };
      scopes.set(key, scope);
      if (scopes.size > limits.facetScopes) {
        const [oldest] = scopes.keys();
        if (oldest !== undefined) scopes.delete(oldest);
      }
      return scope;
    },
    add: (scope, facet, id, receivedMs, table, journal) => {
      const bit = 1 << facet;
      if (id === 0 || (((scope.known[id] ?? 0) | (scope.open[id] ?? 0)) & bit) !== 0) return;
      scope.open = widened(scope.open, id);
      scope.open[id] = (scope.open[id] ?? 0) | bit;
      const code = id * 16 + facet;
      journal.scopes.push(scope);
      journal.codes.push(code);
      const offset = strings.offsets[id] ?? 0;
      const row = table.begin();
      const { words, texts } = table;
      words[row + table.tenant_id] = scope.tenant;
      words[row + table.bucket] = scope.bucket;
      words[row + table.key] = keys[facet] ?? 0;
      words[row + table.value] = texts.length;
      texts.pushValid(strings.bytes.subarray(offset, offset + (strings.lengths[id] ?? 0)));
      words[row + table.retention] = scope.retention;
      words[row + table.last_seen] = receivedMs / 1000;
    },
    rollback: (journal, length) => {
      while (journal.codes.length > length) {
        const scope = journal.scopes.pop();
        const code = journal.codes.pop();
        if (scope === undefined || code === undefined) return;
        scope.open[code >> 4] = (scope.open[code >> 4] ?? 0) & ~(1 << (code & 15));
      }
    },
    close: (journal) => {
      for (const scope of journal.scopes) scope.open.fill(0);
    },
    committed: (journal) => {
      journal.scopes.forEach((scope, i) => {
        const code = journal.codes[i] ?? 0;
        scope.known = widened(scope.known, code >> 4);
        scope.known[code >> 4] = (scope.known[code >> 4] ?? 0) | (1 << (code & 15));
      });
    },
    clear: () => {
      scopes.clear();
      keys = names();
    },
  };
}

function widened(bits: Uint16Array, id: number): Uint16Array {
  if (id < bits.length) return bits;
  const wide = new Uint16Array(2 ** Math.ceil(Math.log2(id + 1)));
  wide.set(bits);
  return wide;
}
